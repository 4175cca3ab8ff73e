"""Process parts in this process: one stream over the images of all parts."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from emonet.batch.files import write_part
from emonet.batch.parts import Part
from emonet.errors import ImageError
from emonet.recognizer import EmotionRecognizer
from emonet.results import ImageResult

Job = tuple[int, Part]
#: A part's number, and a result of the part; None begins the part.
Numbered = tuple[int, ImageResult | None]
#: A part's number, and an image's name and error; no name begins the part.
Taken = tuple[int, str | None, ImageError | None]


def process(
    recognizer: EmotionRecognizer,
    jobs: Iterable[Job],
    folder: Path,
    *,
    min_score: float = 0.0,
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Write one Parquet file for each part; a file appears when all its rows are there.

    Args:
        recognizer: finds and classifies the faces.
        jobs: (number, part) in the order in which they are written.
        folder: where the files are written.
        min_score: score threshold, 0..1.
        advance: called after each image.
    """

    def counted(numbered: Iterable[Numbered]) -> Iterator[ImageResult]:
        for _, result in numbered:
            if result is not None:
                yield result
                advance()

    taken: deque[Taken] = deque()
    stream = recognizer.stream(_images(jobs, taken), min_score=min_score)
    for number, numbered in groupby(_numbered(stream, taken), key=lambda one: one[0]):
        write_part(folder, number, counted(numbered), recognizer.labels)


def _images(jobs: Iterable[Job], taken: deque[Taken]) -> Iterator[Path | bytes]:
    """Yield the images that can be read; note all images and the beginning of each part."""
    for number, part in jobs:
        taken.append((number, None, None))
        for name, image in part.images():
            taken.append((number, name, image if isinstance(image, ImageError) else None))
            if not isinstance(image, ImageError):
                yield image


def _numbered(stream: Iterable[ImageResult], taken: deque[Taken]) -> Iterator[Numbered]:
    """Yield the results in the order in which the images were taken."""

    def without_result() -> Iterator[Numbered]:
        while taken and (taken[0][1] is None or taken[0][2] is not None):
            number, name, error = taken.popleft()
            yield number, None if name is None else ImageResult(name, 0, 0, error=error)

    for result in stream:
        yield from without_result()
        number, name, _ = taken.popleft()
        yield number, replace(result, path=name)
    yield from without_result()
