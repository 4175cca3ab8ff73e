"""Run training in a model folder; an interrupted run can be resumed."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from emonet.data import Labelled
from emonet.data.splits import VALIDATION
from emonet.recognizer import EmotionRecognizer
from emonet.storage.folder import CONFIG_FILE, Dtype, require_no_other
from emonet.storage.update import update_model
from emonet.support.counting import counted
from emonet.support.files import sweep
from emonet.training.checkpoint import one_training

logger = logging.getLogger("emonet")

CHECKPOINTS = "checkpoints"
LEFTOVERS = ".finished"


def is_finished(folder: Path) -> bool:
    """Return whether a folder holds a finished model; if so, delete leftover checkpoints."""
    finished = (folder / CONFIG_FILE).exists() and not (folder / CHECKPOINTS).exists()
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
    """Train a recognizer and save it with its validation figures in a model folder.

    After an interruption, call it again with the same arguments: training continues after the last
    finished epoch. ``arguments`` go to EmotionRecognizer.fit. The record stores ``command``, and
    the validation figures under the name ``split``.

    Raises:
        TrainingError: another training runs in the folder.
    """
    require_no_other(folder)
    with one_training(folder):
        sweep(folder)
        checkpoints = folder / CHECKPOINTS
        _delete_leftovers(folder)
        recognizer.fit(train, validation, checkpoint_dir=checkpoints, **arguments)
        recognizer.set_record(replace(recognizer.record, command=command))
        recognizer.save_pretrained(folder, dtype=dtype, license=license)
        if validation is not None:
            # Evaluate the saved model, because float16 rounds the weights.
            report = EmotionRecognizer.from_pretrained(folder).evaluate(validation)
            update_model(
                folder,
                lambda stored: replace(stored, record=stored.record.with_evaluation(split, report)),
            )
            faces = counted(report.n, "validation face")
            logger.info("Accuracy on %s: %.4f", faces, report.accuracy)
        # Rename the checkpoints last: a folder with checkpoints counts as unfinished.
        checkpoints.rename(folder / LEFTOVERS)
        _delete_leftovers(folder)
        logger.info("Saved %s", folder)


def _delete_leftovers(folder: Path) -> None:
    """Delete the checkpoints of a finished run, if an interruption left some."""
    shutil.rmtree(folder / LEFTOVERS, ignore_errors=True)
