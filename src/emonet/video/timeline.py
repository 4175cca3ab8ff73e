"""Summarise the frames of a video as a timeline: one entry for each interval and track."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from emonet.plugin import require_number
from emonet.results import TrackedFace, VideoFrame


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One track in one interval of a video.

    Attributes:
        seconds: time at which the interval begins.
        track: number of the track.
        frames: number of frames in which the face was found.
        shares: share of these frames with each label, 0..1. They sum to less than 1 if some
            frames have no label, because their score is below the score threshold.
        probabilities: mean probability of each class.
    """

    seconds: float
    track: int
    frames: int
    shares: Mapping[str, float]
    probabilities: Mapping[str, float]

    @property
    def label(self) -> str | None:
        """The label of most frames; None if no frame has a label."""
        best = max(self.shares, key=self.shares.__getitem__)
        return best if self.shares[best] else None

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as plain JSON values."""
        return {
            "seconds": self.seconds,
            "track": self.track,
            "frames": self.frames,
            "label": self.label,
            "shares": dict(self.shares),
            "probabilities": dict(self.probabilities),
        }


class Timeline:
    """A timeline that grows with each frame.

    Args:
        per: length of an interval, seconds.
    """

    def __init__(self, per: float) -> None:
        require_number("timeline", "per", per, 1e-3)
        self._per = per
        self._sums: dict[tuple[int, int], _Sum] = {}

    def add(self, frame: VideoFrame) -> None:
        """Count the faces of a frame."""
        interval = int(frame.seconds // self._per)
        for face in frame.faces:
            key = (interval, face.track)
            if key not in self._sums:
                self._sums[key] = _Sum(tuple(face.probabilities))
            self._sums[key].add(face)

    def entries(self) -> list[TimelineEntry]:
        """Return the entries so far, in the order of time."""
        return [
            one.entry(interval * self._per if interval else 0.0, track)
            for (interval, track), one in sorted(self._sums.items(), key=lambda item: item[0])
        ]


class _Sum:
    """The faces of one track in one interval."""

    def __init__(self, labels: tuple[str, ...]) -> None:
        self._frames = 0
        self._counts: Counter[str | None] = Counter()
        self._labels, self._probabilities = labels, np.zeros(len(labels))

    def add(self, face: TrackedFace) -> None:
        self._frames += 1
        self._counts[face.label] += 1
        self._probabilities += np.fromiter(face.probabilities.values(), np.float64)

    def entry(self, seconds: float, track: int) -> TimelineEntry:
        means = (self._probabilities / self._frames).tolist()
        return TimelineEntry(
            seconds=seconds,
            track=track,
            frames=self._frames,
            shares={label: self._counts[label] / self._frames for label in self._labels},
            probabilities=dict(zip(self._labels, means, strict=True)),
        )


def timeline(frames: Iterable[VideoFrame], per: float = 1.0) -> list[TimelineEntry]:
    """Summarise the frames of a video: how often each person shows each expression.

    Args:
        frames: the frames, for example from ``EmotionRecognizer.stream_video``. Memory use does
            not depend on their number.
        per: length of an interval, seconds; ``math.inf`` for the whole video.

    Returns:
        One entry for each interval and track, in the order of time; an interval in which a track
        has no face has no entry.

    Raises:
        ConfigError: ``per`` is not above 0.

    Examples:
        >>> frames = recognizer.stream_video("clip.mp4")  # doctest: +SKIP
        >>> emonet.timeline(frames)[0].shares["happiness"]  # doctest: +SKIP
        0.92
    """
    summary = Timeline(per)
    for frame in frames:
        summary.add(frame)
    return summary.entries()
