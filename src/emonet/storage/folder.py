"""A model folder: config.json, weights and graph of every network, and a model card."""

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from emonet.config import NetworkConfig, RecognizerConfig
from emonet.errors import ConfigError, EmonetError, ModelNotFoundError, WeightsError
from emonet.files import beside, flush, read_bounded
from emonet.network.network import STATES
from emonet.storage.config_json import MAX_CONFIG_BYTES, config_from_json, config_to_json

__all__ = [
    "CONFIG_FILE",
    "MAX_MODEL_BYTES",
    "Dtype",
    "Weights",
    "graph_file",
    "listed_files",
    "most_graph_bytes",
    "read_checked",
    "read_config",
    "read_weights",
    "weights_file",
    "write_config",
    "write_folder",
]

CONFIG_FILE = "config.json"
MAX_WEIGHTS_BYTES = 384 * 2**20
#: Of all weights together: the paper's four networks have 632 MB.
MAX_MODEL_BYTES = 640 * 2**20
#: Of one network with 10,000 weights.
MAX_HEADER_BYTES = 2**20
MAX_GRAPH_BYTES = 2**22

Weights = dict[str, NDArray[Any]]
Dtype = Literal["float32", "float16"]


def weights_file(network: str) -> str:
    """Return the name of the file with a network's weights; the name was validated."""
    return f"{network}.safetensors"


def graph_file(network: str) -> str:
    """Return the name of the file with a network's graph, which not every folder has."""
    return f"{network}.onnx"


def most_graph_bytes(network: NetworkConfig, weights: int) -> int:
    """Return how large a network's graph may be, whose weights have so many bytes.

    In int8 it holds weights of its own, with fewer bytes than the others have in float16.
    """
    return MAX_GRAPH_BYTES + (weights if network.graph_precision == "int8" else 0)


def write_folder(
    folder: Path,
    config: RecognizerConfig,
    weights: Mapping[str, Weights],
    *,
    graphs: Mapping[str, bytes] = MappingProxyType({}),
    texts: Mapping[str, str | None],
    dtype: Dtype = "float32",
) -> None:
    """Write a model folder; config.json comes last.

    If the bytes can't be written, what was there before is untouched. A process that is killed
    while names change can leave files of both models; of weights and graphs, reading notices it
    by their digests.

    Args:
        folder: made when needed; files of the same names are replaced, and weights and
            graphs of the model that was there before are removed.
        config: what to store; its ``files`` are filled in.
        weights: each network's arrays by network name.
        graphs: likewise, of those networks that have one.
        texts: further files by name, such as README.md; None removes what is there.
        dtype: ``float32``, or ``float16`` for half the size.

    Raises:
        ConfigError: the dtype is another one.
        WeightsError: a weight is not finite, or too large for float16; or the files would be
            larger than those that emonet loads.
    """
    from safetensors.numpy import save

    if dtype not in get_args(Dtype):
        raise ConfigError(f"dtype must be 'float16' or 'float32', got {dtype!r}")
    folder.mkdir(parents=True, exist_ok=True)
    replaced = listed_files(folder)
    files: dict[str, bytes] = {graph_file(name): graph for name, graph in graphs.items()}
    for name, arrays in weights.items():
        converted = {key: _converted(key, array, dtype) for key, array in arrays.items()}
        files[weights_file(name)] = save(converted)
    _require_loadable(config, files)
    digests = {file: hashlib.sha256(data).hexdigest() for file, data in files.items()}
    _exchange(folder, replace(config, files=digests), files, texts, gone=replaced - files.keys())


def write_config(
    folder: Path,
    config: RecognizerConfig,
    *,
    texts: Mapping[str, str | None] = MappingProxyType({}),
) -> None:
    """Replace a folder's config.json; the weights that it lists must be there.

    Args:
        folder: a model folder.
        config: what to store.
        texts: as for write_folder.
    """
    _exchange(folder, config, {}, texts)


def read_config(path: Path) -> RecognizerConfig:
    """Read and check a config.json.

    Raises:
        ModelNotFoundError: there is no such file.
        ConfigError: it is malformed, or names a file for no network.
    """
    try:
        # A link may lead to a device, which has no end.
        found = path.is_file()
        text = read_bounded(path, MAX_CONFIG_BYTES) if found else None
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error}") from error
    if not found:
        raise ModelNotFoundError(f"No model in {path.parent}: it has no {path.name}")
    if text is None:
        raise ConfigError(f"{path} is empty or larger than {MAX_CONFIG_BYTES} bytes: no model's")
    config = config_from_json(text, where=str(path))
    needed = {weights_file(network.name) for network in config.networks}
    possible = needed | {graph_file(network.name) for network in config.networks}
    if not needed <= set(config.files) <= possible:
        raise ConfigError(f"{path}: files must list {sorted(needed)}, got {sorted(config.files)}")
    return config


