"""Smooth the probabilities of each track over time, so that labels don't flicker."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from emonet.results import TrackedFace, VideoFrame

#: How probabilities are smoothed: from earlier frames only, from frames on both sides, or not.
Smoothing = Literal["causal", "centred", "none"]

#: Time constant of causal smoothing: a frame this old weighs 1/e, seconds. This and the next
#: two were chosen with benchmarks/video.py on other faces than those that it reports on.
TIME_CONSTANT = 0.2
#: A new label must have led for this long before it replaces the label, seconds.
LEAD_SECONDS = 0.1
#: Window of centred smoothing, seconds.
WINDOW_SECONDS = 1.0
#: Least weight of a face; scores of some detectors go down to 0 or below.
MIN_WEIGHT = 0.1
#: A state of a track that has not been seen for this long is forgotten, seconds.
FORGET_SECONDS = 2.0


def smoothed(frames: Iterable[VideoFrame], smoothing: Smoothing) -> Iterator[VideoFrame]:
    """Yield the frames with smoothed probabilities, labels and scores.

    Args:
        frames: frames whose faces have the probabilities of their own frame.
        smoothing: ``"causal"``, ``"centred"`` (looks ahead by half a second), or ``"none"``.
    """
    return _WAYS[smoothing](frames)


@dataclass(slots=True)
class _State:
    """The running mean of one track."""

    total: NDArray[np.float64]
    weight: float
    seconds: float
    label: int
    #: The label that leads, and since when.
    leader: int
    since: float


def _causal(frames: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
    states: dict[int, _State] = {}
    for frame in frames:
        states = {
            track: state
            for track, state in states.items()
            if frame.seconds - state.seconds <= FORGET_SECONDS
        }
        yield replace(
            frame, faces=tuple(_next(face, frame.seconds, states) for face in frame.faces)
        )


def _next(face: TrackedFace, seconds: float, states: dict[int, _State]) -> TrackedFace:
    """Return a face with the running mean of its track; update the track's state."""
    weight = _weight(face)
    probabilities = weight * _vector(face)
    state = states.get(face.track)
    if state is None:
        leader = int(probabilities.argmax())
        states[face.track] = _State(probabilities, weight, seconds, leader, leader, seconds)
        return face
    decay = math.exp((state.seconds - seconds) / TIME_CONSTANT)
    state.total = decay * state.total + probabilities
    state.weight = decay * state.weight + weight
    mean = state.total / state.weight
    leader = int(mean.argmax())
    if leader != state.leader:
        # It may have led since the frame before.
        state.leader, state.since = leader, state.seconds
    state.seconds = seconds
    if seconds - state.since >= LEAD_SECONDS:
        state.label = leader
    return _with(face, mean, state.label)


def _centred(frames: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
    half = WINDOW_SECONDS / 2
    waiting: deque[VideoFrame] = deque()
    tracks: dict[int, deque[tuple[float, float, NDArray[np.float64]]]] = {}

    def finished(until: float) -> Iterator[VideoFrame]:
        while waiting and waiting[0].seconds <= until:
            frame = waiting.popleft()
            yield replace(frame, faces=tuple(mean(face, frame.seconds) for face in frame.faces))

    def mean(face: TrackedFace, seconds: float) -> TrackedFace:
        track = tracks[face.track]
        while track[0][0] < seconds - half:
            track.popleft()
        inside = [(weight, vector) for time, weight, vector in track if time <= seconds + half]
        total = sum(vector for _, vector in inside) / sum(weight for weight, _ in inside)
        return _with(face, np.asarray(total), int(np.argmax(total)))

    rest = iter(frames)
    while True:
        try:
            frame = next(rest, None)
        except Exception:
            # The results before the failure come first.
            yield from finished(math.inf)
            raise
        if frame is None:
            break
        yield from finished(frame.seconds - half)
        waiting.append(frame)
        tracks = {
            track: faces
            for track, faces in tracks.items()
            if faces[-1][0] >= frame.seconds - FORGET_SECONDS
        }
        for face in frame.faces:
            weight = _weight(face)
            entry = (frame.seconds, weight, weight * _vector(face))
            tracks.setdefault(face.track, deque()).append(entry)
    yield from finished(math.inf)


_WAYS: dict[str, Callable[[Iterable[VideoFrame]], Iterator[VideoFrame]]] = {
    "causal": _causal,
    "centred": _centred,
    "none": iter,
}


def _vector(face: TrackedFace) -> NDArray[np.float64]:
    return np.fromiter(face.raw_probabilities.values(), np.float64)


def _weight(face: TrackedFace) -> float:
    return max(face.detection.score, MIN_WEIGHT)


def _with(face: TrackedFace, probabilities: NDArray[np.float64], label: int) -> TrackedFace:
    labels = tuple(face.raw_probabilities)
    values = probabilities.tolist()
    return replace(
        face,
        label=labels[label],
        score=values[label],
        probabilities=dict(zip(labels, values, strict=True)),
    )
