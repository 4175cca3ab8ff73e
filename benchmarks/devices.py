"""The device of Keras' backend: compile functions, and read the memory of the first GPU."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

Kind = Literal["CPU", "GPU"]


def backend() -> str:
    """Return the name of Keras' backend."""
    import keras

    return keras.backend.backend()


def on_device(array: np.ndarray, dtype: str):
    """Return a tensor of Keras' backend on its default device."""
    import keras

    return keras.ops.convert_to_tensor(array, dtype)


def can_run_uncompiled() -> bool:
    """Return whether the backend runs without XLA; JAX always compiles with it."""
    return backend() != "jax"


def compiled(function: Callable[..., Any], *, xla: bool = False) -> Callable[..., Any]:
    """Return a function of tensors as one call of the backend."""
    if backend() == "jax":
        import jax

        return jax.jit(function)
    if backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=xla)
    return function


def forward(model, *, xla: bool) -> Callable[..., np.ndarray]:
    """Return the compiled inference of a Keras model, from tensors to an array.

    Fetching the array waits for the device.
    """
    if backend() != "jax":
        function = compiled(lambda *batch: model(list(batch), training=False), xla=xla)
        return lambda *batch: as_array(function(*batch))
    trained = [variable.value for variable in model.trainable_variables]
    others = [variable.value for variable in model.non_trainable_variables]
    # Variables are arguments: as constants, XLA would compute with them while it compiles.
    function = compiled(
        lambda trained, others, *batch: model.stateless_call(
            trained, others, list(batch), training=False
        )[0]
    )
    return lambda *batch: as_array(function(trained, others, *batch))


def as_array(tensor) -> np.ndarray:
    """Return a tensor as an array; this waits for the device."""
    import keras

    return keras.ops.convert_to_numpy(tensor)


def default_kind() -> Kind:
    """Return the kind of the device that Keras uses by default."""
    return "CPU" if _gpu() is None else "GPU"


def reset_gpu_peak() -> None:
    """Reset the peak of GPU memory; JAX has the peak of the whole process only."""
    if backend() == "tensorflow" and _gpu() is not None:
        import tensorflow as tf

        tf.config.experimental.reset_memory_stats("GPU:0")


def gpu_peak_mib() -> float | None:
    """Return the peak of GPU memory since the last reset, in MiB; None without a GPU."""
    device = _gpu()
    if device is None:
        return None
    if backend() == "tensorflow":
        import tensorflow as tf

        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20
    if backend() == "jax":
        return device.memory_stats()["peak_bytes_in_use"] / 2**20
    return None


def _gpu() -> Any:
    """Return the backend's first GPU, or None."""
    if backend() == "tensorflow":
        import tensorflow as tf

        devices = tf.config.list_physical_devices("GPU")
    elif backend() == "jax":
        import jax

        devices = [device for device in jax.devices() if device.platform == "gpu"]
    else:
        devices = []
    return devices[0] if devices else None
