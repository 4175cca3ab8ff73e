"""An exported ONNX file made smaller and faster: its convolutions in int8."""

from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from emonet.errors import DataError, MissingDependencyError

__all__ = ["quantised"]

#: How many faces the ranges of values are measured on, and how many at a time. Four times as many
#: bring rarer values, which widen the ranges and make every step coarser.
MEASURED = 128
AT_A_TIME = 32
#: The channels that a backbone's first convolution sees.
RGB = 3


def quantised(model: bytes, faces: NDArray[np.uint8]) -> bytes:
    """Return an exported ONNX file whose convolutions have int8 weights and inputs.

    All but those that see the pixels: they, and what is no convolution, are little work, and
    int8 there costs accuracy.

    Args:
        model: the bytes of the file.
        faces: uint8 (n, height, width), as large as the file takes them; n >= 1. The ranges
            of values are measured on some 128 of them, evenly spread.

    Raises:
        DataError: no face was given.
        MissingDependencyError: onnxruntime lacks a package to do it.
    """
    try:
        from onnxruntime.quantization import QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise MissingDependencyError(
            f"This version of onnxruntime can't quantise: {error}. Install what is missing, or "
            f"a newer onnxruntime."
        ) from error
    if not len(faces):
        raise DataError("The ranges of int8 are measured on faces, and none were given")
    chosen = faces[:: max(1, len(faces) // MEASURED)]
    batches = (
        {"faces": chosen[start : start + AT_A_TIME].astype(np.float32)}
        for start in range(0, len(chosen), AT_A_TIME)
    )
    with TemporaryDirectory() as folder:
        given, folded, file = (Path(folder) / name for name in ("given", "folded", "int8"))
        given.write_bytes(model)
        # Batch normalisation becomes part of the convolutions' weights.
        quant_pre_process(given, folded, skip_symbolic_shape=True)
        quantize_static(
            folded,
            file,
            SimpleNamespace(get_next=lambda: next(batches, None)),
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=_see_pixels(folded),
            per_channel=True,
            # 7 bits of weights: processors without VNNI would add up too large numbers.
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return file.read_bytes()


def _see_pixels(file: Path) -> list[str]:
    """Return the names of an ONNX file's convolutions of RGB, which every backbone begins with."""
    import onnx

    graph = onnx.load(file).graph
    rgb = {weight.name for weight in graph.initializer if list(weight.dims[1:2]) == [RGB]}
    return [node.name for node in graph.node if node.op_type == "Conv" and node.input[1] in rgb]
