"""Plot a timeline: the expressions of each track over time."""

from collections.abc import Sequence
from pathlib import Path

from emonet.support.dependencies import require
from emonet.support.files import atomic_write
from emonet.video.timeline import TimelineEntry

#: Tracks in a plot; of more, those with the most frames are shown.
MOST_TRACKS = 12


def plot_timeline(entries: Sequence[TimelineEntry], path: Path, per: float) -> None:
    """Write a plot with one row for each track: the mean probabilities, stacked, over time.

    Args:
        entries: of a timeline.
        path: the file; its suffix gives the format, such as ``.png`` or ``.svg``.
        per: length of the timeline's intervals, seconds.

    Raises:
        MissingDependencyError: Matplotlib is not installed.
    """
    require("plots", "Plotting a timeline")
    from matplotlib.figure import Figure

    frames: dict[int, int] = {}
    for entry in entries:
        frames[entry.track] = frames.get(entry.track, 0) + entry.frames
    tracks = sorted(sorted(frames, key=frames.__getitem__, reverse=True)[:MOST_TRACKS])
    figure = Figure(figsize=(10, 1.2 + 1.3 * max(1, len(tracks))), layout="constrained")
    rows = figure.subplots(max(1, len(tracks)), 1, sharex=True, squeeze=False)[:, 0]
    for axes, track in zip(rows, tracks, strict=False):
        own = [entry for entry in entries if entry.track == track]
        below = [0.0] * len(own)
        for label in own[0].probabilities:
            heights = [entry.probabilities[label] for entry in own]
            starts = [entry.seconds for entry in own]
            axes.bar(starts, heights, per, bottom=below, align="edge", label=label)
            below = [low + height for low, height in zip(below, heights, strict=True)]
        axes.set(ylim=(0, 1), ylabel=f"track {track}")
    if tracks:
        figure.legend(*rows[0].get_legend_handles_labels(), loc="outside right upper")
    rows[-1].set_xlabel("seconds")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=120, format=path.suffix.lstrip(".") or "png")
