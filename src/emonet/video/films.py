"""Write films that browsers play: WebM with a constant frame rate. For the command line."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.errors import VideoError
from emonet.support.files import flush
from emonet.support.quiet import without_stderr
from emonet.video.sources import silent_opencv

#: The codec, as OpenCV writes its name. VP9 would take four times as long, and OpenCV passes it no
#: settings for speed.
CODEC = "VP80"
MAX_RATE = 60.0

#: Takes the time of a frame, seconds, and its uint8 (height, width, 3) RGB image.
WriteFrame = Callable[[float, NDArray[np.uint8]], None]


@contextmanager
def write_film(path: Path, rate: float) -> Iterator[WriteFrame]:
    """Yield a function that appends a frame to a film; the file is complete at the end.

    Frames are repeated or skipped, so that each is shown at its own time although the film's rate
    is constant. The film ends properly after an error or Ctrl-C too. Without a frame, there is no
    file.

    Args:
        path: the file; replaced at the end.
        rate: frames per second.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=path.parent, prefix=".emonet-") as folder:
        film = _Film(Path(folder) / "film.webm", min(rate, MAX_RATE))
        try:
            yield film.write
        finally:
            film.close()
            if film.path.exists():
                flush(film.path)
                film.path.replace(path)


class _Film:
    def __init__(self, path: Path, rate: float) -> None:
        self.path, self._rate = path, rate
        self._writer: Any = None
        self._size = (0, 0)
        self._began = 0.0
        self._count = 0
        #: The latest frame; it is shown until the next one.
        self._shown: NDArray[np.uint8] | None = None

    def write(self, seconds: float, image: NDArray[np.uint8]) -> None:
        import cv2

        if self._writer is None:
            self._open(image)
            self._began = seconds
        self._repeat_until(round((seconds - self._began) * self._rate))
        frame = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        if (frame.shape[1], frame.shape[0]) != self._size:
            frame = cv2.resize(frame, self._size, interpolation=cv2.INTER_AREA)
        self._shown = frame

    def close(self) -> None:
        """Append the last frame, and complete the file."""
        if self._writer is not None:
            self._repeat_until(self._count + 1)
            self._writer.release()

    def _repeat_until(self, count: int) -> None:
        while self._count < count and self._shown is not None:
            self._writer.write(self._shown)
            self._count += 1

    def _open(self, image: NDArray[np.uint8]) -> None:
        import cv2

        # The codec takes even sizes only.
        self._size = (max(2, image.shape[1] // 2 * 2), max(2, image.shape[0] // 2 * 2))
        code = cv2.VideoWriter.fourcc(*CODEC)
        # OpenCV prints that WebM has no number for the codec, which it needs none for.
        with silent_opencv(), without_stderr():
            self._writer = cv2.VideoWriter(
                str(self.path), cv2.CAP_FFMPEG, code, self._rate, self._size
            )
        if not self._writer.isOpened():
            raise VideoError(
                f"A WebM film of {self._size[0]}x{self._size[1]} pixels can't be written here: "
                f"this build of OpenCV lacks the encoder"
            )
