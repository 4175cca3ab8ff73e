"""A training run with a folder of its own: resumable until it is finished, then a model."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from emonet.data import Labelled
from emonet.data.splits import VALIDATION
from emonet.recognizer import EmotionRecognizer
from emonet.storage.folder import CONFIG_FILE, Dtype
from emonet.storage.update import require_no_other, update_folder

__all__ = ["is_finished", "train_folder"]

logger = logging.getLogger("emonet")


def is_finished(folder: Path) -> bool:
    """Tell whether a folder holds a model whose training is over, and tidy such a folder up."""
    finished = (folder / CONFIG_FILE).exists() and not _checkpoints(folder).exists()
    if finished:
        _delete_leftovers(folder)
    return finished


def train_folder(
    recognizer: EmotionRecognizer,
    train: Labelled,
    validation: Labelled | None,
    folder: Path,
    *,
    command: str,
    split: str = VALIDATION,
    dtype: Dtype = "float32",
    license: str | None = None,
    **arguments: Any,
) -> None:
    """Train a recognizer and save it, with its validation figures.

    Killed at any moment and called again with the same arguments, it goes on from the last
    finished epoch.

    Args:
        recognizer: what to train.
        train: as for EmotionRecognizer.fit.
        validation: likewise; chooses the epoch.
        folder: the model folder; also holds checkpoints while they are needed.
        command: what the record names as the command.
        split: what the figures call the validation faces.
        dtype: of the saved weights.
        license: of the weights, for the model card.
        **arguments: for EmotionRecognizer.fit.

    Raises:
        ConfigError: the folder has a README.md or a config.json that is no model's.
    """
    require_no_other(folder)
    checkpoints = _checkpoints(folder)
    _delete_leftovers(folder)
    folder.mkdir(parents=True, exist_ok=True)
    recognizer.fit(train, validation, checkpoint_dir=checkpoints, **arguments)
    recognizer.training = replace(recognizer.training, command=command)
    recognizer.save_pretrained(folder, dtype=dtype, license=license)
    if validation is not None:
        # What is saved is evaluated, not what was trained: float16 rounds.
        report = EmotionRecognizer.from_pretrained(folder).evaluate(validation)
        update_folder(folder, lambda record: record.with_evaluation(split, report))
        logger.info("accuracy on the %d validation faces: %.4f", report.n, report.accuracy)
    # The checkpoints go last, and at once: while they are there, something may be left to do.
    checkpoints.rename(_leftovers(folder))
    _delete_leftovers(folder)
    logger.info("Saved %s", folder)


def _checkpoints(folder: Path) -> Path:
    return folder / "checkpoints"


def _leftovers(folder: Path) -> Path:
    return folder / ".finished"


def _delete_leftovers(folder: Path) -> None:
    """Delete the checkpoints of a finished run, which may have been killed at it before."""
    shutil.rmtree(_leftovers(folder), ignore_errors=True)
