"""Store in an int8 graph a digest of the float weights it was quantised from; check the digest."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.errors import WeightsError

#: Name of the digest in the graph's metadata.
KEY = "emonet.weights"


def with_source(graph: bytes, weights: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the graph with a digest of the weights it was quantised from."""
    from onnx import ModelProto

    model = ModelProto.FromString(graph)
    model.metadata_props.add(key=KEY, value=_digest(weights))
    return bytes(model.SerializeToString())


def require_source(graph: bytes, weights: Mapping[str, NDArray[Any]], *, where: str) -> None:
    """Raise WeightsError if a graph does not hold the digest of these weights.

    The check finds mistakes, such as a replaced weights file. It does not protect against forgery:
    the author of a graph can write any digest into it.
    """
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    try:
        entries = ModelProto.FromString(graph).metadata_props
    except DecodeError as error:
        raise WeightsError(f"{where} is not an ONNX file: {error}") from None
    if [entry.value for entry in entries if entry.key == KEY] != [_digest(weights)]:
        raise WeightsError(
            f"{where} was not quantised from the weights of the model, so its predictions may "
            f"differ. Load the model with runtime='keras', and quantise it again"
        )


def _digest(weights: Mapping[str, NDArray[Any]]) -> str:
    """Return the SHA-256 of the weights in float16.

    A model that is saved in float16 or in float32 therefore has the same digest.
    """
    digest = hashlib.sha256()
    for name in sorted(weights):
        with np.errstate(over="ignore"):
            array = np.asarray(weights[name], "<f2", order="C")
        digest.update(f"{name} {array.shape}\n".encode() + array.tobytes())
    return digest.hexdigest()
