"""The Keras runtime runs the Keras model itself, the reference implementation."""

import os
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emonet.errors import ConfigError, MissingDependencyError
from emonet.plugin import usable_cores
from emonet.runtimes.base import Device, RuntimeSpec, require_device
from emonet.support.dependencies import require

if TYPE_CHECKING:
    import keras

#: Keras compiles one function per batch size, so a batch is padded to the next of these, or to a
#: multiple of the last one.
BATCH_SIZES = (1, 8, 32, 128)


class KerasRuntime:
    """Runs a Keras model; the device ``"auto"`` leaves the choice to Keras."""

    def __init__(self, model: "keras.Model", device: Device = "auto") -> None:
        if device == "cuda":
            require_device("Keras", device, _devices())
        self.model = model
        self._device = {"cpu": "cpu:0", "cuda": "gpu:0"}.get(device)
        # The first call compiles the model. Two threads must not compile it at once.
        self._lock = threading.Lock()

    def __call__(
        self, faces: NDArray[np.float32], features: Sequence[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Pad the batch, and run the model."""
        count = len(faces)
        largest = BATCH_SIZES[-1]
        size = next((size for size in BATCH_SIZES if size >= count), -(-count // largest) * largest)
        batch = [_padded(array, size) for array in (faces, *features)]
        with self._lock:
            # predict would be slower and leak memory: it builds an input pipeline per call.
            if self._device is None:
                answers = self.model.predict_on_batch(batch)
            else:
                import keras

                with keras.device(self._device):
                    answers = self.model.predict_on_batch(batch)
        return np.asarray(answers, np.float32)[:count]


#: The process in which emonet started Keras.
_process: int | None = None


def start_keras() -> None:
    """Import Keras; limit TensorFlow's memory and threads if TensorFlow is not yet loaded.

    By default, TensorFlow takes all memory of every GPU and starts one thread per core. If
    TensorFlow is already loaded, its settings do not change.

    Raises:
        ConfigError: emonet used Keras before this process was forked. Keras' backends can't run
            in a forked child, because they would wait for ever for threads of the parent.
    """
    global _process
    if _process not in (None, os.getpid()):
        raise ConfigError(
            "Keras can't run in a process that was forked after Keras had started. Fork before "
            "the first prediction or training, start processes with the method 'spawn', or use "
            "runtime='onnxruntime'"
        )
    first = "tensorflow" not in sys.modules
    try:
        import keras
    except ImportError as error:
        require("keras", "Keras")
        raise MissingDependencyError(
            f"Keras can't be imported ({error}). Reinstall it: pip install 'emonet[train]'"
        ) from error
    except ValueError as error:
        raise ConfigError(f"Keras can't be imported: {error}. Check KERAS_BACKEND") from error

    if first and keras.backend.backend() == "tensorflow":
        import tensorflow as tf  # Keras can't set the memory and threads

        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
        cores = usable_cores()
        if cores != os.cpu_count() and "TF_NUM_INTRAOP_THREADS" not in os.environ:
            tf.config.threading.set_intra_op_parallelism_threads(cores)
    _process = os.getpid()


def _devices() -> tuple[str, ...]:
    start_keras()
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf  # keras.distribution lists TensorFlow's logical devices only

        return ("cuda", "cpu") if tf.config.list_physical_devices("GPU") else ("cpu",)
    kinds = {name.split(":")[0] for name in keras.distribution.list_devices()}
    return ("cuda", "cpu") if kinds & {"gpu", "cuda"} else ("cpu",)


def _padded(array: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Return the array, padded with rows of zeros to ``size`` rows."""
    if len(array) == size:
        return array
    padded = np.zeros((size, *array.shape[1:]), np.float32)
    padded[: len(array)] = array
    return padded


KERAS = RuntimeSpec(
    suffix=".safetensors",
    load=lambda source, device: KerasRuntime(source.build(), device),
    devices=_devices,
)
