"""Change what a model folder says about itself, and leave its weights alone."""

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

from emonet.config import RecognizerConfig
from emonet.errors import ConfigError, ModelNotFoundError
from emonet.files import read_bounded
from emonet.storage.card import CARD_FILE, LICENSE, model_card
from emonet.storage.folder import CONFIG_FILE, read_config, write_config
from emonet.training.record import (
    RECORD_FILE,
    UNKNOWN,
    TrainingRecord,
    read_record,
    record_to_json,
)

__all__ = ["require_folder", "require_no_other", "update_folder"]

MAX_CARD_BYTES = 2**20
#: What is in each file of a model, and not in another project's of the same name.
MARKS = {CARD_FILE: b"library_name: emonet", CONFIG_FILE: b'"emonet_version"'}


def require_folder(model: str | Path | None) -> Path:
    """Return the path of a model folder that can be changed.

    Raises:
        ModelNotFoundError: it is none: a bundled model, or one on the Hub.
        ConfigError: its training.json can't be read: what that tells would be lost.
    """
    if model is None or not (Path(model) / CONFIG_FILE).is_file():
        raise ModelNotFoundError(
            f"Only a model folder can be changed, got {model or 'the bundled model'!s:.200}: "
            f"save the model as one, or download it"
        )
    _stored_record(Path(model))
    return Path(model)


def require_no_other(folder: Path) -> None:
    """Refuse a folder with files of another project, which a model's would replace.

    Raises:
        ConfigError: its README.md or config.json is not of an emonet model.
    """
    for name, mark in MARKS.items():
        file = folder / name
        if file.is_symlink() or not file.is_file():
            continue  # of a link, what it leads to stays
        if mark not in (read_bounded(file, MAX_CARD_BYTES) or b""):
            raise ConfigError(
                f"{file} is no emonet model's, and saving one there would replace it: choose "
                f"another folder, or delete the file first"
            )


def update_folder(
    folder: Path,
    note: Callable[[TrainingRecord], TrainingRecord] = lambda record: record,
    change: Callable[[RecognizerConfig], RecognizerConfig] = lambda config: config,
) -> None:
    """Write config.json, training.json and the model card anew.

    Args:
        folder: a model folder; the card keeps its headline and its licence.
        note: from the stored record, which another process may have added to, to the new one.
        change: from the stored configuration to the new one.

    Raises:
        ConfigError: there is a training.json that can't be read: its history would be lost.
    """
    record = note(_stored_record(folder))
    config = change(read_config(folder / CONFIG_FILE))
    title, license = _headline(folder / CARD_FILE)
    card = model_card(config, title or folder.absolute().name, record, license=license)
    texts = {CARD_FILE: card, RECORD_FILE: record_to_json(record)}
    write_config(folder, config, texts=texts)


def _stored_record(folder: Path) -> TrainingRecord:
    """Return what a folder knows of its training; refuse what can't be read."""
    file = folder / RECORD_FILE
    record = read_record(file)
    if record is None and file.exists():
        raise ConfigError(
            f"{file} can't be read, as if a newer emonet wrote it or it were damaged; to write "
            f"it anew, and lose what it tells, delete it first"
        )
    return record or UNKNOWN


def _headline(card: Path) -> tuple[str | None, str | None]:
    """Return the title and the licence that a card gives; None for what it does not."""
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
