"""``emonet distill``: a network that learns from a teacher, such as a large ensemble."""

from typing import Any

from emonet.cli.options import options_of
from emonet.cli.train import train_model

__all__ = ["distill"]


@options_of(train_model)
def distill(**options: Any) -> None:
    """Train a network as 'emonet train' does, on what a teacher says about each face as well.

    The teacher is asked once, and its answers are kept while the training lasts, unless it is to
    see every batch.
    """
    train_model(**options)
