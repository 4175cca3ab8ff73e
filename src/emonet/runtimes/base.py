"""The interface of runtimes."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from emonet.errors import ConfigError

if TYPE_CHECKING:
    import keras

RuntimeName = Literal["onnxruntime", "keras"]
#: ``auto`` is a GPU if the runtime finds one, else the CPU.
Device = Literal["auto", "cpu", "cuda"]


class Runtime(Protocol):
    """Runs one network; any number of threads may call it."""

    def __call__(
        self, faces: NDArray[np.float32], features: Sequence[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Map (n, height, width) grey 0..255 and (n, size) vectors to (n, classes)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSource:
    """One network in every form that a runtime may load.

    Attributes:
        weights: arrays by name, without feature extractors' states.
        graph: ONNX bytes; None if the network has no graph.
        build: builds the Keras model with its weights.
        shapes: shapes of the inputs and of the output, without the first dimension.
    """

    weights: Mapping[str, NDArray[Any]]
    graph: bytes | None
    build: "Callable[[], keras.Model]"
    shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeSpec:
    """One runtime.

    Attributes:
        suffix: suffix of the file that the runtime loads from a model folder.
        load: returns a network ready to run on a device.
        devices: returns the devices that the runtime finds on this machine, the fastest first.
    """

    suffix: str
    load: Callable[[NetworkSource, Device], Runtime]
    devices: Callable[[], tuple[str, ...]]


def require_device(runtime: str, device: Device, found: Collection[str]) -> None:
    """Raise ConfigError if a runtime does not find the requested device."""
    if device != "auto" and device not in found:
        raise ConfigError(
            f"device={device!r}: {runtime} finds only {', '.join(found)} here. Install a build of "
            f"{runtime} for that device, or use device='cpu'"
        )


def max_memory() -> int:
    """Return how many bytes one model may take: half of this machine's memory."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):  # Windows
        return 4 * 2**30
