"""Runtimes run a network on a batch of faces.

RUNTIMES maps a runtime's name to a RuntimeSpec. To add a runtime, add a file and a row.
"""

from emonet.runtimes.base import Device, NetworkSource, RuntimeName, RuntimeSpec
from emonet.runtimes.keras_runtime import KERAS
from emonet.runtimes.onnx_runtime import ONNXRUNTIME

__all__ = ["RUNTIMES", "Device", "NetworkSource", "RuntimeName", "RuntimeSpec"]

RUNTIMES: dict[RuntimeName, RuntimeSpec] = {"onnxruntime": ONNXRUNTIME, "keras": KERAS}
