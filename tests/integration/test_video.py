"""Videos from end to end: a film in; tracked faces, tables and annotated films out."""

import csv
import itertools
import signal
import subprocess
import sys
import time
from collections import deque

import av
import cv2
import numpy as np
import pytest
from PIL import Image
from tests.films import UNEVEN, write_film, write_sound

from emonet import EmotionRecognizer
from emonet.errors import ConfigError, ImageError, NotFittedError, VideoError

SIDE = 200
#: Options that take each image as one face.
FAST = ("--model", "tiny", "--detector", "whole_image")


@pytest.fixture(scope="module")
def photo(astronaut):
    """A face that the detector finds quickly."""
    return np.asarray(Image.open(astronaut).convert("RGB").resize((SIDE, SIDE)))


@pytest.fixture(scope="module")
def blank():
    return np.full((SIDE, SIDE, 3), 128, np.uint8)


@pytest.fixture(scope="module")
def clip(photo, blank, tmp_path_factory):
    """A face that is there for the first 12 of 16 frames, at uneven times."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    frames = zip(UNEVEN, [photo] * 12 + [blank] * 4, strict=True)
    return write_film(path, frames, options={"movflags": "faststart"})


@pytest.fixture(scope="module")
def cut(photo, tmp_path_factory):
    """A film of 50 frames that is cut after about two thirds."""
    path = tmp_path_factory.mktemp("clips") / "cut.mov"
    frames = ((i / 25, photo) for i in range(50))
    write_film(path, frames, codec="mjpeg", options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    return path


@pytest.fixture(scope="module")
def recognizer():
    return EmotionRecognizer.from_pretrained("tiny")


@pytest.fixture(scope="module")
def whole():
    """Takes each image as one face."""
    return EmotionRecognizer.from_pretrained("tiny", detector="whole_image")


def test_a_film_gives_times_tracks_and_smoothed_labels(recognizer, clip):
    frames = list(recognizer.stream_video(clip))
    assert [frame.index for frame in frames] == list(range(16))
    assert [frame.seconds for frame in frames] == pytest.approx(UNEVEN, abs=1e-3)
    assert {frame.path for frame in frames} == {str(clip)}
    assert {(frame.width, frame.height) for frame in frames} == {(SIDE, SIDE)}
    assert {frame.image for frame in frames} == {None}
    assert [len(frame.faces) for frame in frames] == [1] * 12 + [0] * 4
    # The face is lost for more than a second twice.
    numbers = [frame.faces[0].track for frame in frames[:12]]
    assert numbers[:11] == [1] * 11
    assert numbers[11] == 2
    for frame in frames[:12]:
        (face,) = frame.faces
        assert face.label == "happiness"
        assert sum(face.probabilities.values()) == pytest.approx(1)
        assert list(face.raw_probabilities) == list(recognizer.labels)


def test_images_are_kept_where_asked_for(whole, clip, photo):
    frames = list(whole.stream_video(clip, images=True, every=4))
    assert [frame.index for frame in frames] == [0, 4, 8, 12]
    for frame in frames:
        assert frame.image.shape == (SIDE, SIDE, 3)
    assert np.abs(frames[0].image.astype(int) - photo).mean() < 8


def test_pairs_of_times_and_images_are_a_video(whole, photo, astronaut):
    pairs = [(0.0, photo), (0.5, str(astronaut)), (1.0, Image.fromarray(photo))]
    for images in (False, True):
        frames = list(whole.stream_video(iter(pairs), images=images))
        assert [(frame.seconds, frame.width) for frame in frames] == [
            (0, 200),
            (0.5, 400),
            (1, 200),
        ]
        assert all((frame.image is not None) == images for frame in frames)


def test_min_score_is_applied_after_smoothing(whole, photo):
    pairs = [(i / 25, photo) for i in range(3)]
    frames = list(whole.stream_video(pairs, min_score=1.0))
    for frame in frames:
        assert frame.faces[0].label is None
        assert frame.faces[0].score < 1


@pytest.mark.parametrize("images", [False, True])
def test_a_broken_frame_is_a_result_with_its_error(whole, photo, images):
    pairs = [(0, b"broken"), (1, photo), (2, b"broken"), (3, photo), (4, b"broken")]
    frames = list(whole.stream_video(pairs, images=images))
    assert [frame.seconds for frame in frames] == [0, 1, 2, 3, 4]
    assert [isinstance(frame.error, ImageError) for frame in frames] == [True, False] * 2 + [True]
    assert [len(frame.faces) for frame in frames] == [0, 1, 0, 1, 0]
    assert "error" in frames[0].to_dict()


@pytest.mark.parametrize("smoothing", ["causal", "centred", "none"])
def test_a_cut_film_gives_results_until_then(whole, cut, smoothing):
    frames = deque()
    with pytest.raises(VideoError, match="can't be read beyond"):
        frames.extend(whole.stream_video(cut, smoothing=smoothing))
    assert 25 < len(frames) < 40
    assert [frame.seconds for frame in frames] == pytest.approx(
        [i / 25 for i in range(len(frames))], abs=1e-3
    )


def test_an_error_of_an_iterable_comes_after_its_results(whole, photo):
    def camera():
        yield 0.0, photo
        raise RuntimeError("unplugged")

    frames = whole.stream_video(camera())
    assert next(frames).seconds == 0
    with pytest.raises(RuntimeError, match="unplugged"):
        next(frames)


def test_live_answers_before_it_takes_the_next_frame_and_counts_dropped_frames(whole, photo):
    frames = list(whole.stream_video(((i / 100, photo) for i in range(60)), live=True))
    assert frames[-1].index == 59
    assert len(frames) + sum(frame.dropped for frame in frames) == 60


def test_wrong_arguments_are_refused_at_once(whole, clip, tmp_path):
    for arguments, problem in {
        ("smoothing", "mean"): "smoothing",
        ("min_score", 2): "min_score",
        ("every", 0): "every",
        ("start", -1): "start",
        ("new_track_score", "0.5"): "new_track_score",
    }.items():
        with pytest.raises(ConfigError, match=problem):
            whole.stream_video(clip, **dict([arguments]))
    with pytest.raises(ConfigError, match="looks ahead"):
        whole.stream_video(clip, live=True, smoothing="centred")
    with pytest.raises(VideoError, match="does not exist"):
        whole.stream_video(tmp_path / "missing.mp4")
    with pytest.raises(NotFittedError):
        EmotionRecognizer("resnet18").stream_video(clip)


def test_two_streams_of_one_recognizer_do_not_mix(whole, photo, blank):
    one = whole.stream_video((i / 25, photo) for i in range(40))
    other = whole.stream_video((i / 25, blank) for i in range(40))
    alone = list(whole.stream_video((i / 25, photo) for i in range(40)))
    for frame, _, expected in zip(one, other, alone, strict=True):
        assert frame.faces[0].probabilities == pytest.approx(expected.faces[0].probabilities)


def test_predict_says_where_videos_go(whole, clip, tmp_path):
    for path in (
        clip,
        write_film(tmp_path / "a.webm", [(0, np.zeros((64, 64, 3), np.uint8))], "libvpx"),
    ):
        with pytest.raises(ImageError, match=r"recognizer\.stream_video"):
            whole.predict(path)
        with pytest.raises(ImageError, match="stream_video"):
            whole.predict(path.read_bytes())


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_command_writes_tables_and_prints_a_summary(run, clip, tmp_path):
    faces, timeline, plot = tmp_path / "a.csv", tmp_path / "t.csv", tmp_path / "p.png"
    outcome = run(
        "video", clip, "--model", "tiny", "--csv", faces, "--timeline", timeline, "--plot", plot
    )
    assert (outcome.status, outcome.err) == (0, "")
    assert "happiness 100 %" in outcome.out
    rows = rows_of(faces)
    assert list(rows[0]) == [
        *("frame", "seconds", "track", "x", "y", "width", "height", "label", "score"),
        *EmotionRecognizer.from_pretrained("tiny").labels,
    ]
    assert [float(row["seconds"]) for row in rows] == pytest.approx(UNEVEN[:12], abs=1e-3)
    assert [row["track"] for row in rows] == ["1"] * 11 + ["2"]
    entries = rows_of(timeline)
    assert [(row["seconds"], row["track"], row["frames"]) for row in entries] == [
        ("0", "1", "8"),
        ("1", "1", "3"),
        ("3", "2", "1"),
    ]
    assert all(row["share_happiness"] == "1" for row in entries)
    with Image.open(plot) as image:
        assert image.size[0] > 500


def test_the_command_prints_json_lines(run, clip):
    outcome = run("video", clip, *FAST, "--json", "--end", "0.3")
    assert outcome.status == 0
    assert [record["frame"] for record in outcome.records] == [0, 1, 2, 3, 4]
    assert outcome.records[0]["faces"][0]["track"] == 1


def test_the_annotated_film_has_the_films_times_and_marks(run, clip, tmp_path):
    path = tmp_path / "annotated.webm"
    outcome = run("video", clip, "--model", "tiny", "--annotated", path)
    assert (outcome.status, outcome.err) == (0, "")
    with av.open(str(path)) as film:
        frames = list(film.decode(video=0))
        assert film.streams.video[0].codec_context.name == "vp9"
    assert [float(frame.pts * frame.time_base) for frame in frames] == pytest.approx(
        UNEVEN, abs=1e-3
    )
    images = [frame.to_ndarray(format="rgb24") for frame in frames]
    assert images[-1].std() < 3  # the face has left
    assert images[0].std() > 30
    assert [p.name for p in tmp_path.iterdir()] == ["annotated.webm"]


def test_the_command_refuses_what_it_cannot_do(run, clip, tmp_path):
    for arguments, problem in {
        ("--annotated", "a.mp4"): "name it .webm",
        ("--every", "0"): "every",
        ("--smoothing", "mean"): "smoothing",
    }.items():
        outcome = run("video", clip, *arguments)
        assert outcome.status == 2
        assert problem in outcome.err
    before = clip.read_bytes()
    outcome = run("video", clip, "--csv", clip)
    assert outcome.status == 2
    assert "is the video itself" in outcome.err
    assert clip.read_bytes() == before
    outcome = run("video", write_sound(tmp_path / "sound.m4a"))
    assert outcome.status == 2
    assert "no video stream" in outcome.err


def test_a_cut_film_leaves_whole_files_and_status_2(run, cut, tmp_path):
    outcome = run("video", cut, *FAST, "--csv", tmp_path / "a.csv")
    assert outcome.status == 2
    assert "can't be read beyond" in outcome.err
    assert "happiness" in outcome.out
    assert len(rows_of(tmp_path / "a.csv")) > 4


def test_ctrl_c_leaves_whole_files(photo, tmp_path):
    frames = ((i / 25, photo) for i in range(500))
    path = write_film(tmp_path / "long.mp4", frames)
    faces, film = tmp_path / "a.csv", tmp_path / "a.webm"
    command = [sys.executable, "-m", "emonet", "video", path, "--model", "tiny", "--csv", faces]
    command += [
        "--detector",
        "whole_image",
        "--annotated",
        film,
        "--timeline",
        tmp_path / "t.csv",
        "--smoothing",
        "causal",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (faces.exists() and len(faces.read_text().splitlines()) > 5):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (130, "emonet: interrupted\n")
    assert "happiness" in out
    rows = rows_of(faces)
    assert 5 <= len(rows) < 500
    assert all(None not in row.values() and None not in row for row in rows)
    assert sum(int(row["frames"]) for row in rows_of(tmp_path / "t.csv")) == pytest.approx(
        len(rows), abs=1
    )
    video = cv2.VideoCapture(str(film))
    count = sum(1 for _ in itertools.takewhile(lambda _: video.grab(), itertools.count()))
    assert count == pytest.approx(len(rows), abs=2)


def test_the_webcam_shows_a_table_and_writes_a_film(run, photo, tmp_path):
    """A file takes the place of the camera; it plays at its own speed."""
    path = write_film(tmp_path / "camera.mp4", ((i / 25, photo) for i in range(25)))
    film = tmp_path / "a.webm"
    outcome = run("webcam", "--camera", path, *FAST, "--annotated", film)
    assert (outcome.status, outcome.err) == (0, "")
    assert "happiness" in outcome.out
    assert "frames skipped" in outcome.out
    assert cv2.VideoCapture(str(film)).read()[0]


def test_a_missing_camera_is_a_clear_error(run_process):
    outcome = run_process("webcam", "--camera", "97", "--model", "tiny")
    assert outcome.status == 2
    assert outcome.err == (
        "emonet: The camera 97 can't be opened: it is missing, in use, or not allowed\n"
    )
