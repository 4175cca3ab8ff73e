"""What carries out a network on a batch: onnxruntime to predict, Keras to train."""

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from emonet.errors import WeightsError

if TYPE_CHECKING:
    import keras

__all__ = ["ExportFormat", "KerasRuntime", "OnnxRuntime", "Runtime", "RuntimeName"]

RuntimeName = Literal["onnxruntime", "keras"]
#: Files for other programs; LiteRT was called TensorFlow Lite.
ExportFormat = Literal["onnx", "litert"]

#: Keras compiles one function per batch size: a batch is filled up to the next of these.
BATCH_SIZES = (1, 8, 32, 128)


class Runtime(Protocol):
    """Carries out one network; any number of threads may call it."""

    def __call__(
        self, faces: NDArray[np.float32], features: Sequence[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Map (n, height, width) grey 0..255 and (n, size) vectors to (n, classes)."""
        ...


class KerasRuntime:
    """Runs the Keras model itself, which is the reference."""

    def __init__(self, model: "keras.Model") -> None:
        self.model = model
        # Keras compiles at the first call, which two threads must not do at once.
        self._lock = threading.Lock()

    def __call__(
        self, faces: NDArray[np.float32], features: Sequence[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Map (n, height, width) grey 0..255 and (n, size) vectors to (n, classes)."""
        count = len(faces)
        size = next((size for size in BATCH_SIZES if size >= count), count)
        batch = [_filled(array, size) for array in (faces, *features)]
        with self._lock:
            # Unlike predict, this sets up no pipeline per call, so it neither crawls nor leaks.
            return np.asarray(self.model.predict_on_batch(batch), np.float32)[:count]


class OnnxRuntime:
    """Runs a network's graph with onnxruntime, without Keras or TensorFlow.

    Args:
        graph: what ``export_graph`` returned.
        weights: what goes into it, by name.

    Raises:
        WeightsError: the graph is not of onnxruntime's format, or needs other weights.
    """

    def __init__(self, graph: bytes, weights: Mapping[str, NDArray[Any]]) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        values = [
            onnxruntime.OrtValue.ortvalue_from_numpy(
                np.ascontiguousarray(array, np.float32)[np.newaxis]
            )
            for array in weights.values()
        ]
        options.add_external_initializers(list(weights), values)
        try:
            self._session = onnxruntime.InferenceSession(
                graph, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own errors have no base of their own
            raise WeightsError(f"onnxruntime can't load the graph: {error!s:.300}") from error
        self._inputs = [value.name for value in self._session.get_inputs()]

    def __call__(
        self, faces: NDArray[np.float32], features: Sequence[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Map (n, height, width) grey 0..255 and (n, size) vectors to (n, classes)."""
        inputs = dict(zip(self._inputs, (faces, *features), strict=True))
        return np.asarray(self._session.run(None, inputs)[0])


def _filled(array: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Return the array with rows of zeros up to this many."""
    if len(array) == size:
        return array
    filled = np.zeros((size, *array.shape[1:]), np.float32)
    filled[: len(array)] = array
    return filled
