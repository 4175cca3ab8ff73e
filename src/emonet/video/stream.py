"""Find, track and classify the faces of a video, frame by frame."""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from emonet.errors import ConfigError, ImageError, VideoError
from emonet.pipeline.images import load_image
from emonet.plugin import require_choice, require_number
from emonet.results import Face, ImageResult, TrackedFace, VideoFrame
from emonet.support.dependencies import require
from emonet.video.live import newest
from emonet.video.smoothing import Smoothing, smoothed
from emonet.video.sources import Selection, Source, SourceFrame, open_source
from emonet.video.tracking import Tracker

if TYPE_CHECKING:
    from emonet.recognizer import EmotionRecognizer

#: Most bytes of frames that are read ahead, and most frames.
AHEAD_BYTES, MAX_AHEAD = 2**28, 80


def stream_video(
    recognizer: "EmotionRecognizer",
    source: Any,
    *,
    every: int,
    fps: float | None,
    start: float | None,
    end: float | None,
    live: bool | None,
    smoothing: Smoothing,
    min_score: float,
    new_track_score: float | None,
    images: bool,
) -> Iterator[VideoFrame]:
    """Return an iterator over the frames of a video; see ``EmotionRecognizer.stream_video``."""
    require("video", "Tracking faces")
    require_choice("video", "smoothing", smoothing, get_args(Smoothing))
    require_number("video", "min_score", min_score, 0, 1)
    if new_track_score is None:
        new_track_score = -math.inf
    require_number("video", "new_track_score", new_track_score, -math.inf)
    selection = Selection(every, fps, start or 0.0, math.inf if end is None else end)
    opened = open_source(source, selection)
    live = opened.camera if live is None else live
    if live and smoothing == "centred":
        raise ConfigError("Centred smoothing looks ahead: use smoothing='causal' with live=True")
    frames = newest(opened.frames, paced=not opened.camera) if live else opened.frames
    waiting: deque[SourceFrame] = deque()
    results = recognizer.stream(
        _decoded(frames, waiting, images=images), ahead=0 if live else _ahead(opened)
    )
    tracked = _track(_with_times(results, waiting, opened.path), Tracker(new_track_score))
    return _threshold(smoothed(tracked, smoothing), min_score)


def _ahead(source: Source) -> int | None:
    """Return how many frames may be taken beyond the next result; None for the usual number."""
    if source.frame_bytes is None or source.frame_bytes * MAX_AHEAD <= AHEAD_BYTES:
        return None
    return AHEAD_BYTES // source.frame_bytes


def _decoded(
    frames: Iterator[SourceFrame], waiting: deque[SourceFrame], *, images: bool
) -> Iterator[Any]:
    """Yield the images of frames, and append each frame to ``waiting``."""
    for frame in frames:
        if images and frame.error is None:
            frame = _loaded(frame)
        waiting.append(frame if images else replace(frame, image=None))
        if frame.error is None:
            yield frame.image


def _loaded(frame: SourceFrame) -> SourceFrame:
    try:
        return replace(frame, image=load_image(frame.image))
    except ImageError as error:
        return replace(frame, image=None, error=error)


def _with_times(
    results: Iterator[ImageResult], waiting: deque[SourceFrame], path: str | None
) -> Iterator[tuple[VideoFrame, tuple[Face, ...]]]:
    """Yield each frame without its faces, and its faces.

    Args:
        results: results of the frames that have an image.
        waiting: all frames, in order, from the one whose result comes next.
        path: of the video.
    """
    with_result = iter(results)
    failure: VideoError | None = None
    while True:
        try:
            result = next(with_result, None)
        except VideoError as error:
            result, failure = None, error
        while waiting and waiting[0].error is not None:
            yield _video_frame(waiting.popleft(), path), ()
        if failure is not None:
            raise failure
        if result is None:
            return
        yield _video_frame(waiting.popleft(), path, result), result.faces


def _video_frame(
    frame: SourceFrame, path: str | None, result: ImageResult | None = None
) -> VideoFrame:
    return VideoFrame(
        index=frame.index,
        seconds=frame.seconds,
        width=0 if result is None else result.width,
        height=0 if result is None else result.height,
        path=path,
        image=frame.image,
        dropped=frame.dropped,
        error=frame.error if result is None else result.error,
    )


def _track(
    frames: Iterable[tuple[VideoFrame, tuple[Face, ...]]], tracker: Tracker
) -> Iterator[VideoFrame]:
    """Yield the frames with their tracked faces."""
    for frame, faces in frames:
        if frame.error is not None:
            yield frame
            continue
        numbers = tracker.update(frame.seconds, faces)
        tracked = [
            TrackedFace(
                box=face.box,
                label=face.label,
                score=face.score,
                probabilities=face.probabilities,
                detection=face.detection,
                track=number,
                raw_probabilities=face.probabilities,
            )
            for face, number in zip(faces, numbers, strict=True)
            if number is not None
        ]
        tracked.sort(key=lambda face: face.track)
        yield replace(frame, faces=tuple(tracked))


def _threshold(frames: Iterable[VideoFrame], min_score: float) -> Iterator[VideoFrame]:
    """Yield the frames without the labels of uncertain faces."""
    for frame in frames:
        faces = (
            face if face.score >= min_score else replace(face, label=None) for face in frame.faces
        )
        yield replace(frame, faces=tuple(faces))
