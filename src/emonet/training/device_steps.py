"""Training steps on JAX with the data on the device: batches are part of the compiled step.

Keras' ``fit`` takes every batch from the host, and on JAX its ``steps_per_execution`` calls single
steps in a Python loop. A GPU would wait for both, so these steps use Keras' stateless functions.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import keras
import numpy as np
from jax import numpy as jnp
from numpy.typing import NDArray

from emonet.data.jax_augmentation import augment_appearance, augment_geometry
from emonet.support.progress import progress_bar
from emonet.training.batches import Examples, epoch_rows
from emonet.training.recipes import Recipe
from emonet.training.sharpness import uphill

#: Larger data stay on the host, because the network needs the device's memory too.
MAX_BYTES = 4 * 2**30
STEPS_PER_CALL = 64

State = tuple[list[jax.Array], list[jax.Array], list[jax.Array]]
Arrays = dict[str, Any]


def can_run_on_device(train: Examples) -> bool:
    """Return whether the data fit on the device, and no teacher must see each batch."""
    size = train.faces.nbytes
    size += sum(vectors.nbytes for vectors in (*train.features, *train.mirrored_features))
    return train.teacher_targets is None and size <= MAX_BYTES


def steps_per_call() -> int:
    """Return the number of steps of one call, on JAX's default device."""
    # On the CPU, XLA computes convolutions in a loop with much slower code.
    return 1 if jax.default_backend() == "cpu" else STEPS_PER_CALL


