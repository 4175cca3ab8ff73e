"""Films, animated images, cameras and iterables give their frames with their own times."""

import itertools
import math
import os
import subprocess
import sys
import threading
import time
from collections import deque

import cv2
import numpy as np
import pytest
from PIL import Image
from tests.films import UNEVEN, number_of, numbered, turn_clockwise, write_film, write_sound

from emonet.errors import ConfigError, VideoError
from emonet.video import sources
from emonet.video.live import newest
from emonet.video.sources import Selection, SourceFrame, open_source


def frames_of(source, **selection):
    return list(open_source(source, Selection(**selection)).frames)


def times(source, **selection):
    return [frame.seconds for frame in frames_of(source, **selection)]


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    path = tmp_path_factory.mktemp("films") / "uneven.mp4"
    return write_film(path, ((seconds, numbered(i)) for i, seconds in enumerate(UNEVEN)))


@pytest.fixture(scope="module")
def even(tmp_path_factory):
    """Two seconds at 25 frames per second; its index stands before its frames."""
    path = tmp_path_factory.mktemp("films") / "even.mp4"
    frames = ((i / 25, numbered(i % 20)) for i in range(50))
    return write_film(path, frames, options={"movflags": "faststart"})


def test_a_film_of_variable_rate_has_its_own_times(uneven):
    frames = frames_of(uneven)
    assert [frame.index for frame in frames] == list(range(len(UNEVEN)))
    assert [frame.seconds for frame in frames] == pytest.approx(UNEVEN, abs=1e-3)
    assert [number_of(frame.image) for frame in frames] == list(range(len(UNEVEN)))


def test_webm_has_its_own_times(tmp_path):
    frames = ((seconds, numbered(i)) for i, seconds in enumerate(UNEVEN))
    path = write_film(tmp_path / "uneven.webm", frames, codec="libvpx")
    assert times(path) == pytest.approx(UNEVEN, abs=1e-3)


def test_a_film_that_asks_for_rotation_is_rotated(tmp_path):
    image = np.zeros((64, 96, 3), np.uint8)
    image[:32, :48] = 255
    path = turn_clockwise(write_film(tmp_path / "phone.mp4", [(i / 25, image) for i in range(3)]))
    for frame in frames_of(path):
        assert frame.image.shape == (96, 64, 3)
        top_right = frame.image[:48, 32:].mean()
        assert top_right > 240
        assert frame.image.mean() == pytest.approx(top_right / 4, abs=5)


@pytest.mark.parametrize("start", [0.001, 0.15, 0.5, 1.0, 1.54, 2.9, 4.5, 4.7])
def test_a_start_gives_the_same_frames_as_reading_from_the_beginning(uneven, start):
    later = [(s, i) for i, s in enumerate(UNEVEN) if s >= start - 1e-9]
    frames = frames_of(uneven, start=start)
    assert [frame.seconds for frame in frames] == pytest.approx([s for s, _ in later], abs=1e-3)
    assert [number_of(frame.image) for frame in frames] == [i for _, i in later]


def test_the_index_after_a_start_is_that_in_the_film(even):
    assert [frame.index for frame in frames_of(even, start=1.6)] == list(range(40, 50))


def test_an_end_is_left_out(even):
    assert times(even, end=0.2) == pytest.approx([0, 0.04, 0.08, 0.12, 0.16], abs=1e-3)


def test_every_counts_frames(even):
    assert [frame.index for frame in frames_of(even, every=20)] == [0, 20, 40]


@pytest.mark.parametrize(("fps", "count"), [(5, 10), (10, 20), (25, 50), (100, 50), (0.5, 1)])
def test_fps_counts_seconds(even, fps, count):
    assert len(frames_of(even, fps=fps)) == count


def test_fps_of_a_film_whose_times_are_rounded_to_milliseconds_takes_all_frames():
    rounded = [(round(i / 23.976, 3), numbered(0)) for i in range(100)]
    assert len(frames_of(rounded, fps=23.976)) == 100


def test_about_as_many_frames_are_expected_as_come(even):
    for selection in ({}, {"every": 5}, {"fps": 5}, {"start": 0.5, "end": 1.5}):
        source = open_source(even, Selection(**selection))
        assert source.expected == pytest.approx(len(list(source.frames)), abs=1)


