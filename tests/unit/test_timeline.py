"""A timeline counts labels and averages probabilities for each interval and track."""

import math

import pytest
from tests.unit.test_smoothing import A, H, face

import emonet
from emonet import VideoFrame
from emonet.errors import ConfigError


def frame(index, *faces, seconds=None):
    seconds = index / 4 if seconds is None else seconds
    return VideoFrame(index=index, seconds=seconds, width=9, height=9, faces=faces)


def test_shares_and_means_for_each_interval_and_track():
    frames = [
        frame(0, face(A)),
        frame(1, face(A), face(H, 2)),
        frame(2, face(A)),
        frame(3, face(H)),
    ]
    frames += [frame(4), frame(8, face(H))]
    first, second, third = emonet.timeline(iter(frames))
    assert (first.seconds, first.track, first.frames, first.label) == (0, 1, 4, "anger")
    assert first.shares == {"anger": 0.75, "happiness": 0.25, "neutral": 0}
    assert first.probabilities == pytest.approx(
        {"anger": (3 * A[0] + H[0]) / 4, "happiness": (3 * A[1] + H[1]) / 4, "neutral": 0.05}
    )
    assert (second.seconds, second.track, second.label) == (0, 2, "happiness")
    assert (third.seconds, third.track, third.frames) == (2, 1, 1)
    assert third.to_dict()["shares"]["happiness"] == 1


def test_faces_without_a_label_have_no_share():
    from dataclasses import replace

    (entry,) = emonet.timeline([frame(0, replace(face(A), label=None)), frame(1, face(A))])
    assert sum(entry.shares.values()) == 0.5
    (entry,) = emonet.timeline([frame(0, replace(face(A), label=None))])
    assert entry.label is None


def test_the_whole_video_is_one_interval():
    (entry,) = emonet.timeline((frame(i, face(A)) for i in range(100)), per=math.inf)
    assert (entry.seconds, entry.frames) == (0, 100)


@pytest.mark.parametrize("per", [0, -1, "1", math.nan])
def test_an_impossible_interval_is_refused(per):
    with pytest.raises(ConfigError, match="per"):
        emonet.timeline([], per=per)