class DeviceSteps:
    """Train a compiled model; the device makes the batches."""

    def __init__(
        self,
        model: keras.Model,
        recipe: Recipe,
        train: Examples,
        *,
        per_call: int | None = None,
    ) -> None:
        self._model = model
        self._recipe = recipe
        self._per_call = per_call or steps_per_call()
        self._train = _on_device(
            {
                "faces": train.faces,
                "targets": train.targets,
                "features": list(train.features),
                "mirrored_features": list(train.mirrored_features),
                "weights": train.weights,
            }
        )
        self._loss = keras.losses.CategoricalCrossentropy()
        self._run_steps = jax.jit(self._many_steps, donate_argnums=0)
        self._forward = jax.jit(self._updated_statistics)

    def run_epoch(
        self,
        *,
        seed: int,
        epoch: int,
        unmixed: bool,
        title: str,
        callback: keras.callbacks.Callback,
    ) -> tuple[float, float]:
        """Train on every batch; return the mean loss and accuracy, as HostSteps does.

        The callback gets one event for each call of several steps, as with Keras'
        ``steps_per_execution``.
        """
        faces = self._train["faces"]
        rows = epoch_rows(len(faces), self._recipe.batch_size, seed=seed, epoch=epoch)
        order, key = _on_device(rows), jax.random.fold_in(jax.random.key(seed), epoch)
        sums, count, figures = jnp.zeros(2), len(rows), np.zeros(2)
        with progress_bar(title, count) as advance:
            for start in range(0, count, self._per_call):
                stop = min(start + self._per_call, count)
                callback.on_train_batch_begin(start)
                state, sums = self._run_steps(
                    self._state(), sums, self._train, order, key, not unmixed, start, stop
                )
                self._assign(state)
                figures = np.asarray(sums) / stop
                callback.on_train_batch_end(
                    stop - 1, {"loss": float(figures[0]), "accuracy": float(figures[1])}
                )
                for _ in range(start, stop):
                    advance()
                if self._model.stop_training:
                    break
        return float(figures[0]), float(figures[1])

    def update_statistics(self, inputs: Sequence[NDArray[np.float32]]) -> None:
        """Run a batch forward, so that batch normalisation updates its statistics.

        The momenta of the first call hold for all calls, because it compiles.
        """
        trainable, other, _ = self._state()
        _assign(self._model.non_trainable_variables, self._forward(trainable, other, list(inputs)))

    def _state(self) -> State:
        model = self._model
        parts = (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
        )
        trainable, other, optimizer = ([part.value for part in variables] for variables in parts)
        return trainable, other, optimizer

    def _assign(self, state: State) -> None:
        trainable, other, optimizer = state
        _assign(self._model.trainable_variables, trainable)
        _assign(self._model.non_trainable_variables, other)
        _assign(self._model.optimizer.variables, optimizer)

    def _many_steps(
        self,
        state: State,
        sums: jax.Array,
        train: Arrays,
        order: jax.Array,
        key: jax.Array,
        mixed: jax.Array,
        start: jax.Array,
        stop: jax.Array,
    ) -> tuple[State, jax.Array]:
        """Run the steps from ``start`` to ``stop``; add their losses and accuracies to ``sums``."""

        def step(index: jax.Array, carried: tuple[State, jax.Array]) -> tuple[State, jax.Array]:
            state, sums = carried
            inputs, targets, weights = self._batch(
                train, order[index], jax.random.fold_in(key, index), mixed
            )
            state, figures = self._step(state, inputs, targets, weights)
            return state, sums + figures

        if self._per_call == 1:
            return step(start, (state, sums))
        carried: tuple[State, jax.Array] = jax.lax.fori_loop(start, stop, step, (state, sums))
        return carried

    def _batch(
        self, train: Arrays, rows: jax.Array, key: jax.Array, mixed: jax.Array
    ) -> tuple[list[jax.Array], jax.Array, jax.Array | None]:
        """Return inputs, targets and weights of one batch, as TrainingBatches makes them."""
        recipe = self._recipe
        geometry, mixing, partners, appearance = jax.random.split(key, 4)
        faces, mirrored = augment_geometry(
            _shared_out(train["faces"][rows]), recipe.augmentation, geometry
        )
        features = [
            jnp.where(mirrored[:, np.newaxis], flipped[rows], plain[rows])
            for plain, flipped in zip(train["features"], train["mirrored_features"], strict=True)
        ]
        parts = [faces, *features, train["targets"][rows]]
        if train["weights"] is not None:
            parts.append(train["weights"][rows])
        if recipe.mixup:
            weight = jnp.where(mixed, jax.random.beta(mixing, recipe.mixup, recipe.mixup), 1.0)
            partner = jax.random.permutation(partners, len(rows))
            parts = [weight * part + (1 - weight) * part[partner] for part in parts]
        parts[0] = augment_appearance(parts[0], recipe.augmentation, appearance, erase=mixed)
        parts = [_shared_out(part) for part in parts]
        inputs, (targets, *weights) = parts[: 1 + len(features)], parts[1 + len(features) :]
        return inputs, targets, weights[0] if weights else None

    def _step(
        self,
        state: State,
        inputs: list[jax.Array],
        targets: jax.Array,
        weights: jax.Array | None,
    ) -> tuple[State, jax.Array]:
        """Update the weights on one batch; return also its loss and accuracy."""
        trainable, other, optimizer = state

        def loss_of(trainable: list[jax.Array]) -> tuple[jax.Array, tuple[Any, Any]]:
            outputs, updated, losses = self._model.stateless_call(
                trainable, other, inputs, training=True, return_losses=True
            )
            loss = sum(losses, self._loss(targets, outputs, sample_weight=weights))
            return loss, (outputs, updated)

        differentiate = jax.value_and_grad(loss_of, has_aux=True)
        (loss, (outputs, updated)), gradients = differentiate(trainable)
        if self._recipe.sam_rho:
            steps = uphill(gradients, self._recipe.sam_rho)
            # The same dropout; and batch normalisation counts only the first pass.
            _, gradients = differentiate([w + s for w, s in zip(trainable, steps, strict=True)])
        trainable, optimizer = self._model.optimizer.stateless_apply(
            optimizer, gradients, trainable
        )
        correct = outputs.argmax(axis=1) == targets.argmax(axis=1)
        return (trainable, updated, optimizer), jnp.stack([loss, correct.mean()])

    def _updated_statistics(
        self, trainable: list[jax.Array], other: list[jax.Array], inputs: list[jax.Array]
    ) -> list[jax.Array]:
        updated: list[jax.Array] = self._model.stateless_call(
            trainable, other, inputs, training=True
        )[1]
        return updated


def _assign(variables: Sequence[keras.Variable], values: Sequence[jax.Array]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _on_device(arrays: Any) -> Any:
    """Put arrays on the device, or a copy on each device of a distribution."""
    return jax.tree.map(lambda array: _laid_out(jnp.asarray(array), lambda n: [None] * n), arrays)


def _shared_out(array: jax.Array) -> jax.Array:
    """Share out the rows of a batch over the devices of a distribution."""
    return _laid_out(array, lambda n: ["batch", *[None] * (n - 1)])


def _laid_out(array: jax.Array, axes: Callable[[int], list[str | None]]) -> jax.Array:
    distribution = keras.distribution.distribution()
    if distribution is None:
        return array
    layout = keras.distribution.TensorLayout(axes(array.ndim), distribution.device_mesh)
    laid_out: jax.Array = keras.distribution.distribute_tensor(array, layout)
    return laid_out
