"""Find and load models: bundled with emonet, in a folder, or on the Hub."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeGuard, TypeVar, Unpack

from emonet.assembly.components import resolve
from emonet.config import ModelConfig, nearest
from emonet.errors import ConfigError, HubError, ModelError, ModelNotFoundError, WeightsError
from emonet.model import Model, Weights
from emonet.network.graph_check import check_graph
from emonet.network.graph_source import require_source
from emonet.network.network import graph_weights
from emonet.plugin import Json
from emonet.records import UNKNOWN, TrainingRecord
from emonet.runtimes import RuntimeName
from emonet.runtimes.base import max_memory
from emonet.storage.card import CARD_FILE
from emonet.storage.config_json import MAX_CONFIG_BYTES
from emonet.storage.folder import (
    CONFIG_FILE,
    MAX_CARD_BYTES,
    MAX_HUB_BYTES,
    graph_file,
    max_graph_bytes,
    read_checked,
    read_config,
    read_headline,
    read_weights,
    weights_file,
)
from emonet.storage.hub import HubAccess, HubRepository
from emonet.storage.record_json import MAX_RECORD_BYTES, RECORD_FILE, read_record
from emonet.support.dependencies import require

BUNDLED = Path(__file__).parent.parent / "models"
DEFAULT = "default"

T = TypeVar("T")


class Fetch(Protocol):
    """Returns the path of one of a model's files, downloaded if necessary."""

    def __call__(self, file: str, *, max_bytes: int, again: bool = False) -> Path:
        """Return the file's path; ``again`` asks for a new copy.

        A file with more bytes is not downloaded.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """A model whose config is read and whose weights are not fetched yet.

    All weights together may have ``max_bytes``. Graphs of a bundled model need no check.
    """

    config: ModelConfig
    fetch: Fetch
    max_bytes: int
    bundled: bool = False

    def load(self, config: ModelConfig, *, graphs: bool = True) -> Model:
        """Return the whole model; without graphs, Keras runs its networks."""
        weights = self._weights()
        return Model(
            config=config,
            weights=weights,
            graphs=self._graphs(weights) if graphs else {},
            record=self._record(),
        )

    def _weights(self) -> dict[str, Weights]:
        """Return every network's weights by its name; a damaged copy is fetched once more."""
        weights: dict[str, Weights] = {}
        left = self.max_bytes
        for network in self.config.networks:
            file = weights_file(network.name)
            read = partial(read_weights, digest=self.config.files[file], max_bytes=left)
            weights[network.name] = _read(self.fetch, file, read, left)
            left -= sum(array.nbytes for array in weights[network.name].values())
        return weights

    def _graphs(self, weights: Mapping[str, Weights]) -> dict[str, bytes]:
        """Return the graphs of the networks that have one, by the network's name."""
        graphs = {}
        for network in self.config.networks:
            file = graph_file(network.name)
            if file in self.config.files:
                size = sum(array.nbytes for array in weights[network.name].values())
                limit = max_graph_bytes(network, size)
                read = partial(read_checked, digest=self.config.files[file], max_bytes=limit)
                graphs[network.name] = _read(self.fetch, file, read, limit)
                if not self.bundled:
                    given = graph_weights(weights[network.name], network.graph_precision)
                    check_graph(graphs[network.name], given, where=file)
                    if network.graph_precision == "int8":
                        require_source(graphs[network.name], weights[network.name], where=file)
        return graphs

    def _record(self) -> TrainingRecord:
        """Return the model's record; an empty one if it can't be had."""
        try:
            return read_record(self.fetch(RECORD_FILE, max_bytes=MAX_RECORD_BYTES)) or UNKNOWN
        except ModelError:
            return UNKNOWN


def load_model(
    source: str | Path | None,
    *,
    detector: str | None = None,
    detector_config: Mapping[str, Json] | None = None,
    runtime: RuntimeName | None = None,
    revision: str | None = None,
    **hub: Unpack[HubAccess],
) -> Model:
    """Find a model, check that its components are installed, and load its files.

    The runtime ``"keras"`` loads no graphs; ``"onnxruntime"`` insists on them.
    """
    found = open_model(source, revision=revision, **hub)
    # Before weights are fetched, so that missing components are reported at once.
    config = resolve(found.config, detector, detector_config)
    graphs = {part.name for part in config.networks if graph_file(part.name) in config.files}
    without = [part.name for part in config.networks if part.name not in graphs]
    if runtime == "onnxruntime" and without:
        raise WeightsError(
            f"The model has no graph of {', '.join(without)} for onnxruntime. Load it with "
            f"runtime='keras' and save it again: emonet then writes a graph"
        )
    if runtime == "keras" or without:
        require("keras", "Running this model with Keras")
    return found.load(config, graphs=runtime != "keras")


