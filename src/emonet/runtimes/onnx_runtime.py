"""The onnxruntime runtime runs a network's ONNX graph without Keras or TensorFlow."""

import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.errors import ConfigError, WeightsError
from emonet.plugin import usable_cores
from emonet.runtimes.base import Device, NetworkSource, RuntimeSpec, max_memory, require_device

PROVIDERS = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}


class OnnxRuntime:
    """Runs a network's graph.

    ``weights`` holds the graph's external weights by name. The device ``"auto"`` is the fastest
    device that works.
    """

    def __init__(
        self, graph: bytes, weights: Mapping[str, NDArray[Any]], device: Device = "cpu"
    ) -> None:
        onnxruntime = import_onnxruntime()
        found = _devices()
        require_device("onnxruntime", device, found)
        wanted = found if device == "auto" else (device, "cpu")
        _bound_memory()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # log fatal errors only; other errors are raised
        if (cores := usable_cores()) != os.cpu_count():
            options.intra_op_num_threads = cores
        options.add_session_config_entry("session.use_env_allocators", "1")
        # Otherwise idle threads of this session spin, and other sessions get fewer cores.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        arrays = [np.asarray(array, np.float32, order="C") for array in weights.values()]
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(array[np.newaxis]) for array in arrays]
        options.add_external_initializers(list(weights), values)
        try:
            self._session = onnxruntime.InferenceSession(
                graph, options, providers=[PROVIDERS[name] for name in dict.fromkeys(wanted)]
            )
        except Exception as error:  # onnxruntime's own errors share no base class
            raise WeightsError(f"onnxruntime can't load the graph: {error!s:.300}") from error
        if device == "cuda" and PROVIDERS[device] not in self._session.get_providers():
            raise ConfigError(
                "device='cuda': onnxruntime can't use the GPU. Check the CUDA and cuDNN versions "
                "that your onnxruntime-gpu needs, or use device='cpu'"
            )
        self._inputs = [value.name for value in self._session.get_inputs()]

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the inputs and of the output, without the first dimension."""
        values = [*self._session.get_inputs(), *self._session.get_outputs()]
        return [tuple(value.shape[1:]) for value in values]

    def __call__(
        self, faces: NDArray[np.float32], features: Sequence[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Map (n, height, width) grey 0..255 and (n, size) vectors to (n, classes)."""
        inputs = dict(zip(self._inputs, (faces, *features), strict=True))
        try:
            return np.asarray(self._session.run(None, inputs)[0])
        except Exception as error:  # onnxruntime's own errors share no base class
            raise WeightsError(f"onnxruntime can't run the graph: {error!s:.300}") from error


def _load(source: NetworkSource, device: Device) -> OnnxRuntime:
    if source.graph is None:
        raise WeightsError(
            "The model has no graph for onnxruntime. Load it with runtime='keras' and save it "
            "again: emonet then writes a graph"
        )
    runtime = OnnxRuntime(source.graph, source.weights, device)
    if tuple(runtime.shapes) != source.shapes:
        raise WeightsError(
            f"The graph belongs to another network: its inputs and output are {runtime.shapes}, "
            f"config.json says {list(source.shapes)}"
        )
    return runtime


def import_onnxruntime() -> Any:
    """Import onnxruntime; switch off its telemetry unless ORT_DISABLE_TELEMETRY is set.

    Since release 1.29, onnxruntime by default contacts Microsoft on Linux, and writes a device ID
    below ``~/.cache``.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def simplified(model: bytes) -> bytes:
    """Return an ONNX file after onnxruntime's basic optimisations, which every runtime can load.

    They compute constants once, fold batch normalisation into convolutions and drop superfluous
    transpositions.
    """
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        options.optimized_model_filepath = str(file)
        onnxruntime.InferenceSession(model, options, providers=[PROVIDERS["cpu"]])
        return file.read_bytes()


def _devices() -> tuple[str, ...]:
    available = import_onnxruntime().get_available_providers()
    return tuple(device for device, provider in PROVIDERS.items() if provider in available)


@cache
def _bound_memory() -> None:
    """Limit the memory of emonet's sessions in this process.

    The limit applies to sessions with the entry ``session.use_env_allocators``.
    """
    onnxruntime = import_onnxruntime()
    place = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    arena = onnxruntime.OrtArenaCfg({"max_mem": max_memory(), "arena_extend_strategy": 1})
    onnxruntime.create_and_register_allocator(place, arena)


ONNXRUNTIME = RuntimeSpec(suffix=".onnx", load=_load, devices=_devices)