@pytest.mark.parametrize(
    "selection",
    [
        {"every": 0},
        {"every": 1.5},
        {"fps": 0},
        {"fps": math.nan},
        {"every": 2, "fps": 5},
        {"start": -1},
        {"start": 2, "end": 2},
    ],
    ids=str,
)
def test_an_impossible_selection_is_refused(selection):
    with pytest.raises(ConfigError):
        Selection(**selection)


DURATIONS = [100, 40, 500, 20, 300]


@pytest.mark.parametrize(("suffix", "count"), [("gif", 5), ("webp", 5), ("png", 5)])
def test_an_animated_image_is_a_film(tmp_path, suffix, count):
    path = tmp_path / f"animated.{suffix}"
    images = [Image.fromarray(numbered(4 * i)) for i in range(count)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=DURATIONS)
    frames = frames_of(path)
    began = [0, *itertools.accumulate(DURATIONS)][:count]
    assert [frame.seconds for frame in frames] == pytest.approx([ms / 1000 for ms in began])
    assert [number_of(frame.image) for frame in frames] == [4 * i for i in range(count)]
    assert times(path, start=0.1, end=0.6) == pytest.approx([0.1, 0.14])


def test_a_cut_animation_yields_its_frames_and_says_where_it_is_cut(tmp_path):
    path = tmp_path / "animated.png"
    noise = np.random.default_rng(0).integers(0, 256, (4, 64, 96, 3), np.uint8)
    first, *others = map(Image.fromarray, noise)
    first.save(path, save_all=True, append_images=others, duration=500)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 5 // 8])
    frames = deque()
    with pytest.raises(VideoError, match=r"can't be read beyond 1\.00 s"):
        frames.extend(open_source(path, Selection()).frames)
    assert [frame.seconds for frame in frames] == [0, 0.5]


def test_frames_that_are_larger_than_the_header_says_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_PIXELS", 100 * 100)
    path = tmp_path / "animated.gif"
    images = [Image.fromarray(numbered(4 * i)).resize((64, 64)) for i in range(3)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=100)
    data = bytearray(path.read_bytes())
    place = data.rindex(b"\x2c")  # the last frame's place and size
    data[place + 1 : place + 5] = (200).to_bytes(2, "little") * 2
    path.write_bytes(data)
    frames = deque()
    with pytest.raises(VideoError, match="pixels, more than the limit"):
        frames.extend(open_source(path, Selection()).frames)
    assert len(frames) == 2


def test_an_iterable_of_pairs_is_a_film():
    pairs = [(0.5, "a.jpg"), (0.75, b"bytes"), (2, None)]
    assert [(f.seconds, f.image) for f in frames_of(iter(pairs))] == pairs


@pytest.mark.parametrize("item", ["a.jpg", (1,), (None, "a.jpg"), 5, (math.nan, "a"), (-1, "a")])
def test_an_iterable_of_something_else_is_refused(item):
    frames = open_source([(0, "a.jpg"), item], Selection()).frames
    assert next(frames).image == "a.jpg"
    with pytest.raises(VideoError, match="item 1"):
        next(frames)


@pytest.mark.parametrize("source", [None, 2.5, True, b"bytes", np.zeros((4, 4, 3))], ids=str)
def test_something_that_is_no_source_is_refused(source):
    with pytest.raises(ConfigError, match="A video must be a path"):
        open_source(source, Selection())


def test_missing_and_other_files_say_what_is_wrong(tmp_path, astronaut):
    (tmp_path / "empty.mp4").touch()
    # FFmpeg would open the file that a playlist names.
    (tmp_path / "list.mp4").write_text(f"#EXTM3U\n#EXTINF:1,\n{tmp_path}/film.ts\n")
    (tmp_path / "noise.mp4").write_bytes(b"\0\0\0\x20ftypisom" + bytes(range(256)) * 9)
    for source, problem in {
        tmp_path / "missing.mp4": "does not exist",
        "missing.mp4": "does not exist",
        "\0.mp4": "does not exist",
        tmp_path: "is a folder",
        tmp_path / "empty.mp4": "is empty",
        tmp_path / "list.mp4": "no known video format",
        tmp_path / "noise.mp4": "no video stream",
        astronaut: "Use predict for images",
        write_sound(tmp_path / "sound.m4a"): "no video stream",
    }.items():
        with pytest.raises(VideoError, match=problem):
            open_source(source, Selection())


