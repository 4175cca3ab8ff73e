"""Compute schedule, early stopping and best epoch from the history, so runs can be resumed."""

from collections.abc import Sequence

from emonet.records import EpochRecord, ValidationFigures
from emonet.training.recipes import Phase


def learning_rate(phase: Phase, history: Sequence[EpochRecord]) -> float:
    """Return the learning rate of a constant or plateau phase after its finished epochs."""
    rate = phase.learning_rate
    if phase.schedule != "plateau":
        return rate
    best, waited = float("inf"), 0
    for record in history:
        if record.val_loss < best:
            best, waited = record.val_loss, 0
        else:
            waited += 1
        if waited == phase.plateau_patience:
            rate, waited = rate / 2, 0
    return rate


def should_stop(phase: Phase, history: Sequence[EpochRecord], monitor: str) -> bool:
    """Return whether a phase is over after its finished epochs."""
    if len(history) >= phase.epochs:
        return True
    if phase.patience is None or not history:
        return False
    scores = [_score(record, monitor) for record in history]
    return len(scores) - 1 - scores.index(max(scores)) >= phase.patience


def best_index(figures: Sequence[ValidationFigures], monitor: str) -> int:
    """Return the index of the best figures; ties go to the lowest loss, then the earliest."""
    scores = [(_score(part, monitor), -part.val_loss) for part in figures]
    return scores.index(max(scores))


def _score(figures: ValidationFigures, monitor: str) -> float:
    return -figures.val_loss if monitor == "val_loss" else figures.val_accuracy
