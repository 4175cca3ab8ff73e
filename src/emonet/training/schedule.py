"""What to do next as a function of what has happened: so a resumed run decides the same."""

from collections.abc import Sequence
from dataclasses import dataclass

from emonet.training.recipes import Phase

__all__ = ["EpochRecord", "best_epoch", "learning_rate", "should_stop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """One finished epoch.

    Attributes:
        epoch: counted from 1 through all phases.
        phase: of the recipe, counted from 0.
        learning_rate: at its end.
        loss: mean cross-entropy, nats, of the training faces as they were augmented.
        accuracy: 0..1, likewise.
        val_loss: mean cross-entropy of the validation faces, nats.
        val_accuracy: 0..1.
        seconds: for training and validation together.
    """

    epoch: int
    phase: int
    learning_rate: float
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    seconds: float


def learning_rate(phase: Phase, history: Sequence[EpochRecord]) -> float:
    """Return the rate of a constant or plateau phase after its epochs so far."""
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
    """Tell whether a phase is over after its epochs so far."""
    if len(history) >= phase.epochs:
        return True
    if phase.patience is None or not history:
        return False
    merits = [_merit(record, monitor) for record in history]
    return len(merits) - 1 - merits.index(max(merits)) >= phase.patience


def best_epoch(history: Sequence[EpochRecord], monitor: str) -> int:
    """Return the index of the best record; of equals that of the lowest loss, the earliest."""
    merits = [(_merit(record, monitor), -record.val_loss) for record in history]
    return merits.index(max(merits))


def _merit(record: EpochRecord, monitor: str) -> float:
    return -record.val_loss if monitor == "val_loss" else record.val_accuracy