def bundled_models() -> list[str]:
    """Return the names of the models inside emonet."""
    return sorted(path.parent.name for path in BUNDLED.glob("*/config.json"))


def open_model(
    source: str | Path | None, *, revision: str | None = None, **hub: Unpack[HubAccess]
) -> ModelSource:
    """Find a model and read its configuration.

    The source is a bundled model's name (None: the default), a folder, ``"org/name"`` or
    ``"org/name@revision"``.
    """
    if source is not None and not (isinstance(source, str | Path) and str(source)):
        raise ModelNotFoundError(
            f"A model is the name of a bundled one ({', '.join(bundled_models())}), a folder or a "
            f"Hub repository, got {source!r:.200}"
        )
    if isinstance(source, str) and revision is None and not _is(source, Path.is_dir):
        name, _, pinned = source.partition("@")
        if pinned and _is_repository(name):
            source, revision = name, pinned
    if revision is not None and not _is_repository(source):
        raise ConfigError(
            f"Only a Hub repository (org/name) has revisions, got revision {revision!r:.200} "
            f"of {str(source or DEFAULT)!r:.200}"
        )
    if source is None or (isinstance(source, str) and source in bundled_models()):
        return _local(BUNDLED / (source or DEFAULT), bundled=True)
    # A revision means the Hub, even if a folder has the repository's name.
    if revision is None and (isinstance(source, Path) or _is(source, Path.is_dir)):
        return _local(Path(source))
    if revision is None and _is(source, Path.is_file):
        raise ModelNotFoundError(
            f"{source} is a file, and a model is a folder: pass {Path(source).parent}"
        )
    if not _is_repository(source):
        raise ModelNotFoundError(
            f"No model {source!r:.200}: it is no folder, no Hub repository (org/name, or "
            f"org/name@revision), and not among the bundled models {', '.join(bundled_models())}."
            f"{nearest(str(source), bundled_models())}"
        )
    try:
        repository = HubRepository.resolve(source, revision=revision, **hub)
    except (HubError, ModelNotFoundError) as error:
        if revision is not None:
            raise
        hint = f"There is no folder {source} either."
        raise type(error)(f"{str(error).rstrip('.')}. {hint}") from error
    config = _read(repository.fetch, CONFIG_FILE, read_config, MAX_CONFIG_BYTES)
    return ModelSource(config=config, fetch=repository.fetch, max_bytes=MAX_HUB_BYTES)


def find_license(source: str | Path | None) -> str | None:
    """Return the licence in a model's card; None if the model has no card or no licence."""
    try:
        return read_headline(open_model(source).fetch(CARD_FILE, max_bytes=MAX_CARD_BYTES))[1]
    except (ModelError, HubError):
        return None


def _is_repository(source: str | Path | None) -> TypeGuard[str]:
    return isinstance(source, str) and bool(re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", source))


def _is(source: str | Path, kind: Callable[[Path], bool]) -> bool:
    try:
        return kind(Path(source))
    except (OSError, ValueError):  # too long, or not a path at all
        return False


def _local(folder: Path, *, bundled: bool = False) -> ModelSource:
    def fetch(file: str, *, max_bytes: int, again: bool = False) -> Path:
        return folder / file

    config = read_config(folder / CONFIG_FILE)
    return ModelSource(config=config, fetch=fetch, bundled=bundled, max_bytes=max_memory())


def _read(fetch: Fetch, file: str, read: Callable[[Path], T], max_bytes: int) -> T:
    """Fetch a file and read it; a damaged copy is fetched once more."""
    try:
        return read(fetch(file, max_bytes=max_bytes))
    except (ConfigError, WeightsError) as damage:
        try:
            path = fetch(file, max_bytes=max_bytes, again=True)
        except HubError:
            raise damage from None
        return read(path)
