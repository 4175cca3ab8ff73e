"""``emonet video``: follow the faces of a film, and write tables, plots and annotated films."""

import csv
import json
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from emonet.cli.loading import load_recognizer
from emonet.cli.options import AsJson, Detector, MinScore, Model, OnDevice, Runtime, Settings
from emonet.cli.printing import print_table
from emonet.errors import ConfigError
from emonet.results import VideoFrame
from emonet.support.dependencies import require
from emonet.support.files import atomic_write
from emonet.support.progress import progress_bar
from emonet.video.films import write_film
from emonet.video.plots import plot_timeline
from emonet.video.smoothing import Smoothing
from emonet.video.sources import Selection, open_source
from emonet.video.timeline import Timeline, TimelineEntry

logger = logging.getLogger("emonet")

#: Takes one frame after the other.
Output = Callable[[VideoFrame], None]

Annotate = Annotated[
    Path | None,
    typer.Option(help="Write a film with boxes, labels and bar charts: a .webm file."),
]


def video(
    source: Annotated[
        str, typer.Argument(metavar="VIDEO", help="A video, an animated image, or a URL.")
    ],
    csv: Annotated[Path | None, typer.Option(help="Write a row for each face and frame.")] = None,
    timeline: Annotated[
        Path | None, typer.Option(help="Write a CSV file with a row for each interval and track.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Plot the timeline: .png, .svg, .pdf.")] = None,
    per: Annotated[float, typer.Option(help="Interval of the timeline, seconds.")] = 1.0,
    annotated: Annotate = None,
    every: Annotated[int, typer.Option(help="Take one of so many frames.")] = 1,
    fps: Annotated[
        float | None, typer.Option(help="Take at most so many frames for each second of film.")
    ] = None,
    start: Annotated[float | None, typer.Option(help="Time to start at, seconds.")] = None,
    end: Annotated[float | None, typer.Option(help="Time to stop at, seconds.")] = None,
    smoothing: Annotated[
        Smoothing, typer.Option(help="How labels are smoothed: causal, centred or none.")
    ] = "centred",
    model: Model = None,
    detector: Detector = None,
    detector_option: Settings = None,
    min_score: MinScore = 0.0,
    new_track_score: Annotated[
        float | None, typer.Option(help="Lowest detection score that starts a track.")
    ] = None,
    runtime: Runtime = None,
    device: OnDevice = "auto",
    as_json: AsJson = False,
) -> int:
    """Follow the faces of a film, and tell their expressions from frame to frame.

    Print a summary of each track. Ctrl-C ends the run; files hold what was finished. Exit with
    status 1 if a frame can't be decoded; the other frames are processed.
    """
    require_webm(annotated)
    for path in (csv, timeline, plot, annotated):
        if path is not None and path.exists() and Path(source).exists() and path.samefile(source):
            raise ConfigError(f"{path} is the video itself: choose another file to write")
    if plot is not None:
        require("plots", "Plotting a timeline")
    selection = Selection(every, fps, start or 0.0, math.inf if end is None else end)
    expected = open_source(source, selection).expected
    recognizer = load_recognizer(
        model, detector=detector, detector_option=detector_option, runtime=runtime, device=device
    )
    frames = recognizer.stream_video(
        source,
        every=every,
        fps=fps,
        start=start,
        end=end,
        smoothing=smoothing,
        min_score=min_score,
        new_track_score=new_track_score,
        images=annotated is not None,
    )
    failed = False
    with ExitStack() as stack:
        outputs = [stack.enter_context(_json_lines() if as_json else _summary())]
        if csv is not None:
            outputs.append(stack.enter_context(_csv_rows(csv, recognizer.labels)))
        if timeline is not None or plot is not None:
            outputs.append(stack.enter_context(_timeline(timeline, plot, per)))
        if annotated is not None:
            outputs.append(stack.enter_context(annotated_film(annotated)))
        advance = stack.enter_context(progress_bar("Frames", expected))
        for frame in frames:
            if frame.error is not None:
                failed = True
                logger.warning("%s", frame.error)
            for output in outputs:
                output(frame)
            advance()
    return 1 if failed else 0


