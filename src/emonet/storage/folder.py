"""A model folder: config.json, one safetensors file per network, and a model card."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.config import RecognizerConfig, config_from_json, config_to_json
from emonet.errors import ConfigError, ModelNotFoundError, WeightsError

__all__ = [
    "CONFIG_FILE",
    "read_config",
    "read_weights",
    "weights_file",
    "write_config",
    "write_folder",
]

CONFIG_FILE = "config.json"
MAX_CONFIG_BYTES = 4 * 2**20

Weights = dict[str, NDArray[Any]]


def weights_file(network: str) -> str:
    """Return the name of the file with a network's weights; the name was validated."""
    return f"{network}.safetensors"


def write_folder(
    folder: Path,
    config: RecognizerConfig,
    weights: Mapping[str, Weights],
    *,
    texts: Mapping[str, str],
    dtype: str = "float32",
) -> RecognizerConfig:
    """Write a model folder; config.json comes last, so a folder that has one is whole.

    Args:
        folder: made when needed; files of the same names are replaced.
        config: what to store; its ``files`` are filled in.
        weights: each network's arrays by network name.
        texts: further files by name, such as README.md.
        dtype: ``float32``, or ``float16`` for half the size.

    Returns:
        The configuration as stored.

    Raises:
        ConfigError: the dtype is another one.
        WeightsError: a weight is not finite, or too large for float16.
    """
    from safetensors.numpy import save

    if dtype not in ("float16", "float32"):
        raise ConfigError(f"dtype must be 'float16' or 'float32', got {dtype!r}")
    folder.mkdir(parents=True, exist_ok=True)
    digests = {}
    for name, arrays in weights.items():
        data = save({key: _converted(key, array, dtype) for key, array in arrays.items()})
        _write(folder / weights_file(name), data)
        digests[weights_file(name)] = hashlib.sha256(data).hexdigest()
    for file, text in texts.items():
        _write(folder / file, text.encode())
    config = replace(config, files=digests)
    write_config(folder, config)
    return config


def write_config(folder: Path, config: RecognizerConfig) -> None:
    """Replace a folder's config.json; the weights that it lists must be there."""
    _write(folder / CONFIG_FILE, config_to_json(config).encode())


def read_config(folder: Path) -> RecognizerConfig:
    """Read and check a folder's config.json.

    Raises:
        ModelNotFoundError: there is no such folder, or no config.json in it.
        ConfigError: config.json is malformed or names a file for no network.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise ModelNotFoundError(f"No model in {folder}: it has no {CONFIG_FILE}")
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_CONFIG_BYTES} bytes: not a model's")
    config = config_from_json(path.read_bytes(), where=str(path))
    expected = {weights_file(network.name) for network in config.networks}
    if set(config.files) != expected:
        raise ConfigError(f"{path}: files must list {sorted(expected)}, got {sorted(config.files)}")
    return config


def read_weights(folder: Path, config: RecognizerConfig) -> dict[str, Weights]:
    """Read every network's arrays, by network name.

    Raises:
        WeightsError: a file is missing, altered, truncated, or not of safetensors' format.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    weights = {}
    for network in config.networks:
        path = folder / weights_file(network.name)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise WeightsError(f"The weights file {path} can't be read: {error}") from error
        digest = hashlib.sha256(data).hexdigest()
        if digest != config.files[path.name]:
            raise WeightsError(
                f"The weights file {path} was altered or damaged: its SHA-256 is {digest}, "
                f"config.json says {config.files[path.name]}. Get the model again."
            )
        try:
            weights[network.name] = dict(load(data))
        except (SafetensorError, ValueError, KeyError) as error:
            raise WeightsError(f"{path} is not a safetensors file: {error}") from error
    return weights


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces the real one when all went well."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _write(path: Path, data: bytes) -> None:
    with _beside(path) as temporary:
        temporary.write_bytes(data)


def _converted(name: str, array: NDArray[Any], dtype: str) -> NDArray[Any]:
    if not np.issubdtype(array.dtype, np.floating):
        return np.ascontiguousarray(array)
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(array, dtype)
    if not np.isfinite(converted).all():
        raise WeightsError(f"The weight {name!r} is not finite as {dtype}; it was not saved")
    return converted
