"""Give each person's face a number that stays the same from frame to frame.

Faces are matched with tracks by the overlap of their boxes, as in ByteTrack (Zhang et al. 2022):
confident detections first, then the others with the tracks that are left. Each track predicts its
box from its velocity. No face is recognised: a person who returns later gets a new number.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emonet.results import Box, Face

#: A track without a face for this long has ended, seconds.
LOST_SECONDS = 1.0
#: How fast a velocity follows its measurements, seconds.
VELOCITY_SECONDS = 0.3
#: A lost face slows down: without a detection, it moves on for this long, seconds.
GLIDE_SECONDS = 0.6
#: A face may move by so many of its sizes in a second beyond the prediction.
SIZES_PER_SECOND = 2.0
MAX_MARGIN = 0.5
#: Smallest overlap (intersection over union) of a face and a track.
MIN_OVERLAP = 0.2

Boxes = NDArray[np.float64]


@dataclass(slots=True)
class _Track:
    number: int
    #: Centre x, centre y, width, height, pixels.
    box: Boxes
    seconds: float
    #: Of the centre, pixels per second.
    velocity: Boxes
    lost: bool = False

    def predicted(self, seconds: float) -> Boxes:
        """Return the box at a later time, with the margin that the face may have moved."""
        elapsed = seconds - self.seconds
        glide = GLIDE_SECONDS * (1 - math.exp(-elapsed / GLIDE_SECONDS))
        box = self.box.copy()
        box[:2] += self.velocity * glide
        return box

    def take(self, box: Boxes, seconds: float) -> None:
        """Continue with a detected face."""
        elapsed = seconds - self.seconds
        measured = (box[:2] - self.box[:2]) / elapsed
        self.velocity += (1 - math.exp(-elapsed / VELOCITY_SECONDS)) * (measured - self.velocity)
        self.box, self.seconds, self.lost = box, seconds, False


class Tracker:
    """The tracks of one film.

    Args:
        new_track_score: the lowest detection score that starts a track. Faces with a lower score
            only continue tracks. By default every face may start one.
    """

    def __init__(self, new_track_score: float = -math.inf) -> None:
        self._new_track_score = new_track_score
        self._tracks: list[_Track] = []
        self._count = 0

    def update(self, seconds: float, faces: Sequence[Face]) -> list[int | None]:
        """Return the number of each face's track; None for a face without a track.

        Args:
            seconds: time of the frame, later than that of the frame before.
            faces: the faces of the frame.
        """
        self._tracks = [one for one in self._tracks if seconds - one.seconds <= LOST_SECONDS]
        boxes = _centred([face.detection.box for face in faces])
        confident = [face.detection.score >= self._new_track_score for face in faces]
        numbers: list[int | None] = [None] * len(faces)
        first = [index for index, sure in enumerate(confident) if sure]
        second = [index for index, sure in enumerate(confident) if not sure]
        # Lost tracks wait: their predictions are vague, and would take the faces of others.
        seen = [track for track in self._tracks if not track.lost]
        lost = [track for track in self._tracks if track.lost]
        taken: set[int] = set()
        for rows_left, candidates in ((first, seen), (first, lost), (second, seen)):
            indices = [index for index in rows_left if numbers[index] is None]
            free = [track for track in candidates if track.number not in taken]
            for row, column in _match(boxes[indices], free, seconds):
                free[column].take(boxes[indices[row]], seconds)
                numbers[indices[row]] = free[column].number
                taken.add(free[column].number)
        for track in self._tracks:
            track.lost = track.number not in taken
        for index in first:
            if numbers[index] is None:
                self._count += 1
                numbers[index] = self._count
                self._tracks.append(_Track(self._count, boxes[index], seconds, np.zeros(2)))
        return numbers


def _centred(boxes: Sequence[Box]) -> Boxes:
    """Return boxes as float (n, 4): centre x, centre y, width, height."""
    rows = [(x + width / 2, y + height / 2, width, height) for x, y, width, height in boxes]
    return np.array(rows, np.float64).reshape(-1, 4)


def _match(boxes: Boxes, tracks: Sequence[_Track], seconds: float) -> list[tuple[int, int]]:
    """Return the (box, track) pairs with the largest overlap in all."""
    if not len(boxes) or not tracks:
        return []
    from scipy.optimize import linear_sum_assignment

    predicted = np.stack([track.predicted(seconds) for track in tracks])
    elapsed = np.array([seconds - track.seconds for track in tracks])
    margins = 1 + 2 * np.minimum(MAX_MARGIN, SIZES_PER_SECOND * elapsed)
    overlaps = _overlaps(boxes, predicted, margins)
    rows, columns = linear_sum_assignment(overlaps, maximize=True)
    return [
        (row, column)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        if overlaps[row, column] >= MIN_OVERLAP
    ]


def _overlaps(boxes: Boxes, tracks: Boxes, margins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (boxes, tracks) intersections over unions, of boxes enlarged by the track's margin."""
    sizes = boxes[:, np.newaxis, 2:] * margins[:, np.newaxis]
    track_sizes = tracks[:, 2:] * margins[:, np.newaxis]
    distance = np.abs(boxes[:, np.newaxis, :2] - tracks[:, :2])
    sides = np.minimum((sizes + track_sizes) / 2 - distance, np.minimum(sizes, track_sizes))
    shared = sides.clip(0).prod(axis=2)
    return np.asarray(shared / (sizes.prod(axis=2) + track_sizes.prod(axis=1) - shared))
