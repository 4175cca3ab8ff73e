"""Errors as application/problem+json (RFC 9457)."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

logger = logging.getLogger("emonet")

RETRY_SECONDS = "1"
SCHEMA = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "description": "Always about:blank."},
        "title": {"type": "string", "description": "The name of the status."},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What failed, and what to do."},
    },
    "required": ["type", "title", "status", "detail"],
}
MEANINGS = {
    401: "The key is missing or wrong.",
    408: "The body did not arrive in time.",
    413: "The body is larger than the limit.",
    415: "The content type is not supported.",
    422: "A parameter is not valid, or no image of the body can be read.",
    503: "The service has too much to do. Try again after the seconds of Retry-After.",
}


class ProblemError(Exception):
    """A request can't be answered: an HTTP status, and a detail for the caller."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


def busy(detail: str) -> ProblemError:
    """Return the problem of a request that may succeed a little later."""
    return ProblemError(503, detail, {"Retry-After": RETRY_SECONDS})


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the problems of an endpoint for its OpenAPI description."""
    content = {"application/problem+json": {"schema": SCHEMA}}
    return {status: {"description": MEANINGS[status], "content": content} for status in statuses}


def handle_problems(app: FastAPI) -> None:
    """Answer every error of an application with a problem document."""

    async def problem(request: Request, error: Any) -> JSONResponse:
        return _response(error.status, error.detail, error.headers)

    async def http_error(request: Request, error: Any) -> JSONResponse:
        return _response(error.status_code, str(error.detail), error.headers)

    async def invalid(request: Request, error: Any) -> JSONResponse:
        return _response(422, describe_invalid(error.errors()))

    async def disconnected(request: Request, error: Any) -> JSONResponse:
        return _response(400, "The client has closed the connection.")  # nobody reads it

    async def failed(request: Request, error: Exception) -> JSONResponse:
        return _response(500, "The service failed. Its log has the reason.")

    app.add_exception_handler(ProblemError, problem)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(ClientDisconnect, disconnected)
    app.add_exception_handler(Exception, failed)


def describe_invalid(errors: Any) -> str:
    """Return pydantic's errors as one text, without the values received."""
    parts = [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in errors[:5]]
    return "; ".join(parts)[:1000]


def _response(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    content = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    return JSONResponse(content, status, dict(headers or {}), media_type="application/problem+json")
