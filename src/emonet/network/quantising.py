"""Quantise an exported ONNX file: convolutions in int8 make it smaller and faster."""

from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from emonet.errors import DataError, MissingDependencyError
from emonet.runtimes.onnx_runtime import import_onnxruntime

#: Number of faces that value ranges are measured on. Four times as many contain rarer values,
#: which widen the ranges and make the int8 steps coarser.
MEASURED_FACES = 128
BATCH_SIZE = 32
#: Input channels of a backbone's first convolution.
RGB = 3


def quantised(model: bytes, faces: NDArray[np.uint8]) -> bytes:
    """Return an exported ONNX file whose convolutions have int8 weights and inputs.

    Convolutions of RGB pixels and all other operations stay in float32: they take little time,
    and int8 would cost accuracy there.

    Args:
        model: the bytes of the file.
        faces: uint8 (n, height, width) in the size of the file's input; n >= 1. Value ranges
            are measured on all of them.

    Raises:
        DataError: there are no faces.
        MissingDependencyError: a package that onnxruntime needs to quantise is missing.
    """
    import_onnxruntime()
    try:
        from onnxruntime.quantization import QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise MissingDependencyError(
            f"onnxruntime can't quantise: {error}. Install the missing package or a newer "
            f"onnxruntime."
        ) from error
    if not len(faces):
        raise DataError("Cannot measure the value ranges of int8 on 0 faces: pass at least one")
    batches = (
        {"faces": faces[start : start + BATCH_SIZE].astype(np.float32)}
        for start in range(0, len(faces), BATCH_SIZE)
    )
    with TemporaryDirectory() as folder:
        exported, folded, file = (Path(folder) / name for name in ("exported", "folded", "int8"))
        exported.write_bytes(model)
        # This folds batch normalisation into the convolutions' weights.
        quant_pre_process(exported, folded, skip_symbolic_shape=True)
        quantize_static(
            folded,
            file,
            SimpleNamespace(get_next=lambda: next(batches, None)),
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=_rgb_convolutions(folded),
            per_channel=True,
            # 7-bit weights: 8 bits overflow on processors without VNNI.
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return file.read_bytes()


def _rgb_convolutions(file: Path) -> list[str]:
    """Return the names of the convolutions of RGB pixels, each backbone's first layer."""
    import onnx

    graph = onnx.load(file).graph
    rgb = {weight.name for weight in graph.initializer if list(weight.dims[1:2]) == [RGB]}
    return [node.name for node in graph.node if node.op_type == "Conv" and node.input[1] in rgb]
