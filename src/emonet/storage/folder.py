"""Read and write model folders: config, weights, graphs, record and model card."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from emonet.config import ModelConfig, NetworkConfig
from emonet.errors import ConfigError, EmonetError, ModelNotFoundError, WeightsError
from emonet.model import Model, Weights
from emonet.network.graph_source import require_source
from emonet.runtimes import RUNTIMES
from emonet.runtimes.base import max_memory
from emonet.storage.card import CARD_FILE, LICENSE, model_card
from emonet.storage.config_json import MAX_CONFIG_BYTES, config_from_json, config_to_json
from emonet.storage.record_json import RECORD_FILE, record_to_json
from emonet.support.files import atomic_write, flush, read_bounded, sweep

CONFIG_FILE = "config.json"
#: Limit for all weights of a model on the Hub; the paper's four networks have 632 MB. The limit
#: for a local folder is max_memory().
MAX_HUB_BYTES = 640 * 2**20
#: Enough for one network with 10,000 weights.
MAX_HEADER_BYTES = 2**20
MAX_GRAPH_BYTES = 2**22
MAX_CARD_BYTES = 2**20
#: Text that the files of a model contain, and files of other projects do not.
MARKS = {CARD_FILE: b"library_name: emonet", CONFIG_FILE: b'"emonet_version"'}
#: Likewise for the files that emonet exports for Transformers.js.
EXPORT_MARKS = {CARD_FILE: b"library_name: transformers.js", CONFIG_FILE: b'"exporter": "emonet'}

Dtype = Literal["float32", "float16"]


def weights_file(network: str) -> str:
    """Return the file name of a network's weights; the network's name must be validated."""
    return f"{network}{RUNTIMES['keras'].suffix}"


def graph_file(network: str) -> str:
    """Return the file name of a network's graph."""
    return f"{network}{RUNTIMES['onnxruntime'].suffix}"


def max_graph_bytes(network: NetworkConfig, weights: int) -> int:
    """Return the largest size of a network's graph, given the size of its weights in bytes.

    An int8 graph holds its own weights, which take fewer bytes than the float16 ones.
    """
    return MAX_GRAPH_BYTES + (weights if network.graph_precision == "int8" else 0)


def write_model(
    folder: Path,
    model: Model,
    *,
    title: str | None = None,
    license: str | None = None,
    dtype: Dtype | None = None,
) -> None:
    """Write a model folder; config.json comes last.

    If writing fails, the old files stay as they are. A process that is killed while it renames
    files can leave files of both models; reading then finds wrong digests. The title is the
    headline of the card, by default the folder's name. Without a dtype, each array keeps its own.

    Raises:
        ConfigError: there is no such dtype or licence, or the folder has a README.md or
            config.json of another project.
        NotFittedError: the model has no weights.
        WeightsError: a weight is not finite, an int8 graph belongs to other weights, or the model
            is too large to be loaded again.
    """
    from safetensors.numpy import save

    model.require_weights()
    if dtype not in (None, *get_args(Dtype)):
        raise ConfigError(f"dtype must be 'float16' or 'float32', got {dtype!r}")
    require_no_other(folder)
    model = model if dtype is None else model.as_dtype(dtype)
    files: dict[str, bytes] = {graph_file(name): graph for name, graph in model.graphs.items()}
    for network in model.config.networks:
        if network.graph_precision == "int8":
            name = network.name
            require_source(model.graphs[name], model.weights[name], where=graph_file(name))
    for name, arrays in model.weights.items():
        files[weights_file(name)] = save({key: _finite(key, arrays[key]) for key in arrays})
    _require_loadable(model.config, files)
    digests = {file: hashlib.sha256(data).hexdigest() for file, data in files.items()}
    config = replace(model.config, files=digests)
    card = model_card(config, title or folder.absolute().name, model.record, license=license)
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    stored = _stored_files(folder)
    texts = {CARD_FILE: card, RECORD_FILE: record_to_json(model.record)}
    files |= {name: text.encode() for name, text in texts.items() if text is not None}
    obsolete = {*stored, RECORD_FILE} - files.keys()
    same = {name for name, digest in digests.items() if stored.get(name) == digest}
    changed = {name: data for name, data in files.items() if name not in same}
    _replace_files(folder, {**changed, CONFIG_FILE: config_to_json(config).encode()}, obsolete)


def require_no_other(folder: Path, marks: Mapping[str, bytes] = MARKS) -> None:
    """Raise ConfigError if a model would replace files of another project in a folder."""
    for name, mark in marks.items():
        file = folder / name
        if file.is_symlink() or not file.is_file():
            continue  # writing replaces a link, not its target
        if mark not in (read_bounded(file, MAX_CARD_BYTES) or b""):
            raise ConfigError(
                f"{file} does not belong to an emonet model, and saving would replace it. Choose "
                f"another folder, or delete the file first"
            )


def read_headline(card: Path) -> tuple[str | None, str | None]:
    """Return the title and the licence of a card; None for a missing one."""
    try:
        data = read_bounded(card, MAX_CARD_BYTES) if card.is_file() else None
        text = (data or b"").decode()
    except (OSError, UnicodeDecodeError):
        return None, None
    parts = re.match(r"---\n(.*?)\n---\n(.*)", text.replace("\r\n", "\n"), re.DOTALL)
    if parts is None:
        return None, None
    license = re.search(rf"""^license: ['"]?({LICENSE})['"]?$""", parts[1], re.MULTILINE)
    title = re.search(r"^# (.+)$", parts[2], re.MULTILINE)
    return title and unescape(title[1]), license and license[1]


