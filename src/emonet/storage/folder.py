"""A model folder: config.json, one safetensors file per network, and a model card."""

import hashlib
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from emonet.config import RecognizerConfig, config_from_json, config_to_json
from emonet.errors import ConfigError, ModelNotFoundError, WeightsError
from emonet.files import beside

__all__ = [
    "CONFIG_FILE",
    "Dtype",
    "Weights",
    "read_config",
    "read_weights",
    "weights_file",
    "write_config",
    "write_folder",
]

CONFIG_FILE = "config.json"
MAX_CONFIG_BYTES = 4 * 2**20
MAX_WEIGHTS_BYTES = 512 * 2**20
MAX_HEADER_BYTES = 8 * 2**20

Weights = dict[str, NDArray[Any]]
Dtype = Literal["float32", "float16"]


def weights_file(network: str) -> str:
    """Return the name of the file with a network's weights; the name was validated."""
    return f"{network}.safetensors"


def write_folder(
    folder: Path,
    config: RecognizerConfig,
    weights: Mapping[str, Weights],
    *,
    texts: Mapping[str, str | None],
    dtype: Dtype = "float32",
) -> None:
    """Write a model folder, all of it or nothing; config.json comes last.

    Args:
        folder: made when needed; files of the same names are replaced.
        config: what to store; its ``files`` are filled in.
        weights: each network's arrays by network name.
        texts: further files by name, such as README.md; None removes what is there.
        dtype: ``float32``, or ``float16`` for half the size.

    Raises:
        ConfigError: the dtype is another one.
        WeightsError: a weight is not finite, or too large for float16.
    """
    from safetensors.numpy import save

    if dtype not in get_args(Dtype):
        raise ConfigError(f"dtype must be 'float16' or 'float32', got {dtype!r}")
    folder.mkdir(parents=True, exist_ok=True)
    digests = {}
    # Everything is written beside first. Then names change, the first entered comes last.
    with ExitStack() as stack:
        config_file = stack.enter_context(beside(folder / CONFIG_FILE))
        for name, arrays in weights.items():
            file = weights_file(name)
            data = save({key: _converted(key, array, dtype) for key, array in arrays.items()})
            stack.enter_context(beside(folder / file)).write_bytes(data)
            digests[file] = hashlib.sha256(data).hexdigest()
        for file, text in texts.items():
            if text is None:
                (folder / file).unlink(missing_ok=True)
            else:
                stack.enter_context(beside(folder / file)).write_text(text, encoding="utf-8")
        stored = config_to_json(replace(config, files=digests))
        config_file.write_text(stored, encoding="utf-8")


def write_config(folder: Path, config: RecognizerConfig) -> None:
    """Replace a folder's config.json; the weights that it lists must be there."""
    with beside(folder / CONFIG_FILE) as file:
        file.write_text(config_to_json(config), encoding="utf-8")


def read_config(path: Path) -> RecognizerConfig:
    """Read and check a config.json.

    Raises:
        ModelNotFoundError: there is no such file.
        ConfigError: it is malformed, or names a file for no network.
    """
    if not path.is_file():
        raise ModelNotFoundError(f"No model in {path.parent}: it has no {path.name}")
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_CONFIG_BYTES} bytes: not a model's")
    config = config_from_json(path.read_bytes(), where=str(path))
    expected = {weights_file(network.name) for network in config.networks}
    if set(config.files) != expected:
        raise ConfigError(f"{path}: files must list {sorted(expected)}, got {sorted(config.files)}")
    return config


def read_weights(path: Path, digest: str) -> Weights:
    """Read one network's arrays.

    Args:
        path: the safetensors file.
        digest: its SHA-256 as config.json has it.

    Raises:
        WeightsError: the file is missing, altered, truncated, too large, or not of
            safetensors' format, or a weight is not finite.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        # A link may lead to a device, which has no end.
        if not path.is_file():
            raise WeightsError(f"There is no weights file {path}")
        with path.open("rb") as file:
            size, header = path.stat().st_size, int.from_bytes(file.read(8), "little")
            if size > MAX_WEIGHTS_BYTES or header > MAX_HEADER_BYTES:
                raise WeightsError(f"{path} is not a network's weights: {size} bytes, or no header")
            file.seek(0)
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"The weights file {path} can't be read: {error}") from error
    if found != digest:
        raise WeightsError(
            f"The weights file {path} was altered or damaged: its SHA-256 is {found}, "
            f"config.json says {digest}. Get the model again."
        )
    try:
        weights = dict(load_file(path))
    except (SafetensorError, ValueError, KeyError, TypeError, OSError) as error:
        raise WeightsError(f"{path} is not a safetensors file: {error}") from error
    for name, array in weights.items():
        if not np.issubdtype(array.dtype, np.number) or not np.isfinite(array).all():
            raise WeightsError(f"{path}: the weight {name!r} has values that are no finite numbers")
    return weights


def _converted(name: str, array: NDArray[Any], dtype: str) -> NDArray[Any]:
    if not np.issubdtype(array.dtype, np.floating):
        return np.ascontiguousarray(array)
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(array, dtype)
    if not np.isfinite(converted).all():
        raise WeightsError(f"The weight {name!r} is not finite as {dtype}; it was not saved")
    return converted
