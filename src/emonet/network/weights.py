"""A model's weights as named arrays, whichever process built it."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emonet.errors import WeightsError

if TYPE_CHECKING:
    import keras

__all__ = ["OUTPUT_LAYER", "adapt_output", "get_weights", "set_weights"]

#: The name of every network's last layer, which turns features into probabilities.
OUTPUT_LAYER = "probabilities"


def get_weights(model: "keras.Model") -> dict[str, NDArray[Any]]:
    """Return every weight of a model by its layer's path: ``backbone/stem_conv/kernel``."""
    return {
        name: np.asarray(weight)
        for name, weight in zip(_names(model), model.get_weights(), strict=True)
    }


def set_weights(model: "keras.Model", weights: Mapping[str, NDArray[Any]], *, where: str) -> None:
    """Give a model the weights that get_weights returned.

    Args:
        model: a model of the same structure.
        weights: arrays by name; float16 is widened to the model's own dtype.
        where: what error messages call the source.

    Raises:
        WeightsError: a name is missing or too many, or a shape differs.
    """
    names = _names(model)
    if missing := [name for name in names if name not in weights]:
        raise WeightsError(
            f"{where} lacks {len(missing)} of {len(names)} weights, first {missing[0]!r}: "
            f"it was saved from another network"
        )
    if extra := sorted(set(weights) - set(names)):
        raise WeightsError(
            f"{where} holds {len(extra)} weights that the network has no place for, "
            f"first {extra[0]!r}: it was saved from another network"
        )
    for name, variable in zip(names, model.weights, strict=True):
        if weights[name].shape != tuple(variable.shape):
            raise WeightsError(
                f"{where}: {name!r} has shape {weights[name].shape}, "
                f"the network needs {tuple(variable.shape)}"
            )
    model.set_weights([weights[name].astype(np.float32) for name in names])


def adapt_output(
    weights: Mapping[str, NDArray[Any]], order: Sequence[int], temperature: float
) -> dict[str, NDArray[Any]]:
    """Make a network's calibration and another order of its classes part of its weights.

    Args:
        weights: what get_weights returned.
        order: for each new column of the probabilities, the old one.
        temperature: divides the log-probabilities.

    Raises:
        WeightsError: the output layer's weights are missing, or of another number of classes.
    """
    adapted = dict(weights)
    for part in ("kernel", "bias"):
        name = f"head/{OUTPUT_LAYER}/{part}"
        if name not in adapted or adapted[name].shape[-1] != len(order):
            raise WeightsError(f"{name} of {len(order)} classes is not among the weights")
        adapted[name] = np.asarray(adapted[name][..., order] / temperature, adapted[name].dtype)
    return adapted


def _names(model: "keras.Model") -> list[str]:
    """Name each weight by structure alone.

    Keras numbers unnamed layers through the whole process (``conv2d_7``), so each number is
    replaced by the layer's rank among those of its stem, in the order of the weights.
    """
    import keras

    inner = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    in_backbone = {id(weight) for layer in inner for weight in layer.weights}
    ranks: dict[str, dict[str, int]] = {}
    names = []
    for weight in model.weights:
        name = "backbone" if id(weight) in in_backbone else "head"
        for part in weight.path.split("/"):
            stem = re.sub(r"_\d+$", "", part)
            same_stem = ranks.setdefault(f"{name}/{stem}", {})
            rank = same_stem.setdefault(part, len(same_stem))
            name += f"/{stem}_{rank}" if rank else f"/{stem}"
        names.append(name)
    if len(set(names)) != len(names):
        raise WeightsError(
            "Two weights of the network have one name: every layer needs a name of its own"
        )
    return names
