"""What the demo answers, without a browser."""

import csv
import threading
from pathlib import Path

import numpy as np
import pytest
from tests.integration.conftest import Run

from emonet import EmotionRecognizer, load_image
from emonet.demo.answers import Answers, Camera
from emonet.errors import ImageError


@pytest.fixture(scope="module")
def recognizer():
    return EmotionRecognizer.from_pretrained("tiny")


def rows(path):
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_photo(recognizer, astronaut, tmp_path):
    annotated, probabilities, table, file = Answers(recognizer, tmp_path).photo(str(astronaut))
    (face,) = recognizer.predict(astronaut).faces
    assert probabilities == face.probabilities
    assert table["headers"] == ["face", "label", "score", *recognizer.labels]
    assert table["data"][0][:3] == [0, "happiness", round(face.score, 3)]
    assert (np.asarray(annotated) != load_image(astronaut)).any()
    (row,) = rows(file)
    assert row["label"] == "happiness"
    assert float(row["score"]) == face.score


def test_a_photo_without_a_face(recognizer, tmp_path):
    from PIL import Image

    Image.new("RGB", (64, 48)).save(tmp_path / "plain.png")
    answers = Answers(recognizer, tmp_path)
    _, probabilities, table, file = answers.photo(str(tmp_path / "plain.png"))
    assert probabilities is None
    assert table["data"] == []
    assert rows(file) == []


def test_a_heat_map_of_a_label(recognizer, astronaut, tmp_path):
    answers = Answers(recognizer, tmp_path)
    drawn = [np.asarray(answers.heat_map(str(astronaut), label)) for label in (None, "fear")]
    assert (drawn[0] != drawn[1]).any()


def test_what_can_not_be_read_raises(recognizer, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"broken")
    with pytest.raises(ImageError):
        Answers(recognizer, tmp_path).photo(str(tmp_path / "broken.jpg"))


def test_a_film(recognizer, astronaut, tmp_path):
    import cv2

    frame = load_image(astronaut)
    film = str(tmp_path / "film.mp4")
    writer = cv2.VideoWriter(film, cv2.VideoWriter.fourcc(*"mp4v"), 10, frame.shape[1::-1])
    for _ in range(20):
        writer.write(frame[..., ::-1])
    writer.release()
    *previews, last = Answers(recognizer, tmp_path).film(film)
    assert len(previews) == 4  # one for each half second
    assert all(copy is None and file is None for _, copy, file in previews)
    _, copy, file = last
    assert {row["label"] for row in rows(file)} == {"happiness"}
    assert {row["track"] for row in rows(file)} == {"1"}
    assert len(rows(file)) == 10  # five for each second
    read = cv2.VideoCapture(copy)
    assert read.get(cv2.CAP_PROP_FRAME_WIDTH) == frame.shape[1]
    read.release()


def test_a_camera_follows_a_face_until_it_is_closed(recognizer, astronaut):
    frame = load_image(astronaut)
    before = threading.active_count()
    camera = Camera(recognizer)
    for _ in range(3):
        annotated, probabilities = camera.look(frame)
        assert annotated.size == frame.shape[1::-1]
        assert max(probabilities, key=probabilities.get) == "happiness"
    _, nobody = camera.look(np.zeros_like(frame))
    assert nobody is None
    camera.close()
    for thread in threading.enumerate():
        if thread.name == "emonet-camera":
            thread.join(20)
    assert threading.active_count() <= before


def test_a_port_in_use_is_said(run_process: Run) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = run_process("demo", "--model", "tiny", "--port", str(port))
    assert outcome.status == 2
    assert outcome.err.startswith(f"emonet: Can't listen on 127.0.0.1 port {port}: ")
    assert outcome.err.endswith(". Choose another --port\n")
