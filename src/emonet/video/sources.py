"""Open films, cameras, animated images and iterables, and read their frames with their times."""

import io
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.errors import ConfigError, EmonetError, VideoError
from emonet.plugin import require_number, usable_cores
from emonet.support.files import read_bounded
from emonet.support.quiet import quiet

logger = logging.getLogger("emonet")

#: Largest frame, pixels: more than twice 8K.
MAX_PIXELS = 89_000_000
MAX_ANIMATION_BYTES = 2**28
#: A film that ends this much earlier than its header says is cut or damaged.
CUT_SECONDS = 0.5
#: A rate for streams that have neither times nor a rate.
DEFAULT_RATE = 25.0
#: Time of a frame that has none in an animated image, as in browsers.
DEFAULT_DURATION = 0.1
#: Times of some formats are whole milliseconds: a frame may be so much too early.
ROUNDING_SECONDS = 1e-3

#: First bytes of the films that are read: (offset, bytes). FFmpeg would also follow playlists,
#: which are text and name other files.
CONTAINERS = (
    *((4, kind) for kind in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")),  # MP4, MOV
    (0, b"\x1a\x45\xdf\xa3"),  # Matroska, WebM
    (8, b"AVI "),
    (0, b"FLV\x01"),
    (0, b"OggS"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),  # ASF, WMV
    (0, b"\x06\x0e\x2b\x34"),  # MXF
    (0, b"YUV4MPEG2 "),
    (0, b"DKIF"),  # IVF
    (0, b"\x00\x00\x01"),  # MPEG, H.264, HEVC
    (0, b"\x00\x00\x00\x01"),
    (188, b"\x47"),  # MPEG-TS
    (196, b"\x47"),  # M2TS
)
ANIMATIONS = ((0, b"GIF8"), (0, b"\x89PNG\r\n\x1a\n"), (8, b"WEBP"))
HEAD_BYTES = 200

FFMPEG_LEVEL = "OPENCV_FFMPEG_LOGLEVEL"
#: OpenCV's log level is global.
LOG_LEVEL = threading.Lock()


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """A frame as its source gives it.

    Attributes:
        index: number of the frame in the source, from 0.
        seconds: its time.
        image: an image in any form that predict takes; None after an error.
        dropped: how many frames of a live source were skipped before.
        error: why the frame can't be decoded.
    """

    index: int
    seconds: float
    image: Any = None
    dropped: int = 0
    error: EmonetError | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which frames of a source are wanted.

    Attributes:
        every: each of so many frames.
        fps: at most so many frames for each second of film, instead of ``every``.
        start: time of the first frame, seconds.
        end: frames from this time on are not wanted, seconds.
    """

    every: int = 1
    fps: float | None = None
    start: float = 0.0
    end: float = math.inf

    def __post_init__(self) -> None:
        """Raise ConfigError for values that are not legal."""
        require_number("video", "every", self.every, 1, whole=True)
        require_number("video", "start", self.start, 0)
        require_number("video", "end", self.end, 0)
        if self.fps is not None:
            require_number("video", "fps", self.fps, 1e-6)
            if self.every != 1:
                raise ConfigError(f"Pass every={self.every} or fps={self.fps:g}, not both")
        if self.end <= self.start:
            raise ConfigError(f"video: end={self.end:g} must be later than start={self.start:g}")

    def sampler(self) -> Callable[[float], bool]:
        """Return a function that takes the time of each frame and says whether it is wanted."""
        seen, taken = 0, -1

        def wants(seconds: float) -> bool:
            nonlocal seen, taken
            if seconds < self.start:
                return False
            if self.fps is None:
                seen += 1
                return (seen - 1) % self.every == 0
            # The first frame of each interval of 1/fps.
            interval = math.floor((seconds + ROUNDING_SECONDS) * self.fps)
            newer = interval > taken
            taken = max(interval, taken)
            return newer

        return wants


@dataclass(frozen=True, slots=True)
class Source:
    """An open source.

    Attributes:
        frames: the wanted frames; ends with VideoError if the source fails.
        path: of a file.
        camera: the source delivers frames at its own speed and never ends.
        expected: about how many frames come; None if unknown.
        rate: frames per second of film, of the source itself; None if unknown.
        frame_bytes: bytes of one frame; None if unknown.
    """

    frames: Iterator[SourceFrame]
    path: str | None = None
    camera: bool = False
    expected: int | None = None
    rate: float | None = None
    frame_bytes: int | None = None


def open_source(source: Any, selection: Selection) -> Source:
    """Open a source of frames.

    Args:
        source: a path; a camera's number; another text that OpenCV opens, such as a URL; or an
            iterable of (seconds, image).
        selection: which frames are wanted.

    Raises:
        VideoError: there is no such file or camera, or it has no video that can be decoded.
        ConfigError: the source is none of these.
    """
    if isinstance(source, int) and not isinstance(source, bool):
        return _open_film(source, f"The camera {source}", selection, camera=True)
    if isinstance(source, str | Path):
        return _open_text(source, selection)
    if isinstance(source, bytes) or hasattr(source, "__array__") or not hasattr(source, "__iter__"):
        raise ConfigError(
            f"A video must be a path, a camera's number, a URL or an iterable of (seconds, image), "
            f"got {type(source).__name__}"
        )
    return Source(_pair_frames(source, selection))


def _open_text(source: str | Path, selection: Selection) -> Source:
    path = Path(source)
    name = f"The video {str(source)[:1000]}"
    try:
        is_file, exists = path.is_file(), path.exists()
    except (OSError, ValueError):
        is_file = exists = False  # not a legal file name
    if is_file:
        return _open_file(path, name, selection)
    if exists and path.is_char_device():
        return _open_film(str(source), f"The camera {source}", selection, camera=True)
    if exists or not any(mark in str(source) for mark in ("://", "%", " ! ")):
        raise VideoError(
            f"{name} is a folder: pass one of its files" if exists else f"{name} does not exist"
        )
    return _open_film(str(source), name, selection)


def _open_file(path: Path, name: str, selection: Selection) -> Source:
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise VideoError(f"{name} can't be read: {error}") from error
    if not head:
        raise VideoError(f"{name} is empty")
    if _starts_like(head, ANIMATIONS):
        return Source(_animation_frames(path, name, selection), str(path))
    if not _starts_like(head, CONTAINERS):
        raise VideoError(
            f"{name} is in no known video format: convert it to MP4 or WebM. Use predict for images"
        )
    return _open_film(path, name, selection)


def _starts_like(head: bytes, formats: Iterable[tuple[int, bytes]]) -> bool:
    return any(head.startswith(mark, offset) for offset, mark in formats)


@contextmanager
def silent_opencv() -> Iterator[None]:
    """Keep OpenCV and its FFmpeg from writing to stderr while a film is opened."""
    import cv2

    with LOG_LEVEL:
        # FFmpeg's level is read once, when the process opens its first film.
        unset = FFMPEG_LEVEL not in os.environ
        if unset:
            os.environ[FFMPEG_LEVEL] = "-8"
        level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            yield
        finally:
            cv2.utils.logging.setLogLevel(level)
            if unset:
                del os.environ[FFMPEG_LEVEL]


def _open_film(
    source: int | str | Path, name: str, selection: Selection, *, camera: bool = False
) -> Source:
    """Open a source with OpenCV; a file only with FFmpeg, because other backends read lists."""
    import cv2

    threads = [cv2.CAP_PROP_N_THREADS, usable_cores()]
    with silent_opencv():
        if isinstance(source, Path):
            # A whole path can't be taken for one of FFmpeg's protocols.
            video = cv2.VideoCapture(str(source.resolve()), cv2.CAP_FFMPEG, threads)
        else:
            video = cv2.VideoCapture(source)
    if not video.isOpened():
        if camera:
            raise VideoError(f"{name} can't be opened: it is missing, in use, or not allowed")
        raise VideoError(
            f"{name} can't be opened: it has no video stream that OpenCV can decode, or is damaged"
        )
    width = int(video.get(cv2.CAP_PROP_FRAME_WIDTH))
    height = int(video.get(cv2.CAP_PROP_FRAME_HEIGHT))
    _require_pixels(width, height, name)
    film = _Film(video, name, camera)
    return Source(
        film.frames(selection),
        path=str(source) if isinstance(source, Path) else None,
        camera=camera,
        expected=film.expected(selection),
        rate=film.rate,
        frame_bytes=3 * width * height,
    )


def _require_pixels(width: int, height: int, name: str) -> None:
    if width * height > MAX_PIXELS:
        raise VideoError(
            f"{name} has frames of {width}x{height} pixels, more than the limit of {MAX_PIXELS}: "
            f"downscale it"
        )


class _Film:
    """A film or camera that OpenCV has opened."""

    def __init__(self, video: Any, name: str, camera: bool) -> None:
        import cv2

        self._video, self._name, self._camera = video, name, camera
        rate, count = video.get(cv2.CAP_PROP_FPS), video.get(cv2.CAP_PROP_FRAME_COUNT)
        self.rate = rate if 0 < rate < math.inf else DEFAULT_RATE
        #: As the header says; 0 if it says nothing.
        self._count = max(0, int(count))

    @property
    def _duration(self) -> float:
        return self._count / self.rate

    def expected(self, selection: Selection) -> int | None:
        """Return about how many frames are wanted."""
        if not self._count:
            return None
        seconds = max(0.0, min(selection.end, self._duration) - selection.start)
        rate = self.rate / selection.every if selection.fps is None else selection.fps
        return max(1, round(seconds * min(rate, self.rate)))

    def frames(self, selection: Selection) -> Iterator[SourceFrame]:
        """Yield the wanted frames."""
        import cv2

        video, wants = self._video, selection.sampler()
        try:
            index = self._seek(selection.start) if selection.start else -1
            grabbed = index >= 0 or video.grab()
            index, seconds, began = max(index, 0), -math.inf, time.monotonic()
            while grabbed:
                shown = time.monotonic() - began if self._camera else None
                seconds = self._seconds(seconds, shown)
                if seconds >= selection.end:
                    return
                if wants(seconds):
                    yield self._frame(index, seconds)
                index += 1
                grabbed = video.grab()
            self._require_whole(seconds, selection, int(video.get(cv2.CAP_PROP_POS_FRAMES)))
        finally:
            video.release()

    def _seek(self, start: float) -> int:
        """Grab a frame at ``start`` or shortly before; return its number, -1 for a failure.

        OpenCV may land before or after the wanted time, because it divides by the average rate.
        """
        import cv2

        back = 1.0
        while True:
            target = max(0.0, start - back)
            self._video.set(cv2.CAP_PROP_POS_MSEC, 1000 * target)
            grabbed = self._video.grab()
            if not target or (grabbed and self._video.get(cv2.CAP_PROP_POS_MSEC) <= 1000 * start):
                return int(self._video.get(cv2.CAP_PROP_POS_FRAMES)) - 1 if grabbed else -1
            back *= 4

    def _seconds(self, before: float, shown: float | None) -> float:
        """Return the time of the grabbed frame; times only grow."""
        import cv2

        if shown is not None:
            return shown
        seconds = float(self._video.get(cv2.CAP_PROP_POS_MSEC)) / 1000
        if math.isfinite(seconds) and seconds > before:
            return max(seconds, 0.0) if before == -math.inf else seconds
        # A raw stream without times.
        return 0.0 if before == -math.inf else before + 1 / self.rate

    def _frame(self, index: int, seconds: float) -> SourceFrame:
        import cv2

        try:
            decoded, image = self._video.retrieve()
            if decoded:
                colour = cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB
                return SourceFrame(index, seconds, cv2.cvtColor(image, colour))
        except cv2.error as error:
            logger.debug("OpenCV can't decode a frame: %s", error)
        failure = VideoError(f"{self._name}: the frame at {seconds:.3f} s can't be decoded")
        return SourceFrame(index, seconds, error=failure)

    def _require_whole(self, seconds: float, selection: Selection, read: int) -> None:
        """Raise VideoError if a source ended too early."""
        if self._camera:
            raise VideoError(f"{self._name} stopped after {max(seconds, 0):.2f} s")
        if seconds == -math.inf:
            raise VideoError(f"{self._name} has no frame that can be decoded")
        end = seconds + 1 / self.rate
        if read < self._count and self._duration - end > CUT_SECONDS:
            raise VideoError(
                f"{self._name} can't be read beyond {end:.2f} s, but its header says that it has "
                f"{self._duration:.2f} s: it is cut or damaged"
            )
        if seconds < selection.start:
            raise VideoError(f"{self._name} ends at {end:.2f} s, before start={selection.start:g}")


def _animation_frames(path: Path, name: str, selection: Selection) -> Iterator[SourceFrame]:
    """Yield the frames of an animated GIF, WebP or PNG; one frame at a time is in memory."""
    from PIL import Image

    data = read_bounded(path, MAX_ANIMATION_BYTES)
    if data is None:
        raise VideoError(
            f"{name} is larger than {MAX_ANIMATION_BYTES >> 20} MiB: convert it to MP4"
        )
    wants, seconds, index = selection.sampler(), 0.0, 0
    try:
        with quiet():
            animation = Image.open(io.BytesIO(data), formats=["GIF", "PNG", "WEBP"])
        _require_pixels(animation.width, animation.height, name)
        # A PNG file may start with an image that is not part of its animation.
        first = 1 if getattr(animation, "default_image", False) else 0
        while seconds < selection.end:
            with quiet():
                animation.seek(index + first)
                # A frame of a GIF file can be larger than the file's header says.
                _require_pixels(animation.width, animation.height, name)
                image = _over_white(animation)
            milliseconds = animation.info.get("duration") or 0
            if wants(seconds):
                yield SourceFrame(index, seconds, image)
            seconds += milliseconds / 1000 if milliseconds > 0 else DEFAULT_DURATION
            index += 1
    except EOFError:
        return
    except EmonetError:
        raise
    except Exception as error:
        # Pillow's decoders raise many kinds of errors for a damaged file.
        raise VideoError(
            f"{name} can't be read beyond {seconds:.2f} s: {type(error).__name__}: {error}"
        ) from error


def _over_white(image: Any) -> NDArray[np.uint8]:
    from PIL import Image

    background = Image.new("RGBA", image.size, "white")
    background.alpha_composite(image.convert("RGBA"))
    return np.asarray(background.convert("RGB"))


def _pair_frames(pairs: Iterable[Any], selection: Selection) -> Iterator[SourceFrame]:
    """Yield the wanted frames of an iterable of (seconds, image)."""
    wants, before = selection.sampler(), -math.inf
    for index, pair in enumerate(pairs):
        try:
            seconds, image = pair
            seconds = float(seconds)
        except (TypeError, ValueError):
            raise VideoError(
                f"A video as an iterable must yield (seconds, image), got {type(pair).__name__} "
                f"as item {index}"
            ) from None
        if not before < seconds < math.inf:
            raise VideoError(
                f"Times of frames must grow: item {index} has {seconds} s after {before} s"
            )
        before = seconds
        if seconds >= selection.end:
            return
        if wants(seconds):
            yield SourceFrame(index, seconds, image)
