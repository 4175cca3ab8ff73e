"""Sharpness-aware minimisation: training steps that look for flat minima.

Foret et al. 2021, "Sharpness-Aware Minimization for Efficiently Improving Generalization",
section 2: a step goes up the gradient by the radius rho, and the gradient there updates the
original weights. So a step takes twice as long.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import MethodType
from typing import Any

import keras

from emonet.errors import ConfigError

#: Keeps a gradient of zero from a division by zero.
EPSILON = 1e-12


def uphill(gradients: Sequence[Any], rho: float) -> list[Any]:
    """Return the step of length ``rho`` up the gradient, for tensors of any backend."""
    norm = keras.ops.sqrt(sum(keras.ops.sum(keras.ops.square(part)) for part in gradients))
    return [part * (rho / (norm + EPSILON)) for part in gradients]


@contextmanager
def sharpness_aware(model: keras.Model, rho: float) -> Iterator[None]:
    """Let ``model.fit`` take sharpness-aware steps inside the ``with`` block; 0 changes nothing.

    Raises:
        ConfigError: Keras has another backend than TensorFlow. On JAX, ``DeviceSteps`` takes such
            steps itself.
    """
    if not rho:
        yield
        return
    if keras.backend.backend() != "tensorflow":
        raise ConfigError(
            f"sam_rho needs batches made on the device with Keras' backend "
            f"{keras.backend.backend()!r}: train without consistent teaching and with data of at "
            f"most 4 GiB on JAX, or use KERAS_BACKEND=tensorflow, or set sam_rho=0"
        )

    def train_step(self: keras.Model, data: Any) -> dict[str, Any]:
        return _train_step(self, data, rho)

    model.train_step = MethodType(train_step, model)
    try:
        yield
    finally:
        del model.train_step


def _train_step(model: keras.Model, data: Any, rho: float) -> dict[str, Any]:
    """Take a step as ``keras.Model.train_step`` does, with the gradient from uphill.

    It is TensorFlow's code, because Keras has no function for gradients.
    """
    import tensorflow as tf

    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    trained, others = model.trainable_variables, model.non_trainable_variables

    def gradients() -> tuple[Any, Any, list[Any]]:
        with tf.GradientTape() as tape:
            outputs = model(x, training=True)
            loss = model.compute_loss(x, y, outputs, sample_weight)
        return outputs, loss, tape.gradient(loss, trained)

    weights, before = _values(trained), _values(others)
    outputs, loss, first = gradients()
    after = _values(others)
    # Both passes have the same dropout, and batch normalisation counts only the first.
    _assign(others, before)
    _assign(trained, [w + step for w, step in zip(weights, uphill(first, rho), strict=True)])
    *_, second = gradients()
    _assign(trained, weights)
    _assign(others, after)
    model.optimizer.apply_gradients(zip(second, trained, strict=True))
    tracker = next(metric for metric in model.metrics if metric.name == "loss")
    tracker.update_state(loss, sample_weight=tf.shape(outputs)[0])
    metrics: dict[str, Any] = model.compute_metrics(x, y, outputs, sample_weight)
    return metrics


def _values(variables: Sequence[keras.Variable]) -> list[Any]:
    import tensorflow as tf

    return [tf.identity(variable.value) for variable in variables]


def _assign(variables: Sequence[keras.Variable], values: Sequence[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
