"""Serve a recognizer over HTTP: requests that arrive together share batches."""

from typing import TYPE_CHECKING

from emonet.recognizer import EmotionRecognizer
from emonet.service.limits import Limits
from emonet.support.dependencies import require

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["Limits", "create_app"]


def create_app(
    recognizer: EmotionRecognizer, *, limits: Limits | None = None, api_key: str | None = None
) -> "FastAPI":
    """Return a FastAPI application that predicts with a recognizer.

    Run it with any ASGI server, or mount it in an application of your own.

    Args:
        recognizer: a fitted or loaded recognizer; don't change it while the application runs.
        limits: bounds of sizes, memory and time; by default ``Limits()``.
        api_key: the key that requests to ``/v1`` must send as ``Authorization: Bearer KEY``.
            None accepts requests without a key.

    Raises:
        ConfigError: the key is empty, or has other characters than ASCII letters, digits and signs.
        MissingDependencyError: the extra ``serve`` is not installed.
        NotFittedError: the recognizer has no weights.

    Examples:
        >>> app = create_app(EmotionRecognizer.from_pretrained("tiny"))
        >>> main.mount("/faces", app)  # doctest: +SKIP
    """
    require("serve", "The HTTP service")
    from emonet.service.app import build_app

    return build_app(recognizer, limits or Limits(), api_key)