def require_webm(annotated: Path | None) -> None:
    """Raise ConfigError if the annotated film has another suffix than .webm."""
    if annotated is not None and annotated.suffix.lower() != ".webm":
        raise ConfigError(f"--annotated {annotated}: annotated films are WebM, so name it .webm")


@contextmanager
def annotated_film(path: Path) -> Iterator[Output]:
    """Write the frames, which have images, as a film with boxes, labels and bar charts."""
    import numpy as np

    from emonet.drawing import draw

    with write_film(path) as write:

        def output(frame: VideoFrame) -> None:
            if frame.image is not None:
                write(frame.seconds, np.asarray(draw(frame.image, frame, bars=True)))

        yield output


@contextmanager
def _json_lines() -> Iterator[Output]:
    yield lambda frame: print(json.dumps(frame.to_dict()), flush=True)


@contextmanager
def _csv_rows(path: Path, labels: tuple[str, ...]) -> Iterator[Output]:
    """Write a row for each face, at once, so that other programs can follow the file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(
            ["frame", "seconds", "track", "x", "y", "width", "height", "label", "score", *labels]
        )

        def output(frame: VideoFrame) -> None:
            for face in frame.faces:
                box = [int(value) for value in face.box]
                scores = [f"{score:.6g}" for score in face.probabilities.values()]
                seconds = f"{frame.seconds:.6f}"
                start = [frame.index, seconds, face.track, *box, face.label, f"{face.score:.6g}"]
                rows.writerow([*start, *scores])
            file.flush()

        yield output


@contextmanager
def _timeline(path: Path | None, plot: Path | None, per: float) -> Iterator[Output]:
    timeline = Timeline(per)
    try:
        yield timeline.add
    finally:
        entries = timeline.entries()
        if path is not None:
            _write_timeline(entries, path)
        if plot is not None:
            plot_timeline(entries, plot, per)


def _write_timeline(entries: list[TimelineEntry], path: Path) -> None:
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        labels = list(entries[0].shares) if entries else []
        shares, means = [f"share_{name}" for name in labels], [f"mean_{name}" for name in labels]
        rows.writerow(["seconds", "track", "frames", "label", *shares, *means])
        for entry in entries:
            numbers = [*entry.shares.values(), *entry.probabilities.values()]
            start = [f"{entry.seconds:g}", entry.track, entry.frames, entry.label]
            rows.writerow([*start, *(f"{number:.6g}" for number in numbers)])


class _Track:
    """What the summary tells about a track."""

    def __init__(self, seconds: float) -> None:
        self.began = self.ended = seconds
        self.frames, self.score = 0, 0.0
        self.labels: Counter[str] = Counter()


@contextmanager
def _summary() -> Iterator[Output]:
    """Print a table of the tracks at the end; after Ctrl-C, of those so far."""
    tracks: dict[int, _Track] = {}
    frames = 0

    def output(frame: VideoFrame) -> None:
        nonlocal frames
        frames += 1
        for face in frame.faces:
            track = tracks.setdefault(face.track, _Track(frame.seconds))
            track.ended = frame.seconds
            track.frames += 1
            track.score += face.score
            track.labels[face.label or "uncertain"] += 1

    try:
        yield output
    finally:
        rows = [
            [
                str(number),
                f"{track.began:.2f}",
                f"{track.ended:.2f}",
                str(track.frames),
                ", ".join(
                    f"{label} {100 * count / track.frames:.0f} %"
                    for label, count in track.labels.most_common(3)
                ),
                f"{100 * track.score / track.frames:.0f} %",
            ]
            for number, track in sorted(tracks.items())
        ]
        if rows:
            print_table(["track", "from (s)", "to (s)", "frames", "labels", "mean score"], rows)
        else:
            print(f"No face in {frames} frames")
