"""Faces that the caller has found: no detector runs, and a bad box is named."""

from pathlib import Path

import numpy as np
import pytest

from emonet import EmotionRecognizer, Framing
from emonet.errors import ConfigError, InputError
from emonet.pipeline.boxes import MAX_BOXES, as_detections
from emonet.pipeline.images import load_image
from emonet.results import Box

FACE = (140, 66, 88, 111)


@pytest.fixture(scope="module")
def recognizer() -> EmotionRecognizer:
    return EmotionRecognizer.from_pretrained("tiny")


@pytest.fixture
def without_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(config: object) -> None:
        raise AssertionError("a detector was built")

    monkeypatch.setattr("emonet.assembly.sessions.build_detector", build)


@pytest.mark.usefixtures("without_detector")
def test_faces_come_in_the_order_of_their_boxes(astronaut: Path) -> None:
    recognizer = EmotionRecognizer.from_pretrained("tiny")
    faces = recognizer.predict(astronaut, boxes=[(0, 0, 50, 60), FACE]).faces
    assert [face.box for face in faces] == [Box(0, 0, 50, 60), Box(*FACE)]
    assert faces[1].label == "happiness"


def test_a_box_of_the_detector_gives_the_detectors_answer(
    recognizer: EmotionRecognizer, astronaut: Path
) -> None:
    (found,) = recognizer.predict(astronaut).faces
    (given,) = recognizer.predict(astronaut, boxes=[found.detection.box]).faces
    assert given.probabilities == found.probabilities


def test_framing_says_what_is_cropped(recognizer: EmotionRecognizer, astronaut: Path) -> None:
    image, (x, y) = load_image(astronaut), (140, 80)
    (face,) = recognizer.predict(image, boxes=[(x, y, 96, 96)], framing=Framing()).faces
    crop = image[y : y + 96, x : x + 96]
    expected = recognizer.predict_proba([crop])[0]
    np.testing.assert_allclose([*face.probabilities.values()], expected, atol=1e-6)
    with pytest.raises(ConfigError, match="framing must be a Framing"):
        recognizer.predict(image, framing=1.2)


@pytest.mark.parametrize(
    "boxes",
    [
        [FACE],
        np.array([FACE]),
        np.array([FACE], np.float32),
        [np.array(FACE)],
        [Box(*FACE)],
        (box for box in [FACE]),
    ],
    ids=["tuples", "integers", "floats", "a list of arrays", "Box", "a generator"],
)
def test_boxes_have_many_forms(boxes: object) -> None:
    (found,) = as_detections(boxes, 400, 400)
    assert found.box == Box(*FACE)


def test_a_box_may_reach_beyond_the_image() -> None:
    (found,) = as_detections([(-20, -30, 700, 800)], 100, 100)
    assert found.box == Box(-20, -30, 700, 800)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([FACE, (10, 10, 0, 20)], r"boxes\[1\] = \(10, 10, 0, 20\) is empty"),
        ([(10, 10, 20, -5)], r"boxes\[0\] = \(10, 10, 20, -5\) is empty"),
        ([(float("nan"), 10, 20, 20)], r"boxes\[0\] = \(nan, 10, 20, 20\) .* not finite"),
        ([(0, 0, float("inf"), 20)], r"not finite"),
        ([FACE, FACE, (400, 0, 9, 9)], r"boxes\[2\] .* outside the image of 400x300"),
        ([(0, 300, 9, 9)], "outside the image"),
        ([(-9, 0, 9, 9)], "outside the image"),
        ([(0, -9, 9, 9)], "outside the image"),
        ([(1, 2, 3)], r"boxes\[0\] must be \(x, y, width, height\), got \(1, 2, 3\)"),
        ([(1, 2, 3, 4, 5)], r"boxes\[0\] must be"),
        ([("1", "2", "3", "4")], r"boxes\[0\] must be"),
        ([(1, 2, 3, None)], r"boxes\[0\] must be"),
        ([(1, 2, 3, 10**400)], r"boxes\[0\] must be"),
        (FACE, r"boxes\[0\] must be .* got 140"),
        ("1234", r"boxes\[0\] must be .* got '1'"),
        (7, r"boxes must be a list of \(x, y, width, height\) for each image, got 7"),
        (np.array(7), r"boxes must be a list"),
        ([FACE] * 2345, f"may have {MAX_BOXES} boxes, got 2345"),
        ((FACE for _ in range(2345)), f"got more than {MAX_BOXES}"),
    ],
)
def test_a_bad_box_is_named(boxes: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_detections(boxes, 400, 300)


def test_one_image_with_a_bad_box_does_not_lose_the_others(
    recognizer: EmotionRecognizer, astronaut: Path
) -> None:
    boxes = [[FACE], [FACE, (0, 0, 0, 0)], [], [FACE]]
    first, bad, none, last = recognizer.predict([astronaut] * 4, boxes=boxes)
    assert isinstance(bad.error, InputError)
    assert "boxes[1]" in str(bad.error)
    assert bad.path == str(astronaut)
    assert none.faces == ()
    assert first.faces[0].label == last.faces[0].label == "happiness"
    with pytest.raises(InputError, match=r"boxes\[1\]"):
        recognizer.predict(astronaut, boxes=boxes[1])


@pytest.mark.parametrize(
    ("images", "lists", "message"),
    [(3, 2, "only 2 lists of boxes"), (1, 2, "only 1 images")],
)
def test_each_image_needs_its_boxes(
    recognizer: EmotionRecognizer, astronaut: Path, images: int, lists: int, message: str
) -> None:
    results = recognizer.stream([astronaut] * images, boxes=[[FACE]] * lists)
    for _ in range(min(images, lists)):
        assert next(results).faces[0].label == "happiness"
    with pytest.raises(InputError, match=message):
        next(results)


def test_a_camera_may_bring_its_boxes() -> None:
    recognizer = EmotionRecognizer.from_pretrained("tiny")
    frames = []

    def camera():
        for shift in range(3):
            frames.append(shift)
            yield np.full((50, 60, 3), 90, np.uint8)

    boxes = ([(shift, 5, 20, 20)] for shift in range(3))
    for index, result in enumerate(recognizer.stream(camera(), boxes=boxes, ahead=0)):
        assert result.faces[0].box.x == index == frames[-1]
