"""Write films that browsers play: WebM with VP9, each frame at its own time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.plugin import usable_cores
from emonet.support.dependencies import require
from emonet.support.files import flush

#: OpenCV's writer passes no options to the encoder: its VP9 takes many times as long.
CODEC = "libvpx-vp9"
OPTIONS = {"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "crf": "30", "b": "0"}
#: Times in WebM are whole milliseconds.
TIME_BASE = Fraction(1, 1000)
#: BT.601, which FFmpeg converts RGB to. Without a mark, browsers guess.
COLOURS = 5
#: How long the last frame is shown if it is the only one, milliseconds.
DURATION = 40

#: Takes the time of a frame, seconds, and its uint8 (height, width, 3) RGB image.
WriteFrame = Callable[[float, NDArray[np.uint8]], None]


@contextmanager
def write_film(path: Path) -> Iterator[WriteFrame]:
    """Yield a function that appends a frame to a film; the file is complete at the end.

    Each frame is shown from its own time until the next one. The film ends properly after an error
    or Ctrl-C too. Without a frame, there is no file.

    Args:
        path: the file; replaced at the end.

    Raises:
        MissingDependencyError: PyAV is not installed.
    """
    require("films", "Writing films")
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=path.parent, prefix=".emonet-") as folder:
        film = _Film(Path(folder) / "film.webm")
        try:
            yield film.write
        finally:
            film.close()
            if film.path.exists():
                flush(film.path)
                film.path.replace(path)


class _Film:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Any = None
        self._stream: Any = None
        self._began = 0.0
        #: The latest frame. It waits for the next one, which ends it.
        self._frame: Any = None

    def write(self, seconds: float, image: NDArray[np.uint8]) -> None:
        import av

        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.time_base = TIME_BASE
        if self._file is None:
            self._open(image)
            self._began = seconds
            frame.pts = 0
        else:
            frame.pts = max(round((seconds - self._began) / TIME_BASE), self._frame.pts + 1)
            self._encode(frame.pts - self._frame.pts)
        self._frame = frame

    def close(self) -> None:
        """Append the last frame, and complete the file."""
        if self._file is not None:
            self._encode(self._frame.duration or DURATION)
            self._file.mux(self._stream.encode())
            self._file.close()

    def _encode(self, duration: int) -> None:
        self._frame.duration = duration
        self._file.mux(self._stream.encode(self._frame))

    def _open(self, image: NDArray[np.uint8]) -> None:
        import av

        self._file = av.open(str(self.path), "w", format="webm")
        stream = self._file.add_stream(CODEC, options=OPTIONS)
        stream.height, stream.width = image.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.thread_count = usable_cores()
        stream.codec_context.time_base = TIME_BASE
        stream.codec_context.colorspace = COLOURS
        self._stream = stream
