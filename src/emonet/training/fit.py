"""Runs a recipe on a network, epoch by epoch, and goes on where it was interrupted."""

import logging
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from emonet.errors import TrainingError
from emonet.network.batching import run_in_batches
from emonet.network.network import KerasNetwork
from emonet.network.runtimes import KerasRuntime
from emonet.network.weights import get_weights, set_weights
from emonet.training.batches import Examples, TrainingBatches, class_weighted, even_size
from emonet.training.checkpoint import Checkpoint
from emonet.training.normalisation import batch_normalisations, fused_normalisation
from emonet.training.progress import progress_bar
from emonet.training.recipes import Phase, Recipe
from emonet.training.schedule import EpochRecord, best_epoch, learning_rate, should_stop

__all__ = ["compile_phase", "run_recipe"]

logger = logging.getLogger("emonet")

STATISTICS_BATCHES = 20
#: The share of the initial weights in their average at the end that is worth a warning.
MOST_OF_START = 0.1


def run_recipe(
    network: KerasNetwork,
    recipe: Recipe,
    train: Examples,
    validation: Examples,
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
) -> list[EpochRecord]:
    """Train a network in place and leave the best epoch's weights in it.

    Args:
        network: what to train.
        recipe: how.
        train: what it learns from.
        validation: what chooses the epoch, stops early and lowers the rate.
        seed: of shuffling, augmentation and mixing; every epoch's follows from it.
        checkpoint: where every epoch is saved; a run that it holds already is continued.

    Returns:
        Every finished epoch.

    Raises:
        TrainingError: the loss is no longer a number; the checkpoint stays at the last epoch
            at which it was.
    """
    model = network.model
    _warn_of_long_average(recipe, len(train.faces))
    if recipe.class_weight_power:
        train = class_weighted(train, recipe.class_weight_power)
    history = checkpoint.load() if checkpoint else []
    best, last = None, None
    if checkpoint and history:
        best = checkpoint.load_best(history[best_epoch(history, recipe.monitor)].epoch)
        last = checkpoint.load_last(history[-1].epoch)
        logger.info("Going on after epoch %d", history[-1].epoch)
    for index, phase in enumerate(recipe.phases):
        done = [record for record in history if record.phase == index]
        later = any(record.phase > index for record in history)
        if later or should_stop(phase, done, recipe.monitor):
            continue
        compile_phase(network, phase, recipe, count=len(train.faces))
        if last is not None:
            _restore(model, last, with_optimizer=bool(done))
            last = None
        while not should_stop(phase, done, recipe.monitor):
            record, validated = _run_epoch(network, recipe, index, train, validation, seed, history)
            history.append(record)
            done.append(record)
            improved = best_epoch(history, recipe.monitor) == len(history) - 1
            if improved:
                best = validated
            if checkpoint:
                checkpoint.save(history, _state(model), best if improved else None)
            logger.info("%s%s", _describe(record, recipe), "  best" if improved else "")
    if best is not None:
        set_weights(model, best, where="the best epoch")
    return history


def _warn_of_long_average(recipe: Recipe, count: int) -> None:
    """Say so where the averaged weights would hardly leave those that training starts from."""
    steps = recipe.epochs * max(1, count // even_size(recipe.batch_size, count))
    if recipe.average and recipe.average**steps > MOST_OF_START:
        logger.warning(
            "Validated and kept are weights averaged over some %.0f steps, and the whole run has "
            "%d: they stay near those that it starts from. Take more epochs, or another average "
            "of the recipe: --recipe-option average=%.2g",
            1 / (1 - recipe.average), steps, max(0.0, 1 - 10 / steps),
        )  # fmt: skip


def compile_phase(network: KerasNetwork, phase: Phase, recipe: Recipe, *, count: int) -> None:
    """Set what is trained, and a fresh optimiser, for one phase on so many faces."""
    for layer in network.backbone._flatten_layers():  # Keras has no public way down
        normalises = isinstance(layer, keras.layers.BatchNormalization)
        still = normalises and phase.backbone == "trained_except_batch_norm"
        layer.trainable = phase.backbone != "frozen" and not still
    rate: Any = phase.learning_rate
    if phase.schedule == "cosine":
        steps = max(1, count // even_size(recipe.batch_size, count))
        warmup = round(phase.warmup_epochs * steps)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else phase.learning_rate,
            decay_steps=max(1, phase.epochs * steps - warmup),
            warmup_target=phase.learning_rate if warmup else None,
            warmup_steps=warmup,
        )
    common = {
        "weight_decay": phase.weight_decay or None,
        "use_ema": bool(recipe.average),
        "ema_momentum": recipe.average or 0.99,
        "ema_overwrite_frequency": None,
    }
    if phase.optimizer == "adam":
        optimizer = keras.optimizers.Adam(rate, **common)
    else:
        optimizer = keras.optimizers.SGD(rate, momentum=phase.momentum, nesterov=True, **common)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    network.model.compile(optimizer, loss="categorical_crossentropy", metrics=["accuracy"])
    optimizer.build(network.model.trainable_variables)


def _run_epoch(
    network: KerasNetwork,
    recipe: Recipe,
    index: int,
    train: Examples,
    validation: Examples,
    seed: int,
    history: list[EpochRecord],
) -> tuple[EpochRecord, dict[str, NDArray[Any]]]:
    """Train for one epoch; return its record, and the weights that were validated."""
    start, epoch, model = time.perf_counter(), len(history), network.model
    phase = recipe.phases[index]
    if phase.schedule != "cosine":
        done = [record for record in history if record.phase == index]
        model.optimizer.learning_rate = learning_rate(phase, done)
    calm = epoch >= recipe.epochs - recipe.calm_epochs
    augmentation = recipe.augmentation
    batches = TrainingBatches(
        train,
        batch_size=recipe.batch_size,
        augmentation=replace(augmentation, erase=0.0) if calm else augmentation,
        label_smoothing=recipe.label_smoothing,
        mixup=0.0 if calm else recipe.mixup,
        seed=seed,
        epoch=epoch,
    )
    loss, accuracy = _train_once(model, batches, f"Epoch {epoch + 1}/{recipe.epochs}")
    with _averaged(model, recipe, train):
        val_loss, val_accuracy = _validate(network, validation)
        validated = get_weights(model)
    rate = float(keras.ops.convert_to_tensor(model.optimizer.learning_rate))
    if not (math.isfinite(loss) and math.isfinite(val_loss)):
        raise TrainingError(
            f"Training diverged in epoch {epoch + 1}: loss {loss}, validation loss {val_loss}. "
            f"Lower the learning rate (now {rate:g})."
        )
    record = EpochRecord(
        epoch=epoch + 1,
        phase=index,
        learning_rate=rate,
        loss=loss,
        accuracy=accuracy,
        val_loss=val_loss,
        val_accuracy=val_accuracy,
        seconds=time.perf_counter() - start,
    )
    return record, validated


def _train_once(model: keras.Model, batches: TrainingBatches, title: str) -> tuple[float, float]:
    """Train on every batch; return the mean loss and accuracy."""
    raw: list[NDArray[Any]] = []
    with progress_bar(title, len(batches)) as advance, fused_normalisation(model):
        callback = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: advance(),
            on_epoch_end=lambda epoch, logs: raw.extend(map(np.array, model.get_weights())),
        )
        fitted = model.fit(batches, shuffle=False, verbose=0, callbacks=[callback])
    # At its end fit replaces the weights by their average; training goes on from themselves.
    model.set_weights(raw)
    return fitted.history["loss"][-1], fitted.history["accuracy"][-1]


