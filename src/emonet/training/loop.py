"""Run a recipe on a network, epoch by epoch, and continue a run that was interrupted."""

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from emonet.errors import TrainingError
from emonet.network.network import KerasNetwork
from emonet.network.weights import get_weights, set_weights
from emonet.records import EpochRecord, ValidationFigures
from emonet.runtimes.batching import run_in_batches
from emonet.runtimes.keras_runtime import KerasRuntime
from emonet.training.batches import Examples, even_size
from emonet.training.checkpoint import Checkpoint
from emonet.training.host_steps import HostSteps
from emonet.training.normalisation import batch_normalisations
from emonet.training.recipes import Phase, Recipe
from emonet.training.schedule import best_index, learning_rate, should_stop

if TYPE_CHECKING:
    from emonet.training.device_steps import DeviceSteps

    Steps = HostSteps | DeviceSteps

logger = logging.getLogger("emonet")

STATISTICS_BATCHES = 20
#: Warn if the initial weights have a larger share than this in their average at the end.
MAX_INITIAL_SHARE = 0.1


def run_recipe(
    network: KerasNetwork,
    recipe: Recipe,
    train: Examples,
    validation: Examples,
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
    keep_start: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> tuple[list[EpochRecord], ValidationFigures | None]:
    """Train a network in place and leave the best weights in it.

    The checkpoint saves every epoch; a run that it holds is continued. ``keep_start`` validates
    the current weights first, and keeps them if no epoch is better. Return every finished epoch,
    and the figures of the weights before training if they were measured. If the loss is not
    finite, the TrainingError leaves the checkpoint at the last good epoch.
    """
    model = network.model
    _warn_of_long_average(recipe, len(train.faces))
    history, start = checkpoint.load() if checkpoint else ([], None)
    # All candidates for the best weights, in order.
    figures: list[ValidationFigures] = [start, *history] if start else [*history]
    best, last = None, None
    if checkpoint and history:
        kept = figures[best_index(figures, recipe.monitor)]
        # The weights from before training have no file: the network holds them now.
        best = checkpoint.load_best(kept.epoch) if isinstance(kept, EpochRecord) else None
        last = checkpoint.load_last(history[-1].epoch)
        logger.info("Continuing after epoch %d", history[-1].epoch)
    if keep_start:
        initial = get_weights(model)
        best = initial if best is None else best
        if start is None:
            start = ValidationFigures(**_validate(network, validation))
            figures.insert(0, start)
        logger.info(
            "Before training: val_loss %.4f  val_accuracy %.4f", start.val_loss, start.val_accuracy
        )
    relay = _Callbacks(callbacks, model, recipe)
    relay.begin()
    for index, phase in enumerate(recipe.phases):
        done = [record for record in history if record.phase == index]
        later = any(record.phase > index for record in history)
        if later or model.stop_training or should_stop(phase, done, recipe.monitor):
            continue
        compile_phase(network, phase, recipe, count=len(train.faces))
        steps = make_steps(model, recipe, train)
        if last is not None:
            _restore(model, last, with_optimizer=bool(done))
            last = None
        while not (model.stop_training or should_stop(phase, done, recipe.monitor)):
            record, validated = _run_epoch(
                network, recipe, index, steps, train, validation, seed, history, relay
            )
            history.append(record)
            done.append(record)
            figures.append(record)
            improved = best_index(figures, recipe.monitor) == len(figures) - 1
            if improved:
                best = validated
            if checkpoint:
                checkpoint.save(history, _state(model), best if improved else None, start=start)
            logger.info("%s%s", _describe(record, recipe), "  best" if improved else "")
            relay.end_epoch(record)
    relay.end()
    if best is not None:
        set_weights(model, best, where="the best epoch")
    if start is not None and best_index(figures, recipe.monitor) == 0:
        logger.warning(
            "No epoch is better than the weights that training started from: keeping them"
        )
    return history, start


class _Callbacks:
    """Pass the events of the whole run to Keras callbacks; Keras itself sees runs of one epoch."""

    def __init__(
        self, callbacks: Sequence[keras.callbacks.Callback], model: keras.Model, recipe: Recipe
    ) -> None:
        model.stop_training = False
        self._model = model
        self._list = keras.callbacks.CallbackList(
            list(callbacks), model=model, epochs=recipe.epochs, verbose=0
        )
        self.batches = keras.callbacks.LambdaCallback(
            on_train_batch_begin=self._list.on_train_batch_begin,
            on_train_batch_end=self._list.on_train_batch_end,
        )

    def begin(self) -> None:
        self._list.on_train_begin()

    def begin_epoch(self, epoch: int) -> None:
        self._list.on_epoch_begin(epoch)

    def end_epoch(self, record: EpochRecord) -> None:
        """Tell callbacks the figures of an epoch, validated with averaged weights."""
        logs = {name: value for name, value in asdict(record).items() if isinstance(value, float)}
        self._list.on_epoch_end(record.epoch - 1, logs)

    def end(self) -> None:
        self._list.on_train_end()
        self._model.stop_training = False


def make_steps(model: keras.Model, recipe: Recipe, train: Examples) -> "Steps":
    """Return what runs the steps of a phase: on JAX, the device makes the batches if it can."""
    if keras.backend.backend() == "jax":
        from emonet.training.device_steps import DeviceSteps, can_run_on_device

        if can_run_on_device(train):
            return DeviceSteps(model, recipe, train)
        logger.info("Batches are made on the host: a teacher sees them, or the data are too large")
    return HostSteps(model, recipe, train)


def _warn_of_long_average(recipe: Recipe, count: int) -> None:
    """Warn if the averaged weights would hardly leave the initial ones."""
    steps = recipe.epochs * max(1, count // even_size(recipe.batch_size, count))
    if recipe.ema_decay and recipe.ema_decay**steps > MAX_INITIAL_SHARE:
        logger.warning(
            "Weight averaging spans %.0f steps, but this run has %d, so the weights would stay "
            "near the initial ones. Train for more epochs, or set --recipe-option ema_decay=%.2g",
            1 / (1 - recipe.ema_decay), steps, max(0.0, 1 - 10 / steps),
        )  # fmt: skip


def compile_phase(network: KerasNetwork, phase: Phase, recipe: Recipe, *, count: int) -> None:
    """Set the trainable layers and a new optimiser for a phase on ``count`` faces."""
    for layer in network.backbone._flatten_layers():  # Keras has no public method
        normalises = isinstance(layer, keras.layers.BatchNormalization)
        frozen = normalises and phase.backbone == "trained_except_batch_norm"
        layer.trainable = phase.backbone != "frozen" and not frozen
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
        # Without decay, None saves its operations; but AdamW takes numbers only.
        "weight_decay": phase.weight_decay or (0.0 if phase.optimizer == "adamw" else None),
        "use_ema": bool(recipe.ema_decay),
        "ema_momentum": recipe.ema_decay or 0.99,
        "ema_overwrite_frequency": None,
    }
    optimizers = {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}
    if phase.optimizer in optimizers:
        optimizer = optimizers[phase.optimizer](rate, **common)
    else:
        optimizer = keras.optimizers.SGD(rate, momentum=phase.momentum, nesterov=True, **common)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    network.model.compile(optimizer, loss="categorical_crossentropy", metrics=["accuracy"])
    optimizer.build(network.model.trainable_variables)


def _run_epoch(
    network: KerasNetwork,
    recipe: Recipe,
    index: int,
    steps: "Steps",
    train: Examples,
    validation: Examples,
    seed: int,
    history: list[EpochRecord],
    relay: _Callbacks,
) -> tuple[EpochRecord, dict[str, NDArray[Any]]]:
    """Train for one epoch; return its record and the validated weights."""
    start, epoch, model = time.perf_counter(), len(history), network.model
    phase = recipe.phases[index]
    if phase.schedule != "cosine":
        done = [record for record in history if record.phase == index]
        model.optimizer.learning_rate = learning_rate(phase, done)
    relay.begin_epoch(epoch)  # counted from 0, as Keras does
    loss, accuracy = steps.run_epoch(
        seed=seed,
        epoch=epoch,
        unmixed=epoch >= recipe.epochs - recipe.no_mixup_epochs,
        title=f"Epoch {epoch + 1}/{recipe.epochs}",
        callback=relay.batches,
    )
    with _averaged(model, recipe, train, steps):
        validation_figures = _validate(network, validation)
        validated = get_weights(model)
    rate = float(keras.ops.convert_to_tensor(model.optimizer.learning_rate))
    val_loss = validation_figures["val_loss"]
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
        **validation_figures,
        seconds=time.perf_counter() - start,
    )
    return record, validated


