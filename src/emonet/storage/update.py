"""Change the config and record of a model folder; its weights stay as they are."""

from collections.abc import Callable
from pathlib import Path

from emonet.errors import ConfigError, ModelNotFoundError
from emonet.model import Model
from emonet.storage.card import CARD_FILE
from emonet.storage.folder import CONFIG_FILE, read_headline, write_model
from emonet.storage.record_json import RECORD_FILE, read_record
from emonet.storage.sources import open_model


def require_folder(model: str | Path | None) -> Path:
    """Return the path of a model folder; raise ModelNotFoundError for any other model."""
    if model is None or not (Path(model) / CONFIG_FILE).is_file():
        raise ModelNotFoundError(
            f"Only a model folder can be changed, got {model or 'the bundled model'!s:.200}. "
            f"Download the model, or save it as a folder"
        )
    _require_record(Path(model))
    return Path(model)


def update_model(folder: Path, change: Callable[[Model], Model]) -> None:
    """Read a model folder, change the model, and write it back.

    The folder is read again here, because another process may have added figures. The card keeps
    its headline and its licence. ``change`` may not change weights.
    """
    _require_record(folder)
    title, license = read_headline(folder / CARD_FILE)
    source = open_model(folder)
    write_model(folder, change(source.load(source.config)), title=title, license=license)


def _require_record(folder: Path) -> None:
    """Raise ConfigError if training.json can't be read: a new one would lose its history."""
    file = folder / RECORD_FILE
    if file.exists() and read_record(file) is None:
        raise ConfigError(
            f"{file} can't be read. It is damaged, or a newer emonet wrote it. Delete it if its "
            f"history is of no use"
        )
