"""From a stream of images to a stream of results, with the faces of many in one batch.

Images are read and their faces found in worker threads while the networks work on the faces of
the images before: decoders, detectors and onnxruntime all let go of Python's lock.
"""

import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emonet.config import Framing
from emonet.errors import EmonetError, ImageError
from emonet.pipeline.crops import FacesBySize, crop_faces
from emonet.pipeline.detection import detect_faces
from emonet.pipeline.images import ImageSource, is_pil, load_image, source_path
from emonet.plugin import Detector, usable_cores
from emonet.results import Detection, Face, ImageResult

__all__ = ["DetectorPool", "stream_results"]

# The networks run when this many faces, or images, have gathered: memory stays bounded.
CHUNK_FACES = 128
CHUNK_IMAGES = 64
WORKERS = min(usable_cores(), 8)
# Images that were taken from the caller and are not done yet; each may be large.
IMAGES_AHEAD = 2 * WORKERS

Classify = Callable[[FacesBySize], NDArray[np.float32]]


class DetectorPool:
    """Detectors of one kind, each of which works on one image at a time.

    Args:
        build: makes another, whenever all others are at work.
    """

    def __init__(self, build: Callable[[], Detector]) -> None:
        self._build = build
        self._idle: deque[Detector] = deque()  # its methods are safe between threads

    @contextmanager
    def borrow(self) -> Iterator[Detector]:
        """Hand out a detector that nobody else has meanwhile."""
        try:
            detector = self._idle.pop()
        except IndexError:
            detector = self._build()
        try:
            yield detector
        finally:
            self._idle.append(detector)


@dataclass(frozen=True, slots=True)
class _Detected:
    """An image of which only what shows faces is left."""

    result: ImageResult
    detections: Sequence[Detection] = ()
    crops: FacesBySize | None = None


def stream_results(
    sources: Iterable[ImageSource],
    *,
    detectors: DetectorPool,
    framing: Framing,
    face_sizes: Sequence[tuple[int, int]],
    classify: Classify,
    labels: tuple[str, ...],
    min_score: float = 0.0,
) -> Iterator[ImageResult]:
    """Yield one result per image, in order; an image that fails yields one with its error.

    Args:
        sources: images in any form that load_image takes; the calling thread iterates.
        detectors: find the faces.
        framing: from a detector's boxes to crops.
        face_sizes: every (height, width) that classify needs the crops in, pixels.
        classify: maps crops, uint8 (n, height, width) by size, to float32 (n, classes).
        labels: the classes in column order.
        min_score: a face whose score is below gets no label.
    """

    def detect(source: ImageSource | ImageError) -> _Detected:
        path = source_path(source)
        try:
            if isinstance(source, ImageError):
                raise source
            image = load_image(source)
            with detectors.borrow() as detector:
                detections = detect_faces(detector, image)
            crops = crop_faces(image, detections, framing, face_sizes)
        except EmonetError as error:
            return _Detected(ImageResult(path, 0, 0, error=error))
        height, width = image.shape[:2]
        return _Detected(ImageResult(path, width, height), detections, crops)

    pending: list[_Detected] = []
    failures: list[Exception] = []
    for detected in _ahead(detect, _until_failure(sources, failures)):
        if detected.result.error is not None:
            _let_go(detected.result.error)
        pending.append(detected)
        faces = sum(len(part.detections) for part in pending)
        if faces >= CHUNK_FACES or len(pending) >= CHUNK_IMAGES:
            yield from _classified(pending, classify, labels, min_score)
            pending = []
    yield from _classified(pending, classify, labels, min_score)
    for failure in failures:
        raise failure


def _until_failure(
    sources: Iterable[ImageSource], failures: list[Exception]
) -> Iterator[ImageSource | ImageError]:
    """Yield the images until there are no more; if that is for an error, put it into a list.

    So what came before it gets its result first, as that of a film whose end is damaged.
    """
    # What makes its images on the way, such as a camera, may fill one array again and again.
    copies = not isinstance(sources, Sequence | np.ndarray)
    try:
        for source in sources:
            if copies and isinstance(source, np.ndarray):
                yield source.copy()
            else:
                yield _read_now(source) if is_pil(source) else source
    except Exception as error:  # whatever it is, it is raised later
        failures.append(error)


def _read_now(image: ImageSource) -> ImageSource | ImageError:
    """Read what Pillow reads at first use, when its file may be closed or at another picture."""
    try:
        return load_image(image)
    except ImageError as error:
        return error


def _ahead(
    detect: Callable[[ImageSource | ImageError], _Detected],
    sources: Iterable[ImageSource | ImageError],
) -> Iterator[_Detected]:
    """Yield what becomes of each image, in order, while worker threads are at the next ones."""
    running: deque[Future[_Detected]] = deque()
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="emonet") as workers:
        try:
            for source in sources:
                running.append(workers.submit(detect, source))
                if len(running) >= IMAGES_AHEAD:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            # Whoever stops early does not wait for images that nobody has begun with.
            workers.shutdown(wait=False, cancel_futures=True)


def _let_go(error: BaseException) -> None:
    """Free what the frames of an error's traceback hold: the picture that failed."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) and cause not in chain:
        chain.append(cause)
    for link in chain:
        traceback.clear_frames(link.__traceback__)


def _classified(
    pending: Sequence[_Detected],
    classify: Classify,
    labels: tuple[str, ...],
    min_score: float,
) -> Iterator[ImageResult]:
    """Classify all crops at once and hand each image its faces."""
    crops = [part.crops for part in pending if part.crops is not None and part.detections]
    rows = iter(classify(_joined(crops)) if crops else ())
    for part in pending:
        size = (part.result.width, part.result.height)
        faces = tuple(
            _face(detection, next(rows), labels, size, min_score) for detection in part.detections
        )
        yield replace(part.result, faces=faces)


def _joined(parts: Sequence[FacesBySize]) -> FacesBySize:
    """Put the crops of several images behind each other."""
    return {size: np.concatenate([part[size] for part in parts]) for size in parts[0]}


def _face(
    detection: Detection,
    probabilities: NDArray[np.float32],
    labels: tuple[str, ...],
    image_size: tuple[int, int],
    min_score: float,
) -> Face:
    best = int(probabilities.argmax())
    score = float(probabilities[best])
    return Face(
        box=detection.box.clipped(*image_size),
        label=labels[best] if score >= min_score else None,
        score=score,
        probabilities=dict(zip(labels, probabilities.tolist(), strict=True)),
        detection=detection,
    )