def read_weights(path: Path, digest: str, most: int) -> Weights:
    """Read one network's arrays.

    Args:
        path: the safetensors file.
        digest: its SHA-256 as config.json has it.
        most: refuse more bytes than these, or than any network's.

    Raises:
        WeightsError: the file is missing, altered, truncated, too large, or not of
            safetensors' format, or a weight is not finite.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    data = read_checked(path, digest, min(most, MAX_WEIGHTS_BYTES))
    if int.from_bytes(data[:8], "little") > MAX_HEADER_BYTES:
        raise WeightsError(
            f"{path} is not a network's weights: its header is larger than {MAX_HEADER_BYTES} bytes"
        )
    try:
        weights = dict(load(data))
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        # The parser repeats names from the file, which a terminal might obey.
        raise WeightsError(f"{path} is not a safetensors file: {str(error)!a:.300}") from error
    for name, array in weights.items():
        if array.dtype.kind not in "biuf" or not _all_finite(array):
            raise WeightsError(
                f"{path}: the weight {name!r:.80} has values that are no finite numbers"
            )
    return weights


def read_checked(path: Path, digest: str, most: int) -> bytes:
    """Return a file's bytes, which are read once: what is checked is what is parsed.

    Args:
        path: of weights or of a graph.
        digest: its SHA-256 as config.json has it.
        most: refuse more bytes than these.

    Raises:
        WeightsError: the file is missing, altered, truncated or too large.
    """
    try:
        # A link may lead to a device, which has no end.
        if not path.is_file():
            raise WeightsError(f"There is no file {path}")
        data = read_bounded(path, most)
    except OSError as error:
        raise WeightsError(f"{path} can't be read: {error}") from error
    if data is None:
        raise WeightsError(f"{path} is no part of a model: empty, or larger than {most} bytes")
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise WeightsError(
            f"{path} was altered or damaged: its SHA-256 is {found}, "
            f"config.json says {digest}. Get the model again."
        )
    return data


def _require_loadable(config: RecognizerConfig, files: Mapping[str, bytes]) -> None:
    """Refuse files that nobody could load again."""
    sizes, together = [], 0
    for network in config.networks:
        weights, graph = weights_file(network.name), graph_file(network.name)
        sizes.append((weights, len(files[weights]), MAX_WEIGHTS_BYTES))
        most = most_graph_bytes(network, len(files[weights]))
        sizes.append((graph, len(files.get(graph, b"")), most))
        together += len(files[weights])
    sizes.append(("all weights together", together, MAX_MODEL_BYTES))
    for what, size, most in sizes:
        if size > most:
            raise WeightsError(
                f"{what} would have {size / 2**20:.1f} MiB, and emonet loads no more than "
                f"{most / 2**20:.1f}: save with dtype 'float16', or smaller or fewer networks"
            )


def _exchange(
    folder: Path,
    config: RecognizerConfig,
    files: Mapping[str, bytes],
    texts: Mapping[str, str | None],
    gone: Iterable[str] = (),
) -> None:
    """Write everything beside first; then names change, config.json's last, and the rest goes."""
    written = {name: text.encode() for name, text in texts.items() if text is not None}
    new = {**files, **written}
    with ExitStack() as stack:
        # What is entered first takes its name last.
        config_file = stack.enter_context(beside(folder / CONFIG_FILE))
        for file, data in new.items():
            _write(stack.enter_context(beside(folder / file)), data)
        _write(config_file, config_to_json(config).encode())
    for file in (*gone, *(texts.keys() - new.keys())):
        (folder / file).unlink(missing_ok=True)


def _write(file: Path, data: bytes) -> None:
    """Write bytes and wait for the disk: what follows, the change of names, is quick then."""
    file.write_bytes(data)
    flush(file)


def _all_finite(array: NDArray[Any]) -> bool:
    """Tell whether all numbers are finite as float32, which networks compute in."""
    with np.errstate(over="ignore"):
        return bool(np.isfinite(array.astype(np.float32, copy=False)).all())


def listed_files(folder: Path) -> set[str]:
    """Return weights and graphs of the model in a folder; none where it can't be read."""
    try:
        return set(read_config(folder / CONFIG_FILE).files)
    except EmonetError:
        return set()


def _converted(name: str, array: NDArray[Any], dtype: str) -> NDArray[Any]:
    # What a feature extractor learnt is its own: rounded, it would see other things.
    if name.startswith(STATES) or not np.issubdtype(array.dtype, np.floating):
        dtype = array.dtype.str
    with np.errstate(over="ignore"):
        converted = np.asarray(array, dtype, order="C")  # ascontiguousarray takes scalars for rows
    if not _all_finite(converted):
        raise WeightsError(f"The weight {name!r} is not finite as {dtype}; it was not saved")
    return converted
