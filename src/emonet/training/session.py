"""One training run from data sets to weights."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.data import FaceDataset
from emonet.network.fusion import set_mean_face
from emonet.network.network import Network
from emonet.training.batches import Examples
from emonet.training.checkpoint import Checkpoint
from emonet.training.fit import run_recipe
from emonet.training.recipes import Recipe
from emonet.training.record import data_digest
from emonet.training.schedule import EpochRecord

__all__ = ["train_network"]

logger = logging.getLogger("emonet")


def train_network(
    build: Callable[[str], Network],
    recipe: Recipe,
    train: FaceDataset,
    validation: FaceDataset,
    *,
    identity: Mapping[str, Any],
    seed: int,
    checkpoint_dir: str | Path | None,
    centred: bool,
) -> tuple[dict[str, NDArray[Any]], list[EpochRecord]]:
    """Train a fresh network.

    Args:
        build: builds it in a precision.
        recipe: how to train it.
        train: what it learns from.
        validation: what chooses the epoch.
        identity: what, besides recipe, data and seed, makes the run this one.
        seed: of shuffling and augmentation.
        checkpoint_dir: where every epoch is saved, if anywhere.
        centred: whether the network subtracts the mean face.

    Returns:
        The best epoch's weights by name, and every epoch's figures.
    """
    network = build(recipe.precision)
    if centred:
        set_mean_face(network.model, train.images)
    checkpoint = None
    if checkpoint_dir is not None:
        whole_identity = {
            **identity,
            "recipe": asdict(recipe),
            "seed": seed,
            "data": [data_digest(train), data_digest(validation)],
        }
        checkpoint = Checkpoint(Path(checkpoint_dir), whole_identity)
    logger.info(
        "Training on %d faces, validating on %d: recipe %s, %d epochs",
        len(train), len(validation), recipe.name, recipe.epochs,
    )  # fmt: skip
    mirrored = np.ascontiguousarray(train.images[:, :, ::-1]) if network.extractors else None
    history = run_recipe(
        network,
        recipe,
        Examples(
            faces=train.images,
            targets=train.targets,
            features=network.features(train.images),
            mirrored_features=[] if mirrored is None else network.features(mirrored),
        ),
        Examples(validation.images, validation.targets, network.features(validation.images)),
        seed=seed,
        checkpoint=checkpoint,
    )
    return network.get_weights(), history
