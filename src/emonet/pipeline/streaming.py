"""Turn a stream of images into a stream of results, with the faces of many images per batch.

Worker threads load images and detect faces while the networks classify the faces of earlier
images. Decoders, detectors and onnxruntime release Python's global lock.
"""

import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emonet.config import Alignment, Framing
from emonet.errors import EmonetError, ImageError
from emonet.pipeline.boxes import GivenBoxes, as_detections, paired
from emonet.pipeline.crops import FacesBySize, crop_faces, has_own_square
from emonet.pipeline.detection import DetectorPool, detect_faces
from emonet.pipeline.images import (
    ImageSource,
    is_array,
    is_bytes,
    is_file,
    is_pil,
    load_image,
    opened_image,
    plain_array,
    read_file,
    source_path,
)
from emonet.plugin import usable_cores
from emonet.results import Detection, Face, ImageResult
from emonet.support.budget import trim_memory

# The networks run once this many faces are collected, or half as many images.
CHUNK_FACES = 128
MAX_WORKERS = 8
# Largest number of images in worker threads, per thread; each image may be large.
AHEAD_PER_WORKER = 2

Classify = Callable[[FacesBySize], NDArray[np.float32]]

#: An image, or the error of one, and the boxes that the caller gave for it, if any.
_Taken = tuple[ImageSource | ImageError, GivenBoxes]


@dataclass(frozen=True, slots=True)
class _Detected:
    """The detections and face crops of one image; the image itself is released."""

    result: ImageResult
    detections: Sequence[Detection] = ()
    crops: FacesBySize | None = None