def _validate(network: KerasNetwork, examples: Examples) -> dict[str, float]:
    """Return cross-entropy and accuracy, by the names of ValidationFigures."""
    probabilities = run_in_batches(
        KerasRuntime(network.model), examples.faces, examples.features
    ).astype(np.float64)
    logs = np.log(np.maximum(probabilities, 1e-7))
    correct = probabilities.argmax(axis=1) == examples.targets.argmax(axis=1)
    loss = float(-(examples.targets * logs).sum(axis=1).mean())
    return {"val_loss": loss, "val_accuracy": float(correct.mean())}


@contextmanager
def _averaged(
    model: keras.Model, recipe: Recipe, train: Examples, steps: "Steps"
) -> Iterator[None]:
    """Use the moving average of the weights inside the ``with`` block."""
    if not recipe.ema_decay:
        yield
        return
    raw = [_copied(variable) for variable in model.variables]
    model.optimizer.finalize_variable_values(model.trainable_variables)
    for variable in model.trainable_variables:
        # In JAX, a weight and its average would share memory, and be freed together.
        variable.assign(_copied(variable))
    try:
        _measure_statistics(model, train, recipe.batch_size, steps)
        yield
    finally:
        for variable, value in zip(model.variables, raw, strict=True):
            variable.assign(value)


