"""Tilted heads: roll from five landmarks, turned crops, and squares from landmarks alone."""

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.conftest import FixedDetector

import emonet
from emonet import EmotionRecognizer
from emonet.config import Framing
from emonet.pipeline.crops import FIVE_LANDMARKS, crop_faces, square_of_landmarks
from emonet.pipeline.images import load_image
from emonet.plugin import DetectorSpec
from emonet.results import Box, Detection

SIZE = (60, 60)


def rotated(points: np.ndarray, degrees: float) -> np.ndarray:
    """Turn points clockwise in the image about the origin."""
    angle = np.deg2rad(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def tilted(degrees: float, side: float = 60, centre: tuple = (100, 90)) -> Detection:
    """A face of FER-2013's framing, with its box around it, whose head is tilted."""
    landmarks = rotated(FIVE_LANDMARKS * side, degrees) + centre
    box = Box(centre[0] - side / 2, centre[1] - side / 2, side, side)
    return Detection(box, landmarks=landmarks.astype(np.float32))


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """A smooth RGB picture, so that resampling changes little."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 14, 3), np.uint8)
    return cv2.resize(noise, (200, 180), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("degrees", [-170, -45, -5, 0, 20, 90, 135])
def test_roll_is_the_tilt_of_the_head(degrees: float) -> None:
    assert tilted(degrees).roll == pytest.approx(degrees, abs=1e-3)


def test_roll_of_a_profile_follows_from_eyes_and_mouth() -> None:
    landmarks = FIVE_LANDMARKS * (0.02, 1)
    assert Detection(Box(0, 0, 1, 1), landmarks=rotated(landmarks, 30)).roll == pytest.approx(30)


def test_without_five_landmarks_there_is_no_roll() -> None:
    assert Detection(Box(0, 0, 9, 9)).roll == 0
    assert Detection(Box(0, 0, 9, 9), landmarks=np.ones((68, 2), np.float32)).roll == 0


@pytest.mark.parametrize("degrees", [-80, -30, 15, 45])
def test_the_crop_of_a_tilted_head_is_turned(picture: np.ndarray, degrees: float) -> None:
    matrix = cv2.getRotationMatrix2D((99.5, 89.5), degrees, 1)
    upright = cv2.warpAffine(picture, matrix, (200, 180), borderMode=cv2.BORDER_REPLICATE)
    (expected,) = crop_faces(upright, [tilted(0)], Framing(), [SIZE])[SIZE]
    (turned,) = crop_faces(picture, [tilted(degrees)], Framing(), [SIZE], "eyes")[SIZE]
    (straight,) = crop_faces(picture, [tilted(degrees)], Framing(), [SIZE])[SIZE]
    assert np.abs(turned.astype(int) - expected).mean() < 4
    assert np.abs(straight.astype(int) - expected).mean() > 12


def test_the_offset_from_the_box_turns_with_the_head(picture: np.ndarray) -> None:
    matrix = cv2.getRotationMatrix2D((99.5, 89.5), 40, 1)
    upright = cv2.warpAffine(picture, matrix, (200, 180), borderMode=cv2.BORDER_REPLICATE)
    framing = Framing(scale=0.8, shift_x=0.2, shift_y=-0.3)
    (expected,) = crop_faces(upright, [tilted(0)], framing, [SIZE])[SIZE]
    (turned,) = crop_faces(picture, [tilted(40)], framing, [SIZE], "eyes")[SIZE]
    assert np.abs(turned.astype(int) - expected).mean() < 4


@pytest.mark.parametrize("degrees", [-11, 0, 3])
def test_an_upright_head_is_cropped_pixel_by_pixel(picture: np.ndarray, degrees: float) -> None:
    (face,) = crop_faces(picture, [tilted(degrees)], Framing(), [SIZE], "eyes")[SIZE]
    expected = cv2.cvtColor(picture[60:120, 70:130].copy(), cv2.COLOR_RGB2GRAY)
    np.testing.assert_array_equal(face, expected)


@pytest.mark.parametrize("centre", [(0, 0), (199, 179), (-20, 90)])
@pytest.mark.parametrize("side", [1, 60, 5000])
def test_a_tilted_head_at_the_edge_is_cropped(
    picture: np.ndarray, centre: tuple, side: float
) -> None:
    faces = crop_faces(picture, [tilted(33, side, centre)], Framing(scale=3), [SIZE], "eyes")[SIZE]
    assert faces.shape == (1, *SIZE)


@pytest.mark.parametrize("degrees", [-30, 0, 70])
def test_five_landmarks_give_the_square(degrees: float) -> None:
    x, y, side = square_of_landmarks(tilted(degrees, 80, (50, 70)).landmarks)
    assert (x, y, side) == pytest.approx((50, 70, 80), abs=1e-3)


def test_landmarks_of_the_sample_give_nearly_the_models_square(astronaut: Path) -> None:
    recognizer = EmotionRecognizer.from_pretrained("tiny")
    (face,) = recognizer.predict(astronaut).faces
    framing, box = recognizer.config.framing["yunet"], face.detection.box
    b = (box.width * box.height) ** 0.5
    x, y, side = square_of_landmarks(face.detection.landmarks)
    assert side == pytest.approx(framing.scale * b, rel=0.2)
    assert x == pytest.approx(box.x + box.width / 2 + framing.shift_x * b, abs=0.12 * b)
    assert y == pytest.approx(box.y + box.height / 2 + framing.shift_y * b, abs=0.12 * b)


def detecting(monkeypatch: pytest.MonkeyPatch, *detections: Detection) -> EmotionRecognizer:
    """A recognizer whose detector is unknown to the model and gives these detections."""
    spec = DetectorSpec(
        name="yunet", build=lambda config: FixedDetector(lambda image: list(detections))
    )
    recognizer = EmotionRecognizer.from_pretrained("tiny", detector="whole_image")
    monkeypatch.setattr(
        "emonet.assembly.sessions.build_detector", lambda config: spec.build(config)
    )
    return recognizer


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_an_unknown_framing_is_warned_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, astronaut: Path
) -> None:
    image = load_image(astronaut)
    box = Box(140, 66, 88, 111)
    recognizer = detecting(monkeypatch, Detection(box))
    faces = [result.faces[0] for result in recognizer.predict([image] * 3)]
    (message,) = warnings_of(caplog)
    assert "emonet framing MODEL --data DATA --detector whole_image" in message
    (expected,) = EmotionRecognizer.from_pretrained("tiny").predict(image, boxes=[box]).faces
    assert {face.score for face in faces} == {expected.score}


def test_landmarks_take_the_place_of_an_unknown_framing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, astronaut: Path
) -> None:
    image = load_image(astronaut)
    (found,) = emonet.create_detector("yunet").detect(image)
    odd = Detection(Box(90, 10, 200, 240), landmarks=found.landmarks)
    (face,) = detecting(monkeypatch, odd).predict(image).faces
    assert (face.label, warnings_of(caplog)) == ("happiness", [])
    x, y, side = square_of_landmarks(found.landmarks)
    square = Box(x - side / 2, y - side / 2, side, side)
    recognizer = EmotionRecognizer.from_pretrained("tiny")
    (expected,) = recognizer.predict(image, boxes=[square], framing=Framing()).faces
    assert face.score == pytest.approx(expected.score, abs=0.02)


def test_framed_faces_need_no_framing(caplog: pytest.LogCaptureFixture, astronaut: Path) -> None:
    recognizer = EmotionRecognizer.from_pretrained("tiny", detector="whole_image")
    assert len(recognizer.predict(astronaut).faces) == 1
    assert warnings_of(caplog) == []
