"""One training run from data sets to weights and the record of how they came to be."""

import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.composition import build_network, without_releases
from emonet.config import RecognizerConfig
from emonet.data import FaceDataset
from emonet.errors import ConfigError, DataError
from emonet.network.fusion import set_mean_face, set_standardisation
from emonet.registry.catalog import Catalog
from emonet.training.batches import Examples
from emonet.training.checkpoint import Checkpoint
from emonet.training.distillation import Distillation
from emonet.training.features import extract_all
from emonet.training.fit import run_recipe
from emonet.training.recipes import Recipe
from emonet.training.record import Trained, TrainingRecord, data_digest, make_record
from emonet.training.start import give_weights, weights_digest

__all__ = ["train_network"]

logger = logging.getLogger("emonet")

HELD_OUT = 0.1

Features = Callable[[NDArray[np.uint8], str], list[NDArray[np.float32]]]


def train_network(
    catalog: Catalog,
    config: RecognizerConfig,
    recipe: Recipe,
    train: FaceDataset,
    validation: FaceDataset | None,
    *,
    pretrained: bool,
    seed: int,
    checkpoint_dir: str | Path | None,
    feature_cache: str | Path | None,
    distillation: Distillation | None = None,
    start_from: Trained | None = None,
) -> tuple[dict[str, NDArray[Any]], TrainingRecord]:
    """Train a recognizer's only network.

    Args:
        catalog: where its components are looked up.
        config: the recognizer.
        recipe: how to train.
        train: what it learns from.
        validation: what chooses the epoch; None holds a tenth of ``train`` out.
        pretrained: whether the backbone starts from weights of its own.
        seed: of initial weights, shuffling and augmentation.
        checkpoint_dir: where every epoch is saved, if anywhere.
        feature_cache: where feature vectors are kept, if anywhere.
        distillation: a teacher that has a say in the targets of ``train``.
        start_from: has learnt already; training starts from its weights.

    Returns:
        The best epoch's weights by name, and the record.

    Raises:
        ConfigError: the recognizer, or what it starts from, has several networks, or the
            teacher has other labels.
        DataError: a class has no face.
        TrainingError: the loss diverged, or checkpoint_dir holds another run.
        WeightsError: what it starts from is built otherwise.
    """
    if len(config.networks) != 1:
        raise ConfigError(
            f"fit trains one network, got an ensemble of {len(config.networks)}: train its members "
            f"each by itself, or start from a model of one network (of the bundled: fast, tiny)"
        )
    train.require_every_class()
    if validation is None:
        train, validation = train.hold_out(HELD_OUT, seed=seed)
    elif not len(validation):
        raise DataError("There is no face to validate on: give some, or no validation_data")
    taught, ask = train, None
    if distillation is not None and distillation.sees == "batches":
        ask = distillation.asked_in(train.labels)
    elif distillation is not None:
        cache = None if checkpoint_dir is None else Path(checkpoint_dir)
        taught = distillation.targets_for(train, cache)
    checkpoint = None
    if checkpoint_dir is not None:
        identity = {
            "network": asdict(without_releases(config).networks[0]),
            "labels": config.labels,
            "pretrained": pretrained,
            "recipe": asdict(recipe),
            "seed": seed,
            "data": [data_digest(taught), data_digest(validation)],
        }
        if start_from is not None:
            identity["started_from"] = weights_digest(start_from.weights)
        if distillation is not None and ask is not None:
            identity["teacher"] = distillation.identity()
        checkpoint = Checkpoint(Path(checkpoint_dir), identity)
    network = build_network(
        catalog,
        config.networks[0],
        num_classes=len(config.labels),
        pretrained=pretrained,
        precision=recipe.precision,
        seed=seed,
    )
    for extractor in network.extractors.values():
        extractor.set_state(extractor.get_state())  # what can't be saved and loaded is told now
    if recipe.phases[0].backbone == "frozen" and not pretrained and start_from is None:
        logger.warning(
            "The recipe %s begins with the head alone, but the backbone's weights are random, so "
            "there is little to learn: start from pretrained weights (pretrained=True, "
            "--pretrained), or take the recipe scratch",
            recipe.name,
        )
    if start_from is not None:
        give_weights(network, start_from, config.labels)
    elif config.networks[0].centred:
        set_mean_face(network.model, train.images)
    logger.info(
        "Training on %d faces, validating on %d: recipe %s, %d epochs",
        len(train), len(validation), recipe.name, recipe.epochs,
    )  # fmt: skip

    def features(faces: NDArray[np.uint8], title: str) -> list[NDArray[np.float32]]:
        cache = None if feature_cache is None else Path(feature_cache)
        return extract_all(network, config.networks[0], faces, cache, title)

    examples = _training_examples(taught, features if network.extractors else None)
    if start_from is None:
        for name, vectors in zip(network.extractors, examples.features, strict=True):
            set_standardisation(network.model, name, vectors)
    history = run_recipe(
        network,
        recipe,
        replace(examples, ask=ask),
        Examples(validation.images, validation.targets, features(validation.images, "Validation")),
        seed=seed,
        checkpoint=checkpoint,
    )
    record = make_record(recipe, seed, train, validation, history, distillation, start_from)
    return network.get_weights(), record


def _training_examples(train: FaceDataset, features: Features | None) -> Examples:
    """Return the faces with the features of each as it is and mirrored."""
    if features is None:
        return Examples(train.images, train.targets)
    mirrored = np.ascontiguousarray(train.images[:, :, ::-1])
    return Examples(
        faces=train.images,
        targets=train.targets,
        features=features(train.images, "Training"),
        mirrored_features=features(mirrored, "Mirrored"),
    )