def _validate(network: KerasNetwork, examples: Examples) -> tuple[float, float]:
    """Return cross-entropy and accuracy."""
    probabilities = run_in_batches(
        KerasRuntime(network.model), examples.faces, examples.features
    ).astype(np.float64)
    logs = np.log(np.maximum(probabilities, 1e-7))
    right = probabilities.argmax(axis=1) == examples.targets.argmax(axis=1)
    return float(-(examples.targets * logs).sum(axis=1).mean()), float(right.mean())


@contextmanager
def _averaged(model: keras.Model, recipe: Recipe, train: Examples) -> Iterator[None]:
    """Exchange the weights for their moving average for a while."""
    if not recipe.average:
        yield
        return
    raw = [_copied(variable) for variable in model.variables]
    model.optimizer.finalize_variable_values(model.trainable_variables)
    for variable in model.trainable_variables:
        # JAX would let a weight and its average share memory, and free both with one of them.
        variable.assign(_copied(variable))
    try:
        _measure_statistics(model, train, recipe.batch_size)
        yield
    finally:
        for variable, value in zip(model.variables, raw, strict=True):
            variable.assign(value)


def _copied(variable: keras.Variable) -> NDArray[Any]:
    return np.asarray(variable).copy()


def _measure_statistics(model: keras.Model, examples: Examples, batch_size: int) -> None:
    """Give batch normalisation the statistics that go with the present weights.

    Those from training go with other weights than their average (Izmailov et al. 2018, §3.2).
    """
    normalisations = batch_normalisations(model)
    momenta = [layer.momentum for layer in normalisations]
    count = len(examples.faces)
    size = even_size(batch_size, count)
    batches = min(STATISTICS_BATCHES, count // size)
    rows = np.linspace(0, count - 1, batches * size).astype(int)
    try:
        with fused_normalisation(model):
            for index in range(batches):
                part = rows[index::batches]  # from everywhere: the faces may be sorted by class
                for layer in normalisations:
                    layer.momentum = index / (index + 1)  # the plain mean over all batches
                inputs = [examples.faces[part], *(feature[part] for feature in examples.features)]
                model([array.astype(np.float32) for array in inputs], training=True)
    finally:
        for layer, momentum in zip(normalisations, momenta, strict=True):
            layer.momentum = momentum


def _state(model: keras.Model) -> dict[str, NDArray[Any]]:
    """Return the weights, the optimiser's variables and what dropout draws from."""
    variables = model.optimizer.variables
    state = {f"optimizer/{i}": np.asarray(variable) for i, variable in enumerate(variables)}
    state |= {f"random/{i}": np.asarray(draw) for i, draw in enumerate(_random_states(model))}
    return state | {f"model/{name}": array for name, array in get_weights(model).items()}


def _restore(
    model: keras.Model, state: Mapping[str, NDArray[Any]], *, with_optimizer: bool
) -> None:
    """Take back what _state returned; a new phase starts with an optimiser of its own."""
    weights = {
        name.removeprefix("model/"): array
        for name, array in state.items()
        if name.startswith("model/")
    }
    set_weights(model, weights, where="the checkpoint")
    for i, draw in enumerate(_random_states(model)):
        draw.assign(state[f"random/{i}"])
    if with_optimizer:
        for i, variable in enumerate(model.optimizer.variables):
            variable.assign(state[f"optimizer/{i}"])


def _random_states(model: keras.Model) -> list[keras.Variable]:
    """Return the states of the layers' random generators, which are no weights."""
    return [variable for variable in model.variables if "seed_generator" in variable.path]


def _describe(record: EpochRecord, recipe: Recipe) -> str:
    return (
        f"epoch {record.epoch}/{recipe.epochs}  loss {record.loss:.4f}  "
        f"accuracy {record.accuracy:.4f}  val_loss {record.val_loss:.4f}  "
        f"val_accuracy {record.val_accuracy:.4f}  {record.seconds:.0f} s"
    )
