"""Written films are WebM with VP9, hold each frame at its own time, and are whole or absent."""

import itertools
from collections import deque

import av
import numpy as np
import pytest
from tests.films import UNEVEN, number_of, numbered

from emonet.video.films import write_film


def read(path):
    """Return the seconds and the images of a film."""
    with av.open(str(path)) as film:
        assert film.format.name == "matroska,webm"
        assert film.streams.video[0].codec_context.name == "vp9"
        frames = list(film.decode(video=0))
    return [float(f.pts * f.time_base) for f in frames], [
        f.to_ndarray(format="rgb24") for f in frames
    ]


def test_frames_keep_their_times_and_pictures(tmp_path):
    path = tmp_path / "film.webm"
    with write_film(path) as write:
        for i, seconds in enumerate(UNEVEN):
            write(7 + seconds, numbered(i))
    times, images = read(path)
    assert times == pytest.approx(UNEVEN, abs=1e-3)
    assert [number_of(image) for image in images] == list(range(len(UNEVEN)))
    assert [p.name for p in tmp_path.iterdir()] == ["film.webm"]


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 215, 0)])
@pytest.mark.parametrize("size", [(64, 96), (65, 97), (16, 2)])
def test_colours_and_odd_sizes_survive(tmp_path, colour, size):
    path, image = tmp_path / "film.webm", np.zeros((*size, 3), np.uint8)
    image[:] = colour
    with write_film(path) as write:
        write(0, image)
    times, (shown,) = read(path)
    assert times == [0]
    assert shown.shape == image.shape
    assert np.abs(shown.astype(int) - image).max() < 12


def test_frames_of_another_size_are_scaled_to_the_first(tmp_path):
    path = tmp_path / "film.webm"
    with write_film(path) as write:
        write(0, numbered(2))
        write(0.5, numbered(9, 120, 50))
    _, images = read(path)
    assert [(image.shape, number_of(image)) for image in images] == [
        ((64, 96, 3), 2),
        ((64, 96, 3), 9),
    ]


def test_frames_less_than_a_millisecond_apart_are_kept(tmp_path):
    path = tmp_path / "film.webm"
    with write_film(path) as write:
        for i in range(5):
            write(i / 10000, numbered(i))
    assert len(read(path)[0]) == 5


def test_an_error_leaves_the_frames_before_it(tmp_path):
    path = tmp_path / "film.webm"

    def frames():
        yield 0, numbered(0)
        yield 0.1, numbered(5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), write_film(path) as write:
        deque(itertools.starmap(write, frames()))
    assert [number_of(image) for image in read(path)[1]] == [0, 5]


def test_without_a_frame_there_is_no_file(tmp_path):
    with write_film(tmp_path / "film.webm"):
        pass
    assert list(tmp_path.iterdir()) == []
