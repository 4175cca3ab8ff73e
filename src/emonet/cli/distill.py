"""``emonet distill``: train a network with a teacher, such as a large ensemble."""

from typing import Any

from emonet.cli.options import options_of
from emonet.cli.train import train_model


@options_of(train_model)
def distill(**options: Any) -> None:
    """Distil a model, the teacher, into a smaller network.

    It trains like 'emonet train', with the teacher's probabilities in the targets. The teacher
    predicts each training face once, and its predictions are kept until training ends; with
    --teaching consistent, it predicts every batch.
    """
    train_model(**options)
