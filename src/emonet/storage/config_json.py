"""Configurations <-> the text of config.json, strict both ways."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from typing import Any, get_args

from emonet.config import FORMAT_VERSION, RecognizerConfig, nearest
from emonet.errors import ConfigError, ConfigVersionError

__all__ = ["MAX_CONFIG_BYTES", "config_from_json", "config_to_json"]

# Of 64 networks with extractors: parsers of JSON need many times as much memory.
MAX_CONFIG_BYTES = 2**18


def config_to_json(config: RecognizerConfig) -> str:
    """Return the text of config.json.

    Raises:
        ConfigError: it could not be read back.
    """
    try:
        text = json.dumps(asdict(config), indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ConfigError(f"The configuration can't be saved: {error}") from None
    if len(text) > MAX_CONFIG_BYTES:  # of ASCII alone
        raise ConfigError(
            f"The configuration can't be saved: with {len(text)} bytes it would be larger than the "
            f"{MAX_CONFIG_BYTES} that emonet reads; settings are for a few values"
        )
    config_from_json(text, where="The configuration that was to be saved")
    return text


def config_from_json(text: str | bytes, *, where: str) -> RecognizerConfig:
    """Read the text of config.json.

    Args:
        text: the file's content.
        where: what error messages call the file.

    Raises:
        ConfigVersionError: it was written in a newer format.
        ConfigError: it is no JSON, or a key is unknown, missing or of the wrong type.
    """
    from pydantic import ValidationError

    try:
        data = json.loads(
            text, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_finite
        )
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where} is not JSON: {error}") from None
    if not isinstance(data, dict) or data.get("library") != "emonet":
        raise ConfigError(f'{where} is not an emonet model: it lacks "library": "emonet"')
    written = data.get("format_version")
    if isinstance(written, int) and written > FORMAT_VERSION:
        raise ConfigVersionError(
            f"{where} has format version {written!s:.40}; this emonet reads up to "
            f"{FORMAT_VERSION}. "
            f"Upgrade emonet."
        )
    try:
        config: RecognizerConfig = _adapter().validate_json(text)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_explain(error.errors()[0])}") from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    return config


@cache
def _adapter() -> Any:
    """Return pydantic's reader of a configuration, which takes longer to make than to use."""
    from pydantic import TypeAdapter

    return TypeAdapter(RecognizerConfig)


def _explain(error: Mapping[str, Any]) -> str:
    """Turn pydantic's first error into one sentence with the JSON path."""
    if error["type"] == "value_error":
        # One of ours, which names its place itself.
        return str(error["ctx"]["error"])
    # Keys come from a stranger's file, and may hold what a terminal would obey.
    path = ".".join(f"{part!a:.80}".strip("'") for part in error["loc"])
    if error["type"] == "unexpected_keyword_argument":
        return f"{path}: unknown key.{nearest(str(error['loc'][-1]), _keys(RecognizerConfig))}"
    received = (
        ""
        if error["type"] in ("missing", "missing_argument")
        else f" Received: {error['input']!a:.80}"
    )
    return f"{path}: {error['msg']}.{received}"


def _finite(text: str) -> float:
    """Read a number, unless it is Infinity, NaN or beyond what a float holds."""
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text:.40} is not a finite number")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its members, each of which must be there once."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("an object has the same key twice")
    return members


def _keys(kind: Any) -> set[str]:
    """Return every key that a configuration may have, at any depth."""
    keys: set[str] = set()
    for part in fields(kind):
        keys.add(part.name)
        for inner in (part.type, *get_args(part.type)):
            if is_dataclass(inner):
                keys |= _keys(inner)
    return keys