def read_config(path: Path) -> ModelConfig:
    """Read a config.json, and check that it lists the files of its networks and no others."""
    try:
        # A link may lead to a device, which never ends.
        found = path.is_file()
        text = read_bounded(path, MAX_CONFIG_BYTES) if found else None
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error}") from error
    if not found:
        raise ModelNotFoundError(f"No model in {path.parent}: it has no {path.name}")
    if text is None:
        raise ConfigError(f"{path} is no config: empty or larger than {MAX_CONFIG_BYTES} bytes")
    config = config_from_json(text, where=str(path))
    needed = {weights_file(network.name) for network in config.networks}
    possible = needed | {graph_file(network.name) for network in config.networks}
    if not needed <= set(config.files) <= possible:
        raise ConfigError(f"{path}: files must list {sorted(needed)}, got {sorted(config.files)}")
    return config


def read_weights(path: Path, digest: str, max_bytes: int) -> Weights:
    """Return one network's arrays by name, sorted.

    Raises:
        WeightsError: they are damaged or not finite.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    data = read_checked(path, digest, max_bytes)
    if int.from_bytes(data[:8], "little") > MAX_HEADER_BYTES:
        raise WeightsError(
            f"{path} is not a network's weights: its header is larger than {MAX_HEADER_BYTES} bytes"
        )
    try:
        # safetensors gives them in another order in each process.
        weights = dict(sorted(load(data).items()))
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        # The parser's message repeats names that may contain control characters.
        raise WeightsError(f"{path} is not a safetensors file: {str(error)!a:.300}") from error
    for name, array in weights.items():
        if array.dtype.kind not in "biuf" or not _all_finite(array):
            raise WeightsError(
                f"{path}: the weight {name!r:.80} has values that are not finite numbers"
            )
    return weights


def read_checked(path: Path, digest: str, max_bytes: int) -> bytes:
    """Return a file's bytes after a check of their SHA-256; the file is read only once.

    A file that is missing, altered, truncated or too large raises WeightsError.
    """
    try:
        # A link may lead to a device, which never ends.
        if not path.is_file():
            raise WeightsError(f"There is no file {path}")
        data = read_bounded(path, max_bytes)
    except OSError as error:
        raise WeightsError(f"{path} can't be read: {error}") from error
    if data is None:
        raise WeightsError(f"{path} is no part of a model: empty or larger than {max_bytes} bytes")
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise WeightsError(
            f"{path} was altered or damaged: its SHA-256 is {found}, but config.json has {digest}. "
            f"Download or save the model again."
        )
    return data


def _require_loadable(config: ModelConfig, files: Mapping[str, bytes]) -> None:
    """Raise WeightsError if the files are too large to be loaded again."""
    sizes, total = [], 0
    for network in config.networks:
        weights, graph = len(files[weights_file(network.name)]), graph_file(network.name)
        sizes.append((graph, len(files.get(graph, b"")), max_graph_bytes(network, weights)))
        total += weights
    sizes.append(("all weights together", total, max_memory()))
    for name, size, limit in sizes:
        if size > limit:
            raise WeightsError(
                f"{name} would have {size / 2**20:.1f} MiB, and emonet loads up to "
                f"{limit / 2**20:.1f}. Save with dtype='float16', or use smaller or fewer networks"
            )


def _replace_files(folder: Path, files: Mapping[str, bytes], obsolete: Iterable[str]) -> None:
    """Write all files under temporary names, rename them in order, and delete obsolete files."""
    with ExitStack() as stack:
        # The context that is entered first is left last.
        for file, data in reversed(list(files.items())):
            temporary = stack.enter_context(atomic_write(folder / file))
            temporary.write_bytes(data)
            # Flush to disk now, so that all renames follow at once.
            flush(temporary)
    for file in obsolete:
        (folder / file).unlink(missing_ok=True)


def listed_files(folder: Path) -> dict[str, str]:
    """Return the digests of a folder's weights and graphs by file; {} if it has no model."""
    try:
        return dict(read_config(folder / CONFIG_FILE).files)
    except EmonetError:
        return {}


def _stored_files(folder: Path) -> dict[str, str]:
    """Return the actual digests of listed_files; empty for a missing file or a link."""

    def digest(file: str) -> str:
        path = folder / file
        if path.is_symlink() or not path.is_file():
            return ""
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()

    return {file: digest(file) for file in listed_files(folder)}


def _all_finite(array: NDArray[Any]) -> bool:
    """Return whether all numbers are finite as float32, which networks compute in."""
    with np.errstate(over="ignore"):
        return bool(np.isfinite(array.astype(np.float32, copy=False)).all())


def _finite(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return an array in C order; raise WeightsError if a number is not finite."""
    if not _all_finite(array):
        raise WeightsError(f"The weight {name!r} is not finite as {array.dtype}; nothing was saved")
    return np.asarray(array, order="C")  # ascontiguousarray makes vectors of scalars
