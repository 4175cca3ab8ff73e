"""Films for tests: of variable frame rate, with sound only, cut."""

import struct
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

MILLISECOND = Fraction(1, 1000)


def write_film(
    path: Path,
    frames: Iterable[tuple[float, np.ndarray]],
    codec: str = "mpeg4",
    options: dict[str, str] | None = None,
) -> Path:
    """Write a film whose frames (seconds, RGB image) have times of their own."""
    with av.open(str(path), "w", options=options or {}) as film:
        stream = None
        for seconds, image in frames:
            if stream is None:
                stream = film.add_stream(codec, rate=25)
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
                stream.codec_context.time_base = MILLISECOND
                stream.codec_context.gop_size = 12
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round(1000 * seconds), MILLISECOND
            film.mux(stream.encode(frame))
        film.mux(stream.encode())
    return path


def turn_clockwise(path: Path) -> Path:
    """Mark an MP4 film as one to show turned by 90 degrees, as phones do that are held upright."""
    data = bytearray(path.read_bytes())
    # The matrix of the track's header, ISO/IEC 14496-12, 8.3.2: 16.16 and 2.30 fixed point.
    start = data.index(b"tkhd") + 44
    one = 1 << 16
    data[start : start + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def write_sound(path: Path) -> Path:
    """Write a second of silence, without a video stream."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=44100)
        for start in range(0, 44100, 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts = 44100, start
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def numbered(number: int, height: int = 64, width: int = 96) -> np.ndarray:
    """Return a grey image whose brightness tells its number, up to 20."""
    return np.full((height, width, 3), 10 + 11 * number, np.uint8)


def number_of(image: np.ndarray) -> int:
    """Return the number of a numbered image, from a lossy codec too."""
    return round((float(image.mean()) - 10) / 11)


#: A phone's rate varies with the light.
UNEVEN = [0.0, 0.033, 0.067, 0.1, 0.2, 0.31, 0.42, 0.5, 1.5, 1.54, 1.58, 3.0, 3.02, 3.04, 4.5, 4.75]
