"""What plugins built is held to the contract; errors name the component."""

import math

import numpy as np
import pytest
from tests.conftest import FixedDetector

from emonet.errors import ImageError, PluginContractError, PluginRuntimeError
from emonet.plugin import Box, Detection, FeaturePart
from emonet.registry.guard import GuardedDetector, GuardedExtractor

IMAGE = np.zeros((80, 100, 3), np.uint8)
BOX = (0.0, 0.0, 0.5, 0.5)


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


@pytest.mark.parametrize("returned", [None, Detection(Box(0, 0, 9, 9)), 3])
def test_detector_that_returns_no_list_is_told_so(returned):
    detector = guarded(lambda image: returned)
    with pytest.raises(PluginContractError, match="fixed must return a list of Detections") as info:
        detector.detect(IMAGE)
    assert type(returned).__name__ in str(info.value)


def test_scores_are_plain_numbers_whatever_they_were():
    (found,) = guarded(lambda image: [Detection(Box(0, 0, 9, 9), np.float32(0.5))]).detect(IMAGE)
    assert (type(found.score), found.score) == (float, 0.5)


def test_detector_can_not_write_into_the_image():
    def detect(image):
        image[:] = 9
        return []

    with pytest.raises(PluginRuntimeError, match=r"fixed failed in detect .* read-only"):
        guarded(detect).detect(IMAGE)
    assert not IMAGE.any()
    assert IMAGE.flags.writeable


class Extractor:
    """What a test wants of a feature extractor."""

    def __init__(self, *, num_features=4, state=None, parts=None):
        self.num_features = num_features
        if parts is not None:
            self.parts = lambda vector: parts
        self.state = {} if state is None else state

    def transform(self, images):
        images[:] = 0
        return np.zeros((len(images), 4))

    def get_state(self):
        return self.state

    def set_state(self, state):
        pass


def test_length_of_vectors_may_be_of_numpy():
    length = GuardedExtractor(Extractor(num_features=np.int64(4)), "extractor mine").num_features
    assert (type(length), length) == (int, 4)


def test_extractor_may_tell_the_parts_of_a_vector():
    assert GuardedExtractor(Extractor(), "extractor mine").parts(np.zeros(4)) == ()
    parts = [
        FeaturePart("eye", slice(0, 2), (0.3, 0.4, 0, 0)),
        FeaturePart("ear", slice(2, 4), BOX),
    ]
    assert GuardedExtractor(Extractor(parts=parts), "extractor mine").parts(np.zeros(4)) == parts


@pytest.mark.parametrize(
    "part",
    [
        "eye",
        FeaturePart(3, slice(0, 2), BOX),
        FeaturePart("eye", slice(4, 6), BOX),
        FeaturePart("eye", [0, 1], BOX),
        FeaturePart("eye", slice(0, 2), BOX[:2]),
        FeaturePart("eye", slice(0, 2), (0, 0, 1, math.nan)),
    ],
    ids=str,
)
def test_parts_that_break_the_contract_are_refused(part):
    extractor = GuardedExtractor(Extractor(parts=[part]), "extractor mine")
    with pytest.raises(PluginContractError, match="mine must return FeatureParts"):
        extractor.parts(np.zeros(4))


def test_extractor_can_not_write_into_the_faces():
    faces = np.ones((2, 8, 8), np.uint8)
    with pytest.raises(PluginRuntimeError, match=r"mine failed in transform: .* read-only"):
        GuardedExtractor(Extractor(), "extractor mine").transform(faces)
    assert faces.all()


@pytest.mark.parametrize(
    "state",
    [
        [1, 2],
        {"a": "text"},
        {"a": [[1], [2, 3]]},
        {"a": 1j},
        {"a": np.array([1, None])},
        {"a": math.nan},
        {"a": np.longdouble(1)},
        {3: 1.0},
    ],
    ids=str,
)
def test_state_that_can_not_be_saved_breaks_the_contract(state):
    with pytest.raises(PluginContractError, match=r"mine must return .* get_state"):
        GuardedExtractor(Extractor(state=state), "extractor mine").get_state()


def test_state_may_be_numbers_of_any_plain_kind():
    state = {"flag": True, "count": 3, "mean": np.float16([1, 2]), "none": np.zeros((0, 2))}
    saved = GuardedExtractor(Extractor(state=state), "extractor mine").get_state()
    assert saved.keys() == state.keys()
    assert all(isinstance(array, np.ndarray) for array in saved.values())
