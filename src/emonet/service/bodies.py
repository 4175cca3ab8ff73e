"""Read the images of a request within the limits, in memory only."""

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Request
from pydantic import BaseModel, BeforeValidator, ValidationError, WithJsonSchema
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from emonet.service.limits import Limits
from emonet.service.problems import ProblemError, busy, describe_invalid

#: Types of bodies that are one image. The decoder looks at the bytes, not at the type.
IMAGE_TYPES = (
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/gif",
    "image/bmp",
    "image/tiff",
    "image/avif",
    "image/heic",
    "application/octet-stream",
)
FORM, JSON = "multipart/form-data", "application/json"
#: Most fields of a form that are not files; they are ignored.
MAX_FIELDS = 8
#: Most commas of a JSON body besides those between images. Base64 has none, so a body has about
#: as many commas as values.
MAX_COMMAS = 64
CLOSE = {"Connection": "close"}


def _decode(value: Any) -> bytes:
    if not isinstance(value, str):
        raise ValueError("an image must be a string of base64")
    return base64.b64decode(value, validate=True)


class Images(BaseModel):
    """Images as JSON."""

    images: list[
        Annotated[
            bytes,
            BeforeValidator(_decode),
            WithJsonSchema({"type": "string", "contentEncoding": "base64", "format": "base64"}),
        ]
    ]


@dataclass(frozen=True, slots=True)
class Upload:
    """An image of a request: the bytes of a file, and its name in a form."""

    data: bytes
    name: str | None = None


class _InMemory(MultiPartParser):
    # The parser's default moves files of more than 1 MB to the disk; 0 means never.
    spool_max_size = 0


class BodyReader:
    """Reads bodies; all of them together take bounded memory.

    Args:
        limits: the limits.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = 0

    @asynccontextmanager
    async def read(self, request: Request, deadline: float) -> AsyncIterator[list[Upload]]:
        """Yield the images of a request, and count their memory until they are released.

        Args:
            request: its body is read.
            deadline: the event loop's time at which the body must have arrived.

        Raises:
            ProblemError: the body is too large, too slow, of another type, or has no image.
        """
        share = _Share(self)
        try:
            try:
                async with asyncio.timeout_at(deadline):
                    uploads = await self._uploads(request, share)
            except TimeoutError:
                raise ProblemError(408, "The body did not arrive in time.", CLOSE) from None
            if not uploads:
                raise ProblemError(422, "The request has no image.")
            if len(uploads) > self._limits.max_images:
                raise self._too_many()
            yield uploads
        finally:
            share.release()

    async def _uploads(self, request: Request, share: "_Share") -> list[Upload]:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in (*IMAGE_TYPES, FORM, JSON):
            raise ProblemError(
                415, f"The content type must be one of {', '.join((*IMAGE_TYPES, FORM, JSON))}."
            )
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._limits.max_body:
            raise self._too_large()
        chunks = self._chunks(request, share)
        if kind == FORM:
            return await self._form(request, chunks)
        body = b"".join([chunk async for chunk in chunks])
        if kind == JSON:
            # The parser takes 600 bytes and more for each value.
            if body.count(b",") > self._limits.max_images + MAX_COMMAS:
                raise self._too_many()
            return await run_in_threadpool(_from_json, body)
        return [Upload(body)] if body else []

    async def _chunks(self, request: Request, share: "_Share") -> AsyncGenerator[bytes, None]:
        async for chunk in request.stream():
            share.size += len(chunk)
            self._held += len(chunk)
            if share.size > self._limits.max_body:
                raise self._too_large()
            if self._held > self._limits.max_memory:
                raise busy("The service holds too many requests. Try again.")
            yield chunk

    async def _form(self, request: Request, chunks: AsyncGenerator[bytes, None]) -> list[Upload]:
        parser = _InMemory(
            request.headers, chunks, max_files=self._limits.max_images, max_fields=MAX_FIELDS
        )
        try:
            form = await parser.parse()
        except MultiPartException as error:
            raise ProblemError(422, f"The form can't be read: {error.message}") from None
        try:
            files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
            return [Upload(await file.read(), file.filename) for file in files]
        finally:
            await form.close()

    def _too_many(self) -> ProblemError:
        return ProblemError(422, f"A request may have {self._limits.max_images} images.")

    def _too_large(self) -> ProblemError:
        return ProblemError(413, f"A body may have {self._limits.max_body} bytes.", CLOSE)


class _Share:
    """What one request takes of the memory for bodies."""

    def __init__(self, reader: BodyReader) -> None:
        self._reader, self.size = reader, 0

    def release(self) -> None:
        self._reader._held -= self.size
        self.size = 0


def _from_json(body: bytes) -> list[Upload]:
    try:
        images = Images.model_validate_json(body).images
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise ProblemError(422, describe_invalid(found)) from None
    return [Upload(image) for image in images]
