"""Where a model comes from: bundled with emonet, a folder, or the Hub."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeGuard, TypeVar

from emonet.config import RecognizerConfig, nearest
from emonet.errors import ConfigError, HubError, ModelError, ModelNotFoundError, WeightsError
from emonet.network.graph_check import check_graph
from emonet.network.network import graph_weights
from emonet.storage.folder import (
    CONFIG_FILE,
    MAX_MODEL_BYTES,
    Weights,
    graph_file,
    most_graph_bytes,
    read_checked,
    read_config,
    read_weights,
    weights_file,
)
from emonet.storage.hub import HubRepository
from emonet.training.record import RECORD_FILE, UNKNOWN, TrainingRecord, read_record

__all__ = ["ModelSource", "bundled_models", "open_model"]

BUNDLED = Path(__file__).parent.parent / "models"
DEFAULT = "default"

T = TypeVar("T")


class Fetch(Protocol):
    """Brings one of a model's files here, or finds it here."""

    def __call__(self, file: str, *, again: bool = False) -> Path:
        """Return the file's path; ``again`` asks for another copy than the last."""
        ...


@dataclass(frozen=True)
class ModelSource:
    """A model whose configuration is known and whose weights are not fetched yet.

    Attributes:
        config: as stored.
        fetch: brings the other files.
        bundled: whether it came with emonet, and is as emonet's tests saw it.
    """

    config: RecognizerConfig
    fetch: Fetch
    bundled: bool = False

    def weights(self) -> dict[str, Weights]:
        """Return every network's weights by its name; a damaged copy is fetched once more.

        Raises:
            WeightsError: a file is missing, altered, truncated, or not of safetensors' format.
            ModelNotFoundError: the repository lacks a file.
            HubError: the Hub can't be reached or refuses.
        """
        weights: dict[str, Weights] = {}
        left = MAX_MODEL_BYTES
        for network in self.config.networks:
            file = weights_file(network.name)
            read = partial(read_weights, digest=self.config.files[file], most=left)
            weights[network.name] = _read(self.fetch, file, read)
            left -= sum(array.nbytes for array in weights[network.name].values())
        return weights

    def graphs(self, weights: Mapping[str, Weights]) -> dict[str, bytes]:
        """Return the graphs of those networks that have one, by the network's name.

        Args:
            weights: every network's, which its graph may ask for.

        Raises:
            WeightsError: a file is missing, altered, or no graph of a network.
            ModelNotFoundError: the repository lacks a file.
            HubError: the Hub can't be reached or refuses.
        """
        graphs = {}
        for network in self.config.networks:
            file = graph_file(network.name)
            if file in self.config.files:
                size = sum(array.nbytes for array in weights[network.name].values())
                most = most_graph_bytes(network, size)
                read = partial(read_checked, digest=self.config.files[file], most=most)
                graphs[network.name] = _read(self.fetch, file, read)
                if not self.bundled:
                    given = graph_weights(weights[network.name], network.graph_precision)
                    check_graph(graphs[network.name], given, where=file)
        return graphs

    def record(self) -> TrainingRecord:
        """Return how the model was trained; an empty record where that can't be had."""
        try:
            return read_record(self.fetch(RECORD_FILE)) or UNKNOWN
        except ModelError:
            return UNKNOWN


def bundled_models() -> list[str]:
    """Return the names of the models inside emonet."""
    return sorted(path.parent.name for path in BUNDLED.glob("*/config.json"))


def open_model(
    source: str | Path | None,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    token: str | None = None,
    local_files_only: bool = False,
) -> ModelSource:
    """Find a model and read its configuration.

    Args:
        source: a bundled model's name (None: the default), a folder, ``"org/name"``, or
            ``"org/name@revision"``.
        revision: branch, tag or commit of a Hub repository.
        cache_dir: where files from the Hub are kept.
        token: for private repositories.
        local_files_only: use the Hub's cache alone.

    Raises:
        ModelNotFoundError: there is none of that name; says which is nearest.
        ConfigError: its config.json is malformed, or a revision is asked for that is not the
            Hub's.
        HubError: the Hub can't be reached or refuses.
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
    # A revision tells that the Hub is meant, even where a folder has the repository's name.
    if revision is None and (isinstance(source, Path) or _is(source, Path.is_dir)):
        return _local(Path(source))
    if revision is None and _is(source, Path.is_file):
        raise ModelNotFoundError(
            f"{source} is a file, and a model is a folder: give {Path(source).parent}"
        )
    if not _is_repository(source):
        raise ModelNotFoundError(
            f"No model {source!r:.200}: it is no folder, no Hub repository (org/name, or "
            f"org/name@revision), and not among the bundled models {', '.join(bundled_models())}."
            f"{nearest(str(source), bundled_models())}"
        )
    try:
        repository = HubRepository.resolve(
            source,
            revision=revision,
            cache_dir=None if cache_dir is None else Path(cache_dir).expanduser(),
            token=token,
            local_files_only=local_files_only,
        )
    except (HubError, ModelNotFoundError) as error:
        if revision is not None:
            raise
        here = f"There is no folder {source} here either."
        raise type(error)(f"{str(error).rstrip('.')}. {here}") from error
    return ModelSource(_read(repository.fetch, CONFIG_FILE, read_config), repository.fetch)


def _is_repository(source: str | Path | None) -> TypeGuard[str]:
    return isinstance(source, str) and bool(re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", source))


def _is(source: str | Path, kind: Callable[[Path], bool]) -> bool:
    try:
        return kind(Path(source))
    except (OSError, ValueError):  # too long, or no path at all
        return False


def _local(folder: Path, *, bundled: bool = False) -> ModelSource:
    def fetch(file: str, *, again: bool = False) -> Path:
        return folder / file

    return ModelSource(read_config(folder / CONFIG_FILE), fetch, bundled)


def _read(fetch: Fetch, file: str, read: Callable[[Path], T]) -> T:
    """Fetch a file and read it; a damaged copy is fetched once more."""
    try:
        return read(fetch(file))
    except (ConfigError, WeightsError) as damage:
        try:
            path = fetch(file, again=True)
        except HubError:
            raise damage from None
        return read(path)
