"""Take the newest frame of a live source, so that delay does not grow."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

from emonet.video.sources import SourceFrame

#: How long to wait for a camera that is asked to stop.
STOP_SECONDS = 2.0


def newest(frames: Iterator[SourceFrame], *, paced: bool) -> Iterator[SourceFrame]:
    """Yield the newest frame each time; a thread reads, and drops and counts older frames.

    Args:
        frames: the frames of a source; the thread iterates.
        paced: wait for each frame until its time has come, as a camera does. For files, which
            are otherwise read as fast as they can be.
    """
    reader = _Reader(frames, paced)
    thread = threading.Thread(target=reader.run, name="emonet-camera", daemon=True)
    thread.start()
    try:
        yield from reader
    finally:
        reader.stop()
        thread.join(STOP_SECONDS)


class _Reader:
    def __init__(self, frames: Iterator[SourceFrame], paced: bool) -> None:
        self._frames, self._paced = frames, paced
        self._changed = threading.Condition()
        self._latest: SourceFrame | None = None
        self._dropped = 0
        self._ended = self._stopped = False
        self._failure: BaseException | None = None

    def run(self) -> None:
        """Read until the source ends or stop is called."""
        began = None
        try:
            for frame in self._frames:
                if began is None:
                    began = time.monotonic() - frame.seconds
                with self._changed:
                    wait = began + frame.seconds - time.monotonic() if self._paced else 0
                    self._changed.wait_for(lambda: self._stopped, timeout=max(0, wait))
                    if self._stopped:
                        return
                    self._dropped += self._latest is not None
                    self._latest = frame
                    self._changed.notify_all()
        except BaseException as error:  # raised in the thread that takes the frames
            self._failure = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def stop(self) -> None:
        """Ask the thread to end."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[SourceFrame]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._latest is not None or self._ended)
                frame, self._latest = self._latest, None
                dropped, self._dropped = self._dropped, 0
            if frame is None:
                break
            yield replace(frame, dropped=dropped)
        if self._failure is not None:
            raise self._failure
