"""Convert configs to the text of config.json and back, with strict checks both ways."""

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from typing import Any, get_args

from emonet.config import FORMAT_VERSION, ModelConfig, nearest
from emonet.errors import ConfigError, ConfigVersionError
from emonet.support.versions import emonet_version

# Enough for 64 networks with extractors. A JSON parser needs many times this memory.
MAX_CONFIG_BYTES = 2**18
#: Values that are written even if they are defaults, for readers of the file.
ALWAYS_WRITTEN = {"library", "format_version", "emonet_version", "labels", "temperature"}


def config_to_json(config: ModelConfig) -> str:
    """Return the text of config.json without default values, checked to be readable again."""
    try:
        text = json.dumps(_compact(config), indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ConfigError(f"The configuration can't be saved: {error}") from None
    if len(text) > MAX_CONFIG_BYTES:  # ASCII alone
        raise ConfigError(
            f"The configuration can't be saved: it has {len(text)} bytes, and emonet reads up to "
            f"{MAX_CONFIG_BYTES}. Use fewer or shorter settings"
        )
    config_from_json(text, where="The configuration to save")
    return text


def config_from_json(text: str | bytes, *, where: str) -> ModelConfig:
    """Read the text of config.json; ``where`` names the file in error messages.

    Raises:
        ConfigVersionError: a newer emonet wrote the text.
        ConfigError: the text is not JSON, or a key is unknown, missing or of the wrong type.
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
            f"{FORMAT_VERSION}. Upgrade emonet."
        )
    try:
        config: ModelConfig = _adapter().validate_json(text)
    except ValidationError as error:
        message = f"{where}: {_explain(error.errors()[0])}"
        written_by = data.get("emonet_version")
        if isinstance(written_by, str) and _is_newer(written_by):
            raise ConfigVersionError(
                f"{message} emonet {written_by.strip():.40} wrote the file; this is emonet "
                f"{emonet_version()}. Upgrade emonet."
            ) from None
        raise ConfigError(message) from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    return config


@cache
def _adapter() -> Any:
    """Return pydantic's reader of configs, which is slow to build and quick to use."""
    from pydantic import TypeAdapter

    return TypeAdapter(ModelConfig)


def _compact(value: Any) -> Any:
    """Return dataclasses as JSON objects, without default values."""
    if is_dataclass(value):
        return {
            part.name: _compact(item)
            for part in fields(value)
            for item in [getattr(value, part.name)]
            if part.name in ALWAYS_WRITTEN or item != _default(part)
        }
    if isinstance(value, dict):
        return {key: _compact(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_compact(item) for item in value]
    return value


def _default(part: Field[Any]) -> Any:
    return part.default if part.default_factory is MISSING else part.default_factory()


def _is_newer(written_by: str) -> bool:
    """Return whether a release is newer than the installed one."""
    from packaging.version import Version

    try:
        return Version(written_by) > Version(emonet_version())
    except ValueError:  # no version, or one with a number of thousands of digits
        return False


def _explain(error: Mapping[str, Any]) -> str:
    """Return pydantic's error as one sentence with the JSON path."""
    if error["type"] == "value_error":
        # An error of emonet names the key itself.
        return str(error["ctx"]["error"])
    # Keys of a stranger's file may contain control characters for a terminal.
    path = ".".join(f"{part!a:.80}".strip("'") for part in error["loc"])
    if error["type"] == "unexpected_keyword_argument":
        return f"{path}: unknown key.{nearest(str(error['loc'][-1]), _keys(ModelConfig))}"
    received = (
        ""
        if error["type"] in ("missing", "missing_argument")
        else f" Received: {error['input']!a:.80}"
    )
    return f"{path}: {error['msg']}.{received}"


def _finite(text: str) -> float:
    """Return the number; raise ValueError if it is infinite, NaN or too large for a float."""
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text:.40} is not a finite number")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members as a dict; raise ValueError if a key is there twice."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("an object has the same key twice")
    return members


def _keys(kind: Any) -> set[str]:
    """Return every key that a config may have, at any depth."""
    keys: set[str] = set()
    for part in fields(kind):
        keys.add(part.name)
        for inner in (part.type, *get_args(part.type)):
            if is_dataclass(inner):
                keys |= _keys(inner)
    return keys
