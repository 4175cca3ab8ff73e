"""The endpoints of the HTTP service."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi_offline import FastAPIOffline
from numpy.typing import NDArray
from pydantic import Field

from emonet.errors import ConfigError, ImageError
from emonet.recognizer import EmotionRecognizer
from emonet.results import ImageResult
from emonet.service.batching import Batcher, Item, QueueFullError, Result
from emonet.service.bodies import BodyReader
from emonet.service.keys import equal, require_key
from emonet.service.limits import Limits
from emonet.service.metrics import CONTENT_TYPE_LATEST, MeasureRequests, Metrics
from emonet.service.problems import ProblemError, busy, documented, handle_problems
from emonet.service.schemas import Predictions, Probabilities, Status, request_body
from emonet.support.versions import emonet_version

DESCRIPTION = """\
Find faces in images and classify their expressions. Send the bytes of an image, a form with
several files, or JSON with images in base64. A label describes how an expression looks. It does
not tell what a person feels.
"""

#: Most boxes in a request; its line of parameters is bounded too.
MAX_BOXES = 100

Box = Annotated[str, Field(json_schema_extra={"format": "box"})]
Prior = Literal["balanced", "training"]
Probability = NDArray[np.float32]


def build_app(recognizer: EmotionRecognizer, limits: Limits, api_key: str | None) -> FastAPI:
    """Return the application; ``emonet.service.create_app`` describes it."""
    if api_key is not None:
        require_key(api_key)
    _ = recognizer.weights  # raises if there are none
    service = _Service(recognizer, limits)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        warm_up(recognizer)
        yield
        service.close()

    app = FastAPIOffline(
        redoc_url=None,  # its page loads a logo from another server
        title="emonet",
        description=DESCRIPTION,
        version=emonet_version(),
        lifespan=lifespan,
        swagger_ui_parameters={"validatorUrl": None},  # sends the description to another server
    )
    app.add_middleware(MeasureRequests, metrics=service.metrics)
    handle_problems(app)
    app.include_router(_predictions(service, api_key))
    app.include_router(_operations(service))
    return app


def warm_up(recognizer: EmotionRecognizer) -> None:
    """Build detector and networks, so that the first request is not slow."""
    height, width = recognizer.config.face_sizes[0]
    recognizer.predict(np.zeros((480, 640, 3), np.uint8))
    recognizer.predict_proba(np.zeros((1, height, width), np.uint8))


@dataclass(frozen=True, slots=True)
class Photo:
    """An image, the recognizer for it, and the boxes of its faces if the caller has found them."""

    data: bytes
    recognizer: EmotionRecognizer
    boxes: Sequence[Sequence[float]] | None

    @property
    def group(self) -> tuple[int, bool]:
        """What photos must share to be predicted together."""
        return id(self.recognizer), self.boxes is None


class _Service:
    """What the endpoints share."""

    def __init__(self, recognizer: EmotionRecognizer, limits: Limits) -> None:
        self.recognizer, self.limits = recognizer, limits
        self._with_prior: dict[Prior | None, EmotionRecognizer] = {None: recognizer}
        self.metrics = Metrics()
        self.bodies = BodyReader(limits)
        self.photos: Batcher[Photo, ImageResult] = self._batcher(self._predict)
        self.crops: Batcher[bytes, Probability | ImageError] = self._batcher(self._classify)

    def _batcher(
        self, process: Callable[[Sequence[Item]], Sequence[Result]]
    ) -> Batcher[Item, Result]:
        return Batcher(
            process,
            most=self.limits.max_queued,
            queued=self.metrics.queue.inc,
            started=self.metrics.batch.observe,
        )

    def with_prior(self, prior: Prior | None) -> EmotionRecognizer:
        """Return the recognizer for a prior of the classes; None is the model's own.

        Raises:
            ProblemError: the model can't take the prior.
        """
        if prior not in self._with_prior:
            try:
                self._with_prior[prior] = self.recognizer.with_prior(str(prior))
            except ConfigError as error:
                raise ProblemError(422, str(error)) from None
        return self._with_prior[prior]

    def close(self) -> None:
        self.photos.close()
        self.crops.close()

    async def answer(
        self, request: Request, batcher: Batcher[Item, Result], item: Callable[[bytes], Item]
    ) -> list[tuple[str | None, Result]]:
        """Return a result for each image of a request, with its name in a form.

        Args:
            request: has the images.
            batcher: processes them.
            item: makes the batcher's item of an image.

        Raises:
            ProblemError: the request can't be answered.
        """
        deadline = asyncio.get_running_loop().time() + self.limits.timeout
        async with self.bodies.read(request, deadline) as uploads:
            try:
                async with asyncio.timeout_at(deadline):
                    results = await batcher.submit([item(upload.data) for upload in uploads])
            except QueueFullError:
                raise busy("Too many images wait. Try again.") from None
            except TimeoutError:
                raise busy(f"There was no result in {self.limits.timeout:g} s.") from None
            return [(upload.name, result) for upload, result in zip(uploads, results, strict=True)]

    def _predict(self, photos: Sequence[Photo]) -> list[ImageResult]:
        """Find and classify faces; photos with boxes need no search for faces."""
        groups: dict[tuple[int, bool], list[Photo]] = {}
        for photo in photos:
            groups.setdefault(photo.group, []).append(photo)
        results = {}
        for group, members in groups.items():
            boxes = (
                [photo.boxes or () for photo in members] if members[0].boxes is not None else None
            )
            images = [photo.data for photo in members]
            results[group] = members[0].recognizer.stream(images, boxes=boxes)
        return [next(results[photo.group]) for photo in photos]

    def _classify(self, crops: Sequence[bytes]) -> list[Probability | ImageError]:
        """Classify face crops; an unreadable one does not harm the others of its batch."""
        try:
            return list(self.recognizer.predict_proba(crops))
        except ImageError as error:
            if len(crops) == 1:
                return [error]
            return [result for crop in crops for result in self._classify([crop])]


def _operations(service: _Service) -> APIRouter:
    router = APIRouter(tags=["operations"])

    @router.get("/healthz", summary="Tell whether the process works")
    async def healthz() -> Status:
        return Status(status="ok")

    @router.get("/readyz", summary="Tell whether the queue takes images", responses=documented(503))
    async def readyz() -> Status:
        if service.photos.full or service.crops.full:
            raise busy("Too many images wait. Try again.")
        return Status(status="ok")

    @router.get(
        "/metrics",
        summary="Return figures for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return router


def _predictions(service: _Service, api_key: str | None) -> APIRouter:
    keyed = [] if api_key is None else [Depends(_require_key(api_key))]
    router = APIRouter(tags=["predictions"], dependencies=keyed)
    problems = documented(*([401] if keyed else []), 408, 413, 415, 422, 503)

    @router.post(
        "/v1/predict",
        summary="Find faces and classify their expressions",
        response_model=Predictions,
        responses=problems,
        openapi_extra=request_body("photos"),
    )
    async def predict(
        request: Request,
        min_score: Annotated[
            float,
            Query(ge=0, le=1, description="Faces with a lower score get no label (`null`)."),
        ] = 0.0,
        prior: Annotated[
            Prior | None,
            Query(
                description="Expect other frequencies of the classes: all equal (`balanced`), or "
                "as in the training data. By default as the model says."
            ),
        ] = None,
        boxes: Annotated[
            list[Box] | None,
            Query(
                description="The faces, if you have found them: `x,y,width,height` in pixels for "
                "each face. Repeat the parameter for several faces; the boxes hold for every "
                "image of the request. No face detector runs.",
                max_length=MAX_BOXES,
            ),
        ] = None,
    ) -> Response:
        given = None if boxes is None else [_box(text) for text in boxes]
        recognizer = service.with_prior(prior)
        answers = await service.answer(
            request, service.photos, lambda data: Photo(data, recognizer, given)
        )
        results = [replace(result, path=name) for name, result in answers]
        failed = [result.error for result in results if result.error is not None]
        service.metrics.images.labels("failed").inc(len(failed))
        service.metrics.images.labels("read").inc(len(results) - len(failed))
        service.metrics.faces.inc(sum(len(result.faces) for result in results))
        if len(failed) == len(results):
            raise ProblemError(422, str(failed[0]))
        return JSONResponse({"results": [_json(result, min_score) for result in results]})

    @router.post(
        "/v1/predict_proba",
        summary="Classify face crops without looking for faces",
        response_model=Probabilities,
        responses=problems,
        openapi_extra=request_body("face crops, framed as the training faces are"),
    )
    async def predict_proba(request: Request) -> Response:
        answers = await service.answer(request, service.crops, lambda data: data)
        rows = []
        for place, (_, result) in enumerate(answers):
            if isinstance(result, ImageError):
                raise ProblemError(422, f"Image {place}: {result}")
            rows.append(result.tolist())
        return JSONResponse({"labels": service.recognizer.labels, "probabilities": rows})

    return router


def _box(text: str) -> list[float]:
    try:
        box = [float(part) for part in text.split(",")]
    except ValueError:
        box = []
    if len(box) != 4:
        raise ProblemError(422, f"A box must be x,y,width,height in pixels, got {text!r:.80}")
    return box


def _json(result: ImageResult, min_score: float) -> dict[str, Any]:
    faces = tuple(
        face if face.score >= min_score else replace(face, label=None) for face in result.faces
    )
    return replace(result, faces=faces).to_dict()


def _require_key(api_key: str) -> Any:
    bearer = HTTPBearer(auto_error=False, description="The key of EMONET_API_KEY.")

    async def check(
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
    ) -> None:
        given = "" if credentials is None else credentials.credentials
        if not equal(given, api_key):
            raise ProblemError(
                401,
                "Send the header 'Authorization: Bearer KEY' with the service's key.",
                {"WWW-Authenticate": "Bearer"},
            )

    return check
