"""What carries out a network on a batch: onnxruntime to predict, Keras to train."""

import os
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from emonet.errors import WeightsError

if TYPE_CHECKING:
    import keras

__all__ = ["ExportFormat", "KerasRuntime", "OnnxRuntime", "Runtime", "RuntimeName", "most_memory"]

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

        _bound_memory()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what fails is raised
        options.add_session_config_entry("session.use_env_allocators", "1")
        # Threads that wait for this network's next faces would keep the cores from other networks.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        values = [
            onnxruntime.OrtValue.ortvalue_from_numpy(
                np.asarray(array, np.float32, order="C")[np.newaxis]
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

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of the inputs and of the output, but for the first dimension."""
        values = [*self._session.get_inputs(), *self._session.get_outputs()]
        return [tuple(value.shape[1:]) for value in values]

    def __call__(
        self, faces: NDArray[np.float32], features: Sequence[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Map (n, height, width) grey 0..255 and (n, size) vectors to (n, classes)."""
        inputs = dict(zip(self._inputs, (faces, *features), strict=True))
        try:
            return np.asarray(self._session.run(None, inputs)[0])
        except Exception as error:  # as above
            raise WeightsError(f"onnxruntime can't run the graph: {error!s:.300}") from error


def most_memory() -> int:
    """Return how many bytes a graph may have, whoever wrote it: half of the machine's memory."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):  # Windows
        return 4 * 2**30


@cache
def _bound_memory() -> None:
    """Let graphs have no more memory than they may.

    It holds for those sessions of the process that ask for it, which are emonet's.
    """
    import onnxruntime

    place = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    arena = onnxruntime.OrtArenaCfg({"max_mem": most_memory(), "arena_extend_strategy": 1})
    onnxruntime.create_and_register_allocator(place, arena)


def _filled(array: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Return the array with rows of zeros up to this many."""
    if len(array) == size:
        return array
    filled = np.zeros((size, *array.shape[1:]), np.float32)
    filled[: len(array)] = array
    return filled
