"""What the page shows: annotated images, probabilities, tables and heat maps."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from queue import SimpleQueue
from tempfile import mkdtemp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.drawing import draw
from emonet.recognizer import EmotionRecognizer
from emonet.results import Face, VideoFrame
from emonet.tables import CsvWriter
from emonet.video.films import write_film

#: Frames that are taken from each second of a film.
FILM_RATE = 5.0
#: Seconds between the frames of a film that the page shows while it works.
PREVIEW_SECONDS = 0.5

#: Rows of a table below its headers.
Table = dict[str, Any]


def label_scores(faces: tuple[Face, ...]) -> Mapping[str, float] | None:
    """Return the probabilities of the largest face; None if there is no face."""
    if not faces:
        return None
    largest = max(faces, key=lambda face: face.box.width * face.box.height)
    return dict(largest.probabilities)


class Answers:
    """Answers to what visitors of the page do; each call is independent of the others.

    Args:
        recognizer: the recognizer.
        folder: gets the files to download.
    """

    def __init__(self, recognizer: EmotionRecognizer, folder: Path) -> None:
        self.recognizer, self._folder = recognizer, folder

    def photo(self, path: str) -> tuple[Any, Mapping[str, float] | None, Table, str]:
        """Return the annotated photo, probabilities, the table, and its file."""
        result = self.recognizer.predict(path)
        file = self._new_folder() / "faces.csv"
        with CsvWriter(file, self.recognizer.labels) as table:
            table.write(result)
        annotated = draw(path, result, bars=True)
        return annotated, label_scores(result.faces), self._table(result.faces), str(file)

    def heat_map(self, path: str, label: str | None) -> Any:
        """Return the photo with a heat map of what supports a label."""
        return self.recognizer.explain(path, label).draw()

    def film(self, path: str) -> Iterator[tuple[Any, str | None, str | None]]:
        """Yield frames of a film while it is read; at the end its annotated copy and its table."""
        folder, shown, annotated = self._new_folder(), -PREVIEW_SECONDS, None
        film, file = folder / "annotated.webm", folder / "faces.csv"
        frames = self.recognizer.stream_video(path, fps=FILM_RATE, images=True)
        with write_film(film) as write, CsvWriter(file, self.recognizer.labels) as table:
            for frame in frames:
                table.write(frame)
                if frame.image is None:
                    continue
                annotated = draw(frame.image, frame)
                write(frame.seconds, np.asarray(annotated))
                if frame.seconds - shown >= PREVIEW_SECONDS:
                    shown = frame.seconds
                    yield annotated, None, None
        yield annotated, str(film) if film.exists() else None, str(file)

    def _table(self, faces: tuple[Face, ...]) -> Table:
        """Return a row of each face, with the columns that matter in a single photo."""
        headers = ["face", "label", "score", *self.recognizer.labels]
        rows = [
            [number, face.label, round(face.score, 3)]
            + [round(value, 3) for value in face.probabilities.values()]
            for number, face in enumerate(faces)
        ]
        return {"headers": headers, "data": rows}

    def _new_folder(self) -> Path:
        return Path(mkdtemp(dir=self._folder))


class Camera:
    """The frames of one visitor's webcam: tracks and smoothed labels.

    Args:
        recognizer: the recognizer.
    """

    def __init__(self, recognizer: EmotionRecognizer) -> None:
        self._frames: SimpleQueue[tuple[float, NDArray[np.uint8]] | None] = SimpleQueue()
        self._results = recognizer.stream_video(
            iter(self._frames.get, None), live=True, images=True
        )

    def look(self, image: NDArray[np.uint8]) -> tuple[Any, Mapping[str, float] | None]:
        """Return the annotated frame, and the probabilities of its largest face."""
        self._frames.put((time.monotonic(), image))
        frame: VideoFrame = next(self._results)
        return draw(frame.image, frame), label_scores(frame.faces)

    def close(self) -> None:
        """End the thread that waits for frames."""
        self._frames.put(None)
