"""The built-in face detectors."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

import emonet
from emonet.errors import (
    ComponentNotFoundError,
    ConfigError,
    ModelNotFoundError,
    WeightsError,
)
from emonet.pipeline.images import load_image
from emonet.plugin import Box
from emonet.testing import Check, detector_checks
from emonet_detectors import yunet
from emonet_detectors.shrinking import shrunk

FACE = Box(138, 70, 90, 90)


@pytest.fixture(scope="module")
def photo(astronaut: Path) -> np.ndarray:
    image = load_image(astronaut)
    image.setflags(write=False)
    return image


def assert_near(box: Box, expected: Box, tolerance: float = 20) -> None:
    assert np.abs(np.subtract([*box], [*expected])).max() < tolerance, box


def test_dlib_hog_finds_the_face(photo: np.ndarray) -> None:
    (detection,) = emonet.create_detector("dlib_hog").detect(photo)
    assert_near(detection.box, FACE)
    assert detection.score > 0.5
    assert detection.landmarks is None
    assert not detection.framed


CHECKS = [
    *detector_checks("dlib_hog", upsample=0),
    *detector_checks("whole_image"),
    *detector_checks("yunet"),
    *detector_checks("yunet", tilted=True),
]


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_a_detector_keeps_the_contract(check: Check) -> None:
    check()


def test_dlib_hog_finds_every_face(photo: np.ndarray) -> None:
    detector = emonet.create_detector("dlib_hog", upsample=0, score_threshold=0.5)
    detections = detector.detect(np.hstack([photo, photo]))
    left, right = sorted(detections, key=lambda detection: detection.box.x)
    assert_near(left.box, FACE)
    assert_near(right.box, Box(FACE.x + photo.shape[1], FACE.y, FACE.width, FACE.height))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((200, 300, 3), np.uint8),
        np.full((200, 300, 3), 255, np.uint8),
        np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8),
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((3, 2000, 3), np.uint8),
    ],
    ids=["black", "white", "noise", "one pixel", "a thin line"],
)
def test_dlib_hog_finds_nothing_where_there_is_no_face(image: np.ndarray) -> None:
    assert list(emonet.create_detector("dlib_hog").detect(image)) == []


def test_dlib_hog_answers_several_threads_alike(photo: np.ndarray) -> None:
    detector = emonet.create_detector("dlib_hog", upsample=0)
    images = [photo, photo[:, ::-1], photo[20:, 30:]] * 2
    alone = [detector.detect(image) for image in images]
    assert all(alone)
    start = threading.Barrier(len(images))

    def detect(image: np.ndarray) -> list:
        start.wait()
        return detector.detect(image)

    with ThreadPoolExecutor(len(images)) as pool:
        assert list(pool.map(detect, images)) == alone


def test_boxes_are_in_pixels_of_the_image_however_much_it_was_shrunk(photo: np.ndarray) -> None:
    (detection,) = emonet.create_detector("dlib_hog", max_side=300).detect(photo)
    assert_near(detection.box, FACE)


def test_a_face_that_shrinking_makes_too_small_is_not_found(photo: np.ndarray) -> None:
    assert emonet.create_detector("dlib_hog", max_side=80).detect(photo) == []


def test_a_higher_threshold_finds_less(photo: np.ndarray) -> None:
    counts = [
        len(emonet.create_detector("dlib_hog", score_threshold=threshold).detect(photo))
        for threshold in (-1.0, 0.5, 3.0)
    ]
    assert counts[0] > counts[1] == 1
    assert counts[2] == 0


@pytest.mark.parametrize(
    ("shape", "max_side", "expected", "factor"),
    [
        ((100, 400), 400, (100, 400), 1),
        ((100, 400), 200, (50, 200), 2),
        ((400, 100), 100, (100, 25), 4),
        ((2, 1000), 100, (1, 100), 10),
    ],
)
def test_large_images_are_shrunk_to_the_longest_side(
    shape: tuple, max_side: int, expected: tuple, factor: float
) -> None:
    image = np.full((*shape, 3), 90, np.uint8)
    small, back = shrunk(image, max_side)
    assert small.shape == (*expected, 3)
    assert small.dtype == np.uint8
    assert back == factor
    assert (small == 90).all()
    assert (small is image) == (factor == 1)


@pytest.mark.parametrize(
    ("detector", "key", "value"),
    [
        *[("dlib_hog", "upsample", value) for value in (-1, 5, 1.0, True, "1", None)],
        *[("dlib_hog", "score_threshold", value) for value in (-11, float("nan"), "0", None)],
        *[("dlib_hog", "max_side", value) for value in (79, 100.0, None)],
        *[("yunet", "score_threshold", value) for value in (-0.1, 1.1, None)],
        *[("yunet", "nms_threshold", value) for value in (-0.1, 1.1, "0.3")],
        *[("yunet", "max_side", value) for value in (31, 320.0)],
        *[("yunet", "tilted", value) for value in (1, "true", None)],
        *[("yunet", "model_path", value) for value in (3, b"model.onnx", True)],
    ],
)
def test_an_illegal_setting_is_refused_by_name(detector: str, key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{detector}: {key} must be"):
        emonet.create_detector(detector, **{key: value})


def test_an_unknown_detector_suggests_the_nearest() -> None:
    with pytest.raises(ComponentNotFoundError, match="Did you mean 'yunet'"):
        emonet.create_detector("yu_net")


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ((48, 48), Box(0, 0, 48, 48)),
        ((60, 100), Box(20, 0, 60, 60)),
        ((101, 60), Box(0, 20.5, 60, 60)),
        ((1, 1), Box(0, 0, 1, 1)),
    ],
)
def test_whole_image_takes_the_centred_square_as_it_is(shape: tuple, box: Box) -> None:
    detector = emonet.create_detector("whole_image")
    (detection,) = detector.detect(np.zeros((*shape, 3), np.uint8))
    assert detection.box == box
    assert detection.framed
    assert detection.landmarks is None


def test_yunet_refuses_a_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(yunet.FILE.read_bytes())
    content[1000] ^= 1
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(content)
    monkeypatch.setattr(yunet, "FILE", damaged)
    with pytest.raises(WeightsError, match=r"yunet: .*damaged.*Reinstall emonet") as raised:
        emonet.create_detector("yunet")
    assert hashlib.sha256(content).hexdigest() in str(raised.value)
    monkeypatch.setattr(yunet, "FILE", tmp_path / "missing.onnx")
    with pytest.raises(WeightsError, match=r"yunet: .*missing\.onnx.*Reinstall emonet"):
        emonet.create_detector("yunet")


def test_yunet_takes_a_file_of_the_user(photo: np.ndarray, tmp_path: Path) -> None:
    own = tmp_path / "own.onnx"
    own.write_bytes(yunet.FILE.read_bytes())
    (found,) = emonet.create_detector("yunet", model_path=str(own)).detect(photo)
    assert [found] == emonet.create_detector("yunet").detect(photo)


def test_the_licences_of_yunet_are_beside_its_file() -> None:
    texts = {path.name: path.read_text() for path in yunet.FILE.parent.glob("LICENSE*")}
    assert sorted(texts) == [
        "LICENSE.libfacedetection.train.Apache-2.0.txt",
        "LICENSE.opencv_zoo.MIT.txt",
    ]
    assert "Apache License" in texts["LICENSE.libfacedetection.train.Apache-2.0.txt"]
    assert "MIT License" in texts["LICENSE.opencv_zoo.MIT.txt"]


@pytest.mark.parametrize("path", ["missing.onnx", "."])
def test_yunet_refuses_a_path_without_a_file(path: str, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError) as raised:
        emonet.create_detector("yunet", model_path=str(tmp_path / path))
    assert str(tmp_path / path) in str(raised.value)
    assert "model_path" in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"no ONNX at all", bytes(range(256)) * 40])
def test_yunet_refuses_a_file_that_is_no_onnx(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(content)
    with pytest.raises(WeightsError) as raised:
        emonet.create_detector("yunet", model_path=str(file))
    assert str(file) in str(raised.value)


@pytest.mark.parametrize("side", [8, 16, 26])
def test_yunet_without_a_threshold_reports_no_box_out_of_proportion(side: int) -> None:
    detector = emonet.create_detector("yunet", score_threshold=0)
    # The guard around every detector raises where a box is.
    for found in detector.detect(np.full((side, side, 3), 127, np.uint8)):
        assert max(found.box.width, found.box.height) <= 2 * side


@pytest.mark.parametrize("size", [480, 1000, 3000])
def test_yunet_finds_a_face_that_fills_the_picture(photo: np.ndarray, size: int) -> None:
    close = cv2.resize(np.ascontiguousarray(photo[40:200, 105:265]), (size, size))
    (detection,) = emonet.create_detector("yunet").detect(close)
    scale = size / 160
    assert_near(detection.box, Box(35 * scale, 26 * scale, 88 * scale, 111 * scale), 25 * scale)
    assert detection.landmarks.max() < size


def test_yunet_finds_a_face_once_in_an_image_of_any_size(photo: np.ndarray) -> None:
    for size in (300, 500, 900, 2000):
        image = cv2.resize(photo, (size, size))
        (detection,) = emonet.create_detector("yunet").detect(image)
        assert_near(detection.box, Box(*(np.array([140, 66, 88, 111]) * size / 400)), 0.1 * size)


@pytest.mark.parametrize("size", [(400, 400), (500, 1800)])
@pytest.mark.parametrize("degrees", [-50, 0, 50])
def test_yunet_places_a_tilted_head_if_asked(
    photo: np.ndarray, degrees: int, size: tuple[int, int]
) -> None:
    (expected,) = emonet.create_detector("yunet").detect(photo)
    height, width = size  # the large image is shrunk first
    matrix = cv2.getRotationMatrix2D((200, 200), degrees, 1)
    matrix[:, 2] += (width - 400) / 2, (height - 400) / 2
    image = cv2.warpAffine(photo, matrix, (width, height))
    (found,) = emonet.create_detector("yunet", tilted=True).detect(image)
    place = expected.landmarks @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(found.landmarks - place).max() < 15
    assert found.roll == pytest.approx(-degrees, abs=12)
    # The box keeps its size, about the place of the face.
    box = expected.box
    x, y = matrix @ (box.x + box.width / 2, box.y + box.height / 2, 1)
    moved = Box(x - box.width / 2, y - box.height / 2, box.width, box.height)
    assert_near(found.box, moved, 15)
    if degrees:
        upright = emonet.create_detector("yunet").detect(image)
        assert all(abs(found.roll) > abs(other.roll) + 20 for other in upright)


def test_yunet_finds_the_face_and_its_landmarks(photo: np.ndarray) -> None:
    detector = emonet.create_detector("yunet")
    (detection,) = detector.detect(photo)
    assert_near(detection.box, Box(140, 66, 88, 111))
    assert 0.8 < detection.score <= 1
    assert detection.landmarks.shape == (5, 2)
    right_eye, left_eye, nose, right_mouth, left_mouth = detection.landmarks
    assert right_eye[0] < nose[0] < left_eye[0]  # the person's right is the image's left
    assert right_mouth[0] < left_mouth[0]
    assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_mouth[1], left_mouth[1])

    (shrunken,) = emonet.create_detector("yunet", max_side=200).detect(photo)
    assert_near(shrunken.box, detection.box)
    assert np.abs(shrunken.landmarks - detection.landmarks).max() < 10
    assert detector.detect(np.zeros((40, 300, 3), np.uint8)) == []
    with ThreadPoolExecutor(4) as pool:
        images = [photo, photo[:, :400]] * 4
        threaded = list(pool.map(detector.detect, images))
    assert threaded == [detector.detect(image) for image in images]
