"""What plugins built is held to the contract; errors name the component."""

import math

import numpy as np
import pytest
from tests.conftest import FixedDetector

from emonet.errors import ImageError, PluginContractError, PluginRuntimeError
from emonet.plugin import Box, Detection
from emonet.registry.guard import GuardedDetector

IMAGE = np.zeros((80, 100, 3), np.uint8)


def guarded(detect) -> GuardedDetector:
    return GuardedDetector(FixedDetector(detect), "detector fixed")


@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_detector_may_return_any_iterable(kind):
    found = [Detection(Box(0, 0, 9, 9))]
    assert guarded(lambda image: kind(found)).detect(IMAGE) == found


def test_no_face_is_no_error():
    assert guarded(lambda image: []).detect(IMAGE) == []


@pytest.mark.parametrize(
    "box",
    [Box(-5, -5, 10, 10), Box(95, 75, 10, 10), Box(-50, -50, 300, 300), Box(99.5, 0, 1, 1)],
)
def test_box_may_reach_over_the_edge(box):
    assert guarded(lambda image: [Detection(box)]).detect(IMAGE) == [Detection(box)]


@pytest.mark.parametrize(
    "box",
    [
        Box(math.nan, 0, 9, 9),
        Box(0, 0, math.nan, 9),
        Box(0, math.inf, 9, 9),
        Box(0, 0, 9, math.inf),
        Box(0, 0, 0, 9),
        Box(0, 0, 9, -1),
        Box(100, 0, 9, 9),
        Box(0, 80, 9, 9),
        Box(-9, 0, 9, 9),
        Box(0, -9, 9, 9),
    ],
    ids=str,
)
def test_impossible_box_breaks_the_contract(box):
    detector = guarded(lambda image: [Detection(Box(0, 0, 9, 9)), Detection(box)])
    with pytest.raises(PluginContractError, match=r"fixed .*100x80.* it returned ") as info:
        detector.detect(IMAGE)
    assert repr(box) in str(info.value)


@pytest.mark.parametrize(
    "wrong",
    [
        (1, 2, 3, 4),
        Box(1, 2, 3, 4),
        None,
        Detection((1, 2, 3, 4)),
        Detection(None),
        Detection(Box("1", 2, 3, 4)),
        Detection(Box(1, 2, 3, 4), score=None),
        Detection(Box(1, 2, 3, 4), score=math.nan),
    ],
    ids=repr,
)
def test_wrong_type_breaks_the_contract(wrong):
    with pytest.raises(PluginContractError, match="fixed must return Detections"):
        guarded(lambda image: [wrong]).detect(IMAGE)


def test_detector_that_raises_is_named_with_its_cause():
    def fail(image):
        raise ZeroDivisionError("no eyes")

    message = "fixed failed in detect on a 100x80 image: ZeroDivisionError: no eyes"
    with pytest.raises(PluginRuntimeError, match=message) as caught:
        guarded(fail).detect(IMAGE)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_detector_that_raises_halfway_is_named():
    def fail_late(image):
        yield Detection(Box(0, 0, 9, 9))
        raise ZeroDivisionError

    with pytest.raises(PluginRuntimeError, match="fixed failed"):
        guarded(fail_late).detect(IMAGE)


def test_error_that_a_detector_raises_on_purpose_is_left_alone():
    error = ImageError("too dark")

    def refuse(image):
        raise error

    with pytest.raises(ImageError) as caught:
        guarded(refuse).detect(IMAGE)
    assert caught.value is error
