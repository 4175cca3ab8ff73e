"""Tie an int8 graph, which holds its own weights, to the weights that it was quantised from."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.errors import WeightsError

#: Entry of the graph's metadata.
KEY = "emonet.weights"


def with_source(graph: bytes, weights: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a graph that names the weights that it was quantised from."""
    from onnx import ModelProto

    model = ModelProto.FromString(graph)
    model.metadata_props.add(key=KEY, value=_digest(weights))
    return bytes(model.SerializeToString())


def require_source(graph: bytes, weights: Mapping[str, NDArray[Any]], *, where: str) -> None:
    """Raise WeightsError if a graph was quantised from other weights, or does not say from which.

    This finds mistakes, such as a weights file that was replaced. It can't find a lie: who writes a
    graph can write any digest into it.
    """
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    try:
        entries = ModelProto.FromString(graph).metadata_props
    except DecodeError as error:
        raise WeightsError(f"{where} is not an ONNX file: {error}") from None
    if [entry.value for entry in entries if entry.key == KEY] != [_digest(weights)]:
        raise WeightsError(
            f"{where} was not quantised from the weights of the model, so its answers would not be "
            f"the model's. Load the model with runtime='keras', and quantise it again"
        )


def _digest(weights: Mapping[str, NDArray[Any]]) -> str:
    """Return the SHA-256 of weights as float16: a model may be saved with either precision."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        with np.errstate(over="ignore"):
            array = np.asarray(weights[name], "<f2", order="C")
        digest.update(f"{name} {array.shape}\n".encode() + array.tobytes())
    return digest.hexdigest()
