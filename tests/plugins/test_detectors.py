"""The built-in face detectors."""

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import emonet
from emonet.errors import (
    ComponentNotFoundError,
    ConfigError,
    HubError,
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


YUNET = os.environ.get("EMONET_TEST_YUNET")
CHECKS = [
    *detector_checks("dlib_hog", upsample=0),
    *detector_checks("whole_image"),
    *(detector_checks("yunet", model_path=YUNET) if YUNET else ()),
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


def test_yunet_without_a_connection_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    # The Hub's client tries six times and waits for 23 seconds in between.
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with pytest.raises(HubError) as raised:
        emonet.create_detector("yunet")
    message = str(raised.value)
    assert message.startswith("yunet: ")
    assert yunet.REPOSITORY in message
    assert "model_path" in message
    assert "dlib_hog" in message


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
    if YUNET is None:
        pytest.skip("EMONET_TEST_YUNET names no file of YuNet's")
    detector = emonet.create_detector("yunet", model_path=YUNET, score_threshold=0)
    # The guard around every detector raises where a box is.
    for found in detector.detect(np.full((side, side, 3), 127, np.uint8)):
        assert max(found.box.width, found.box.height) <= 2 * side


def test_yunet_finds_the_face_and_its_landmarks(photo: np.ndarray) -> None:
    if YUNET is None:
        pytest.skip("EMONET_TEST_YUNET names no file of YuNet's")
    detector = emonet.create_detector("yunet", model_path=YUNET)
    (detection,) = detector.detect(photo)
    assert_near(detection.box, Box(178, 63, 90, 113))
    assert 0.6 < detection.score <= 1
    assert detection.landmarks.shape == (5, 2)
    right_eye, left_eye, nose, right_mouth, left_mouth = detection.landmarks
    assert right_eye[0] < nose[0] < left_eye[0]  # the person's right is the image's left
    assert right_mouth[0] < left_mouth[0]
    assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_mouth[1], left_mouth[1])

    (shrunken,) = emonet.create_detector("yunet", model_path=YUNET, max_side=200).detect(photo)
    assert_near(shrunken.box, detection.box)
    assert np.abs(shrunken.landmarks - detection.landmarks).max() < 10
    assert detector.detect(np.zeros((40, 300, 3), np.uint8)) == []
    with ThreadPoolExecutor(4) as pool:
        images = [photo, photo[:, :400]] * 4
        threaded = list(pool.map(detector.detect, images))
    assert threaded == [detector.detect(image) for image in images]
    assert hashlib.sha256(Path(YUNET).read_bytes()).hexdigest() == yunet.SHA256


@dataclass
class Hub:
    """A server of one file, with the few endpoints of the Hub that a download uses."""

    content: bytes | None = None
    requests: list[str] = field(default_factory=list)
    url: str = ""

    @property
    def path(self) -> str:
        return f"/{yunet.REPOSITORY}/resolve/{yunet.REVISION}/{yunet.FILE}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append(f"{handler.command} {handler.path}")
        content = self.content if handler.path == self.path else None
        if content is None:
            handler.send_response(404)
            handler.send_header("X-Error-Code", "EntryNotFound")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.send_response(200)
        handler.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        handler.send_header("X-Repo-Commit", yunet.REVISION)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(content)

    def run(self, code: str, cache: Path) -> subprocess.CompletedProcess:
        """Run code in a process of its own: the Hub's client reads its settings once."""
        environment = {**os.environ, "HF_ENDPOINT": self.url, "HF_HOME": str(cache)}
        environment |= {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        return subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hub.answer(self)

        do_HEAD = do_GET

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield hub
        server.shutdown()
        thread.join()


CREATE = """
import emonet
from emonet.errors import EmonetError
try:
    emonet.create_detector("yunet")
except EmonetError as error:
    print(type(error).__name__, error)
"""


def test_yunet_refuses_a_download_of_other_bytes(hub: Hub, tmp_path: Path) -> None:
    hub.content = b"not what was published"
    finished = hub.run(CREATE, tmp_path)
    assert finished.stdout.startswith("WeightsError yunet: "), finished.stderr
    assert hashlib.sha256(hub.content).hexdigest() in finished.stdout
    assert yunet.SHA256 in finished.stdout
    assert str(tmp_path) in finished.stdout
    assert f"GET {hub.path}" in hub.requests


def test_yunet_says_what_to_do_when_the_hub_has_no_such_file(hub: Hub, tmp_path: Path) -> None:
    finished = hub.run(CREATE, tmp_path)
    assert finished.stdout.startswith("HubError yunet: "), finished.stderr
    assert "model_path" in finished.stdout
    assert f"HEAD {hub.path}" in hub.requests


def test_yunet_is_fetched_once(hub: Hub, tmp_path: Path) -> None:
    hub.content = b"stands for the published file"
    code = (
        "from emonet_detectors import yunet\n"
        f"yunet.SHA256 = {hashlib.sha256(hub.content).hexdigest()!r}\n"
        "print(yunet.fetch())\n"
    )
    first = hub.run(code, tmp_path)
    assert Path(first.stdout.strip()).read_bytes() == hub.content, first.stderr
    assert hub.requests.count(f"GET {hub.path}") == 1, hub.requests
    hub.requests.clear()
    assert hub.run(code, tmp_path).stdout == first.stdout
    assert not [request for request in hub.requests if yunet.FILE in request]