def test_a_cut_film_yields_its_frames_and_says_where_it_is_cut(even, tmp_path):
    data = even.read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: len(data) * 2 // 3])
    frames = deque()
    with pytest.raises(VideoError, match=r"its header says that it has 2\.00 s") as raised:
        frames.extend(open_source(path, Selection()).frames)
    assert 20 < len(frames) < 40
    assert f"beyond {frames[-1].seconds + 0.04:.2f} s" in str(raised.value)


def test_a_cut_film_that_is_not_read_to_its_end_is_no_error(even, tmp_path):
    data = even.read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: len(data) * 2 // 3])
    assert len(frames_of(path, end=0.4)) == 10


def test_a_start_after_the_end_is_an_error(even):
    with pytest.raises(VideoError, match=r"ends at 2\.00 s"):
        frames_of(even, start=5)


def test_too_large_frames_are_refused(even, monkeypatch):
    monkeypatch.setattr("emonet.video.sources.MAX_PIXELS", 96 * 64 - 1)
    with pytest.raises(VideoError, match="96x64 pixels"):
        open_source(even, Selection())


def test_a_frame_that_cannot_be_decoded_has_its_error(even, monkeypatch):
    class Capture:
        """OpenCV's reader, which fails at some frames."""

        def __init__(self, *arguments):
            self._video, self._count = Real(*arguments), 0

        def __getattr__(self, name):
            return getattr(self._video, name)

        def retrieve(self):
            self._count += 1
            if self._count == 3:
                return False, None
            if self._count == 5:
                raise cv2.error("out of memory")
            return self._video.retrieve()

    Real = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    frames = frames_of(even)
    assert [frame.index for frame in frames if frame.error] == [2, 4]
    assert "frame at 0.080 s" in str(frames[2].error)
    assert len(frames) == 50


def test_nothing_is_printed_whatever_is_wrong(even, tmp_path):
    data = bytearray(even.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    (tmp_path / "damaged.mp4").write_bytes(data)
    (tmp_path / "noise.mp4").write_bytes(b"\0\0\0\x20ftypisom" + bytes(range(256)) * 9)
    code = """
import sys
from emonet.errors import VideoError
from emonet.video.sources import Selection, open_source
for source in (*sys.argv[1:], 98):
    try:
        print(len(list(open_source(source, Selection()).frames)))
    except VideoError:
        print("failed")
"""
    files = [tmp_path / "noise.mp4", tmp_path / "damaged.mp4"]
    done = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.count("failed") >= 2
    assert done.returncode == 0


def test_the_environment_stays_as_it_is(even):
    before, level = dict(os.environ), cv2.utils.logging.getLogLevel()
    frames_of(even)
    assert dict(os.environ) == before
    assert cv2.utils.logging.getLogLevel() == level


def test_live_takes_the_newest_frame_and_counts_the_others():
    taken = threading.Event()

    def camera():
        yield SourceFrame(0, 0.0)
        taken.wait(10)
        for index in range(1, 6):
            yield SourceFrame(index, index / 25)
        read.set()

    read = threading.Event()
    frames = newest(camera(), paced=False)
    assert next(frames).index == 0
    taken.set()
    assert read.wait(10)
    newer = next(frames)
    assert (newer.index, newer.dropped) == (5, 4)
    assert list(frames) == []


def test_live_raises_the_sources_error_after_its_last_frame():
    def camera():
        yield SourceFrame(0, 0.0)
        raise VideoError("unplugged")

    frames = newest(camera(), paced=False)
    assert next(frames).index == 0
    with pytest.raises(VideoError, match="unplugged"):
        next(frames)


def test_a_file_that_is_played_live_takes_its_time():
    pairs = [SourceFrame(i, i / 10) for i in range(4)]
    began = time.monotonic()
    assert list(newest(iter(pairs), paced=True))[-1].index == 3
    assert time.monotonic() - began >= 0.3


def test_a_live_source_ends_when_nobody_takes_its_frames():
    def camera():
        for index in itertools.count():
            yield SourceFrame(index, index / 1000)

    frames = newest(camera(), paced=True)
    next(frames)
    frames.close()
    assert not [one for one in threading.enumerate() if one.name == "emonet-camera"]


@pytest.mark.slow
def test_frames_of_8k(tmp_path):
    path = tmp_path / "large.mp4"
    write_film(path, ((i / 25, numbered(i, 4320, 7680)) for i in range(5)))
    assert [number_of(frame.image) for frame in frames_of(path)] == list(range(5))