def _copied(variable: keras.Variable) -> NDArray[Any]:
    return np.asarray(variable).copy()


def _measure_statistics(
    model: keras.Model, examples: Examples, batch_size: int, steps: "Steps"
) -> None:
    """Measure the batch normalisation statistics of the current weights.

    The statistics of training do not fit averaged weights (Izmailov et al. 2018, §3.2).
    """
    normalisations = batch_normalisations(model)
    momenta = [layer.momentum for layer in normalisations]
    statistics = [
        variable
        for layer in normalisations
        for variable in (layer.moving_mean, layer.moving_variance)
    ]
    count = len(examples.faces)
    size = even_size(batch_size, count)
    batches = min(STATISTICS_BATCHES, count // size)
    rows = np.linspace(0, count - 1, batches * size).astype(int)
    means = [np.zeros(variable.shape) for variable in statistics]
    try:
        for layer in normalisations:
            layer.momentum = 0.0  # the statistics of one batch
        for index in range(batches):
            part = rows[index::batches]  # from everywhere: the faces may be sorted by class
            inputs = [examples.faces[part], *(feature[part] for feature in examples.features)]
            steps.update_statistics([array.astype(np.float32) for array in inputs])
            for mean, variable in zip(means, statistics, strict=True):
                mean += np.asarray(variable) / batches
    finally:
        for layer, momentum in zip(normalisations, momenta, strict=True):
            layer.momentum = momentum
    for variable, mean in zip(statistics, means, strict=True):
        variable.assign(mean)


def _state(model: keras.Model) -> dict[str, NDArray[Any]]:
    """Return the weights, the optimiser's variables and the random generators' states."""
    variables = model.optimizer.variables
    state = {f"optimizer/{i}": np.asarray(variable) for i, variable in enumerate(variables)}
    state |= {f"random/{i}": np.asarray(draw) for i, draw in enumerate(_random_states(model))}
    return state | {f"model/{name}": array for name, array in get_weights(model).items()}


def _restore(
    model: keras.Model, state: Mapping[str, NDArray[Any]], *, with_optimizer: bool
) -> None:
    """Restore a saved state; a new phase starts without the state of its optimiser."""
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
    """Return the states of the layers' random generators, which are not weights."""
    return [variable for variable in model.variables if "seed_generator" in variable.path]


def _describe(record: EpochRecord, recipe: Recipe) -> str:
    return (
        f"epoch {record.epoch}/{recipe.epochs}  loss {record.loss:.4f}  "
        f"accuracy {record.accuracy:.4f}  val_loss {record.val_loss:.4f}  "
        f"val_accuracy {record.val_accuracy:.4f}  {record.seconds:.0f} s"
    )
