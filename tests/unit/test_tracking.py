"""A person keeps a number from frame to frame, also when people cross or a detection is missing."""

import numpy as np
import pytest

from emonet import Box, Detection, Face
from emonet.video.tracking import LOST_SECONDS, Tracker


def face(x, y=100.0, size=80.0, score=0.9):
    box = Box(x, y, size, size)
    return Face(box, "neutral", 1.0, {"neutral": 1.0}, Detection(box, score))


def tracks(frames, new_track_score=0.5):
    """Return the numbers of each frame's faces; frames are (seconds, faces)."""
    tracker = Tracker(new_track_score)
    return [tracker.update(seconds, faces) for seconds, faces in frames]


def test_a_moving_face_keeps_its_number_beside_a_still_one():
    frames = [(i / 25, [face(10 * i), face(300, y=300)]) for i in range(40)]
    assert tracks(frames) == [[1, 2]] * 40


def test_the_order_of_the_faces_does_not_matter():
    frames = [(i / 25, [face(0), face(200)][:: 1 if i % 2 else -1]) for i in range(10)]
    assert tracks(frames) == [[1, 2] if i % 2 == 0 else [2, 1] for i in range(10)]


@pytest.mark.parametrize("every", [1, 2, 4, 8])
def test_two_faces_that_pass_each_other_keep_their_numbers(every):
    """At 200 pixels per second each; every so many frames are taken."""
    frames = [(i / 25, [face(8 * i, y=100), face(400 - 8 * i, y=130)]) for i in range(0, 50, every)]
    assert tracks(frames) == [[1, 2]] * len(frames)


def test_a_hidden_face_that_moves_on_keeps_its_number():
    """Two faces cross; one is behind the other for a third of a second."""
    frames = [
        (
            i / 25,
            [face(8 * i)] if 20 <= i < 29 else [face(8 * i), face(400 - 8 * i, y=110)],
        )
        for i in range(50)
    ]
    assert tracks(frames) == [[1] if 20 <= i < 29 else [1, 2] for i in range(50)]


@pytest.mark.parametrize(("gap", "number"), [(0.9, 1), (1.2, 2)])
def test_a_lost_track_is_kept_for_a_second_of_film(gap, number):
    assert LOST_SECONDS == 1
    assert tracks([(0, [face(0)]), (0.04, [face(0)]), (0.04 + gap, [face(0)])])[-1] == [number]


def test_an_uncertain_face_continues_a_track_but_starts_none():
    frames = [
        (0.0, [face(0), face(300, score=0.3)]),
        (0.04, [face(2, score=0.3), face(300, score=0.3)]),
        (0.08, [face(4)]),
    ]
    assert tracks(frames) == [[1, None], [1, None], [1]]


def test_an_uncertain_face_does_not_continue_a_lost_track():
    frames = [(0.0, [face(0)]), (0.04, []), (0.08, [face(0, score=0.3)]), (0.12, [face(0)])]
    assert tracks(frames) == [[1], [], [None], [1]]


def test_confident_faces_choose_first():
    """The uncertain face lies nearer, but the confident one takes the track."""
    frames = [(0.0, [face(0)]), (0.04, [face(0, score=0.3), face(12)])]
    assert tracks(frames) == [[1], [None, 1]]


def test_the_score_that_starts_a_track_is_in_the_detectors_scale():
    assert tracks([(0, [face(0, score=-2.0)])], new_track_score=-3) == [[1]]


def test_distant_or_differently_large_faces_are_others():
    frames = [(0, [face(0)]), (0.04, [face(400)]), (0.08, [face(0, size=300)])]
    assert tracks(frames) == [[1], [2], [3]]


def test_many_faces_with_gaps_and_jitter_keep_their_numbers():
    random = np.random.default_rng(0)
    places = [(x, y) for x in range(0, 1600, 160) for y in range(0, 800, 160)]
    tracker = Tracker(0.5)
    seen = {}
    for i in range(60):
        kept = [k for k in range(len(places)) if i == 0 or random.random() > 0.2]
        faces = [face(*(places[k] + random.normal(0, 3, 2))) for k in kept]
        for k, number in zip(kept, tracker.update(i / 25, faces), strict=True):
            assert seen.setdefault(k, number) == number
    assert sorted(seen.values()) == list(range(1, 51))