def stream_results(
    sources: Iterable[ImageSource],
    *,
    detectors: DetectorPool | None,
    framing: Framing | None,
    face_sizes: Sequence[tuple[int, int]],
    classify: Classify,
    labels: tuple[str, ...],
    min_score: float = 0.0,
    ahead: int | None = None,
    chunk_faces: int = CHUNK_FACES,
    boxes: Iterable[GivenBoxes] | None = None,
    alignment: Alignment = "none",
    fallback: Callable[[], Framing] = Framing,
) -> Iterator[ImageResult]:
    """Yield one result per image, in order; the result of a failed image holds its error.

    Args:
        sources: images in any form that load_image accepts; the calling thread iterates.
        detectors: the detectors; None if ``boxes`` has the faces.
        framing: maps a detector's box to the square that is cropped; None takes the square from
            five landmarks.
        face_sizes: (height, width) of the crops that classify needs, pixels; one or more.
        classify: maps crops, uint8 (n, height, width) by size, to float32 (n, classes).
        labels: the classes in column order.
        min_score: score threshold, 0..1; a face with a lower score gets the label None.
        ahead: how many images may be taken beyond the next result; None is the fastest.
        chunk_faces: classify is called once so many faces are collected, or half as many images.
        boxes: the faces of each image, found by the caller.
        alignment: as for crop_faces.
        fallback: returns the framing of a face without five landmarks, if ``framing`` is None.
    """
    workers = min(usable_cores(), MAX_WORKERS)
    chunk_images = max(1, chunk_faces // 2)
    window = AHEAD_PER_WORKER * workers + chunk_images if ahead is None else 1 + ahead
    if isinstance(sources, Sequence | np.ndarray):
        window = min(window, len(sources))

    def detect(given: _Taken) -> _Detected:
        source, given_boxes = given
        path = source_path(source)
        try:
            if isinstance(source, ImageError):
                raise source
            with opened_image(source) as (image, animated):
                height, width = image.shape[:2]
                if detectors is None:
                    detections = as_detections(given_boxes, width, height)
                else:
                    with detectors.borrow() as detector:
                        detections = detect_faces(detector, image)
                known = framing
                if known is None and not all(map(has_own_square, detections)):
                    known = fallback()
                crops = crop_faces(image, detections, known, face_sizes, alignment)
        except EmonetError as error:
            # At once, because the image's share of the memory is free for others already.
            _release_frames(error)
            trim_memory()
            return _Detected(ImageResult(path, 0, 0, error=error))
        return _Detected(ImageResult(path, width, height, animated=animated), detections, crops)

    pending: list[_Detected] = []
    failures: list[Exception] = []
    images = _until_failure(sources, boxes, failures)
    for detected, running in _detect_ahead(detect, images, pending, window, workers):
        pending.append(detected)
        faces = sum(len(part.detections) for part in pending)
        full = faces >= chunk_faces or len(pending) >= chunk_images
        if full or len(pending) + running >= window:
            yield from _classify_pending(pending, classify, labels, min_score)
            pending.clear()
    yield from _classify_pending(pending, classify, labels, min_score)
    for failure in failures:
        raise failure


def _until_failure(
    sources: Iterable[ImageSource],
    boxes: Iterable[GivenBoxes] | None,
    failures: list[Exception],
) -> "Iterator[_Taken]":
    """Yield images with their boxes; if an iterable raises, append to ``failures`` and stop.

    The caller raises the error after the results of all earlier images.
    """
    # A generator, such as a camera's, may reuse one array for all images.
    copies = not isinstance(sources, Sequence | np.ndarray)
    try:
        pairs = ((source, ()) for source in sources) if boxes is None else paired(sources, boxes)
        for source, known in pairs:
            yield _taken(source, copies), known
    except Exception as error:  # stream_results raises it later
        failures.append(error)


def _taken(source: ImageSource, copies: bool) -> ImageSource | ImageError:
    """Return an image that its owner may change from now on."""
    try:
        if is_pil(source):
            # Its file may be closed or at another frame later.
            return load_image(source)
        if is_file(source):
            return read_file(source)  # its owner may close it
        if copies and is_array(source):
            return plain_array(source).copy()
        if copies and is_bytes(source):
            return bytes(source)
    except ImageError as error:
        return error
    return source


def _detect_ahead(
    detect: Callable[[_Taken], _Detected],
    sources: Iterable[_Taken],
    pending: Sequence[_Detected],
    window: int,
    workers: int,
) -> Iterator[tuple[_Detected, int]]:
    """Yield (detected image, number of images still in worker threads), in order.

    Args:
        detect: loads an image and detects its faces, in a worker thread unless the window is 1.
        sources: the images.
        pending: detected images without a result; they count towards ``window``.
        window: largest number of images that are taken and have no result.
        workers: largest number of worker threads.
    """
    if window <= 1:
        yield from ((detect(source), 0) for source in sources)
        return
    running: deque[Future[_Detected]] = deque()
    most = AHEAD_PER_WORKER * workers
    with ThreadPoolExecutor(workers, thread_name_prefix="emonet") as pool:
        try:
            for source in sources:
                running.append(_submit(pool, detect, source))
                while running and len(running) >= min(most, window - len(pending)):
                    detected = running.popleft().result()
                    yield detected, len(running)
            while running:
                detected = running.popleft().result()
                yield detected, 0
        finally:
            # A caller that stops early does not wait for images that no thread has started.
            pool.shutdown(wait=False, cancel_futures=True)


def _submit(
    pool: ThreadPoolExecutor,
    detect: Callable[[_Taken], _Detected],
    source: _Taken,
) -> "Future[_Detected]":
    """Detect in a worker thread; in this thread if there can be none."""
    try:
        return pool.submit(detect, source)
    except RuntimeError:
        # The main thread has ended, or the system allows no more threads.
        detected: Future[_Detected] = Future()
        detected.set_result(detect(source))
        return detected


def _release_frames(error: BaseException) -> None:
    """Clear the frames of an error's traceback, which hold the failed image in memory."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) and cause not in chain:
        chain.append(cause)
    for linked in chain:
        traceback.clear_frames(linked.__traceback__)


def _classify_pending(
    pending: Sequence[_Detected],
    classify: Classify,
    labels: tuple[str, ...],
    min_score: float,
) -> Iterator[ImageResult]:
    """Classify all crops in one batch and yield the result of each image."""
    crops = [part.crops for part in pending if part.crops is not None and part.detections]
    rows = iter(classify(_concatenate(crops)) if crops else ())
    for part in pending:
        size = (part.result.width, part.result.height)
        faces = tuple(
            _face(detection, next(rows), labels, size, min_score) for detection in part.detections
        )
        yield replace(part.result, faces=faces)


def _concatenate(parts: Sequence[FacesBySize]) -> FacesBySize:
    """Concatenate the crops of several images."""
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
