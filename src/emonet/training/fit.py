"""Train a model's network: from data sets to weights and their record."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emonet.assembly.components import without_releases
from emonet.assembly.networks import build_network
from emonet.data import FaceDataset
from emonet.errors import ConfigError, DataError, WeightsError
from emonet.model import Model
from emonet.network.fusion import set_mean_face, set_standardisation
from emonet.network.network import KerasNetwork
from emonet.runtimes.base import max_memory
from emonet.support.counting import counted
from emonet.training.batches import Examples, class_weighted, smoothed
from emonet.training.checkpoint import Checkpoint
from emonet.training.devices import require_equal_parts
from emonet.training.distillation import Distillation
from emonet.training.features import extract_all
from emonet.training.loop import run_recipe
from emonet.training.recipes import Recipe
from emonet.training.record import data_digest, make_record
from emonet.training.warm_start import copy_weights, weights_digest

if TYPE_CHECKING:
    import keras

logger = logging.getLogger("emonet")

HELD_OUT = 0.1


def fit(
    model: Model,
    recipe: Recipe,
    train: FaceDataset,
    validation: FaceDataset | None,
    *,
    pretrained: bool,
    seed: int,
    checkpoint_dir: Path | None = None,
    feature_cache: Path | None = None,
    distillation: Distillation | None = None,
    start_from: Model | None = None,
    callbacks: "Sequence[keras.callbacks.Callback]" = (),
) -> Model:
    """Return a model of one network with trained weights and their record.

    The model's own weights are not used. The weights of ``start_from`` are kept if no epoch is
    better. ``pretrained`` loads the backbone's own pretrained weights. Validation faces select
    the best epoch; without them, a tenth of ``train`` is held out.
    """
    config = model.config
    if len(config.networks) != 1:
        raise ConfigError(
            f"fit trains one network, got an ensemble of {len(config.networks)}. Train its members "
            f"one by one, or start from a model of one network (of the bundled ones: fast, tiny)"
        )
    train.require_every_class()
    if validation is None:
        train, validation = train.hold_out(HELD_OUT, seed=seed)
    elif not len(validation):
        raise DataError("validation_data has no face. Pass some, or leave it out")
    require_equal_parts(recipe.batch_size, len(train))
    training = replace(train, votes=smoothed(train.targets, recipe.label_smoothing))
    teacher_targets = None
    if distillation is not None and distillation.teaching == "consistent":
        teacher_targets = distillation.teacher_targets(train.labels)
    elif distillation is not None:
        training = distillation.fixed_targets(training, checkpoint_dir)
    checkpoint = None
    if checkpoint_dir is not None:
        identity = {
            "network": asdict(without_releases(config).networks[0]),
            "labels": config.labels,
            "pretrained": pretrained,
            "recipe": asdict(recipe),
            "seed": seed,
            "data": [data_digest(training), data_digest(validation)],
        }
        if start_from is not None:
            identity["started_from"] = weights_digest(start_from.weights)
        if distillation is not None and teacher_targets is not None:
            identity["teacher"] = distillation.identity()
        checkpoint = Checkpoint(checkpoint_dir, identity)
    network = build_network(
        config.networks[0],
        num_classes=len(config.labels),
        pretrained=pretrained,
        precision=recipe.precision,
        seed=seed,
    )
    _require_savable(network)
    if recipe.phases[0].backbone == "frozen" and not pretrained and start_from is None:
        logger.warning(
            "The recipe %s first trains the head alone, but the backbone has random weights, so "
            "there is little to learn. Use pretrained weights (pretrained=True, --pretrained) or "
            "the recipe scratch",
            recipe.name,
        )
    if start_from is not None:
        copy_weights(start_from, network, config.labels)
    elif config.networks[0].subtract_mean_face:
        set_mean_face(network.model, train.images)
    logger.info(
        "Training on %s, validating on %d: recipe %s, %s",
        counted(len(train), "face"), len(validation), recipe.name, counted(recipe.epochs, "epoch"),
    )  # fmt: skip

    def features(faces: NDArray[np.uint8], title: str) -> list[NDArray[np.float32]]:
        return extract_all(network, config.networks[0], faces, feature_cache, title)

    examples = Examples(training.images, training.targets)
    if network.extractors:
        plain = features(training.images, "Training")
        mirrored = features(np.ascontiguousarray(training.images[:, :, ::-1]), "Mirrored")
        examples = replace(examples, features=plain, mirrored_features=mirrored)
    if recipe.class_weight_power:
        examples = class_weighted(examples, train.targets, recipe.class_weight_power)
    if start_from is None:
        for name, vectors in zip(network.extractors, examples.features, strict=True):
            set_standardisation(network.model, name, vectors)
    history, start = run_recipe(
        network,
        recipe,
        replace(examples, teacher_targets=teacher_targets),
        Examples(validation.images, validation.targets, features(validation.images, "Validation")),
        seed=seed,
        checkpoint=checkpoint,
        keep_start=start_from is not None,
        callbacks=callbacks,
    )
    record = make_record(
        recipe,
        seed,
        train,
        validation,
        history,
        teacher=None if distillation is None else distillation.describe(),
        start_from=start_from,
        start=start,
    )
    return Model(
        config=config.untrained(),
        weights={config.networks[0].name: network.get_weights()},
        record=record,
    )


def _require_savable(network: KerasNetwork) -> None:
    """Raise before training if the network could not be saved and loaded afterwards."""
    for extractor in network.extractors.values():
        extractor.set_state(extractor.get_state())
    size = sum(4 * int(np.prod(variable.shape)) for variable in network.model.weights)
    if size > max_memory():
        raise WeightsError(
            f"The network has {size / 2**20:.0f} MiB of weights, and emonet loads models of up to "
            f"half of the memory, {max_memory() / 2**20:.0f} MiB here. Use a smaller backbone"
        )
