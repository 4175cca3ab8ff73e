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
#: three were chosen with benchmarks/video.py on other faces than those that it reports on.
TIME_CONSTANT = 0.15
#: A new label must have led for this long before it replaces the label, seconds.
LEAD_SECONDS = 0.075
#: Window of centred smoothing, seconds.
WINDOW_SECONDS = 1.0
#: How much a mean is sharpened for each nat by which its frames disagree.
SHARPENING = 3.0
#: Least weight of a face; scores of some detectors go down to 0 or below.
MIN_WEIGHT = 0.1
#: Probabilities may be 0, whose logarithm is multiplied by 0.
TINY = 1e-300
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
    """The running sum of one track; see ``_evidence``."""

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
    weight, evidence = _evidence(face)
    state = states.get(face.track)
    if state is None:
        leader = int(evidence[:-1].argmax())
        states[face.track] = _State(evidence, weight, seconds, leader, leader, seconds)
        return face
    decay = math.exp((state.seconds - seconds) / TIME_CONSTANT)
    state.total = decay * state.total + evidence
    state.weight = decay * state.weight + weight
    mean = _mean(state.total / state.weight)
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
        smooth = _mean(np.asarray(total))
        return _with(face, smooth, int(smooth.argmax()))

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
            tracks.setdefault(face.track, deque()).append((frame.seconds, *_evidence(face)))
    yield from finished(math.inf)


_WAYS: dict[str, Callable[[Iterable[VideoFrame]], Iterator[VideoFrame]]] = {
    "causal": _causal,
    "centred": _centred,
    "none": iter,
}


def _evidence(face: TrackedFace) -> tuple[float, NDArray[np.float64]]:
    """Return the weight of a face; and its probabilities and their entropy, times the weight."""
    weight = max(face.detection.score, MIN_WEIGHT)
    probabilities = np.fromiter(face.raw_probabilities.values(), np.float64)
    return weight, weight * np.append(probabilities, _entropy(probabilities))


def _mean(evidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities from mean evidence.

    The mean of probabilities that disagree is less certain than each of them, but right more
    often. It is sharpened by the disagreement: its entropy beyond the mean entropy, which is the
    Jensen-Shannon divergence. Frames that agree keep their probabilities.
    """
    mean, entropy = evidence[:-1], evidence[-1]
    disagreement = max(0.0, _entropy(mean) - entropy)
    sharpened = mean ** (1 + SHARPENING * disagreement)
    return np.asarray(sharpened / sharpened.sum())


def _entropy(probabilities: NDArray[np.float64]) -> float:
    """Return the entropy in nats."""
    return -float(probabilities @ np.log(np.maximum(probabilities, TINY)))


def _with(face: TrackedFace, probabilities: NDArray[np.float64], label: int) -> TrackedFace:
    labels = tuple(face.raw_probabilities)
    values = probabilities.tolist()
    return replace(
        face,
        label=labels[label],
        score=values[label],
        probabilities=dict(zip(labels, values, strict=True)),
    )
