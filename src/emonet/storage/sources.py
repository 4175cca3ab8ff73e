"""Where a model comes from: bundled with emonet, a folder, or the Hub."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from emonet.config import RecognizerConfig, nearest
from emonet.errors import ModelNotFoundError
from emonet.storage import hub
from emonet.storage.folder import read_config, weights_file

__all__ = ["ModelSource", "bundled_models", "open_model"]

BUNDLED = Path(__file__).parent.parent / "models"
DEFAULT = "default"


@dataclass(frozen=True)
class ModelSource:
    """A model whose configuration is known and whose weights are not fetched yet.

    Attributes:
        config: as stored.
        fetch: returns the local folder that holds every file.
    """

    config: RecognizerConfig
    fetch: Callable[[], Path]


def bundled_models() -> list[str]:
    """Return the names of the models inside emonet."""
    return sorted(path.parent.name for path in BUNDLED.glob("*/config.json"))


def open_model(source: str | Path | None, *, revision: str | None = None) -> ModelSource:
    """Find a model and read its configuration.

    Args:
        source: a bundled model's name (None: the default), a folder, or ``"org/name"``.
        revision: branch, tag or commit of a Hub repository.

    Raises:
        ModelNotFoundError: there is none of that name; says which is nearest.
        ConfigError: its config.json is malformed.
        HubError: the Hub can't be reached or refuses.
    """
    if source is None or (isinstance(source, str) and source in bundled_models()):
        return _local(BUNDLED / (source or DEFAULT))
    if isinstance(source, Path) or Path(source).is_dir():
        return _local(Path(source))
    if re.fullmatch(r"[\w.-]+/[\w.-]+", source):
        return _remote(source, revision)
    raise ModelNotFoundError(
        f"No model {source!r}: it is no folder, no Hub repository (org/name), and not among "
        f"the bundled models {', '.join(bundled_models())}.{nearest(source, bundled_models())}"
    )


def _local(folder: Path) -> ModelSource:
    return ModelSource(read_config(folder), lambda: folder)


def _remote(repository: str, revision: str | None) -> ModelSource:
    commit = hub.resolve_commit(repository, revision)
    folder = hub.download(repository, commit, ["config.json"])
    config = read_config(folder)
    files = [weights_file(network.name) for network in config.networks]

    def fetch() -> Path:
        return hub.download(repository, commit, files)

    return ModelSource(config, fetch)
