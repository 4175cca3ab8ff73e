"""Get and set a model's weights by names that are the same in every process."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emonet.errors import WeightsError

if TYPE_CHECKING:
    import keras

#: Name of every network's last layer, which maps features to probabilities.
OUTPUT_LAYER = "probabilities"
#: Name of the layer that standardises a feature extractor's vectors.
STANDARDISED = "{}_standardised"


def get_weights(model: "keras.Model") -> dict[str, NDArray[Any]]:
    """Return a model's weights by their layers' paths, such as ``backbone/stem_conv/kernel``."""
    return {
        name: np.asarray(weight)
        for name, weight in zip(_names(model), model.get_weights(), strict=True)
    }


def set_weights(model: "keras.Model", weights: Mapping[str, NDArray[Any]], *, where: str) -> None:
    """Load weights that get_weights returned into a model.

    Args:
        model: a model of the same structure.
        weights: arrays by name, converted to float32.
        where: name of the source in error messages.

    Raises:
        WeightsError: a weight is missing, unknown, or has another shape.
    """
    names = _names(model)
    if missing := [name for name in names if name not in weights]:
        raise WeightsError(
            f"{where} lacks {len(missing)} of {len(names)} weights, first {missing[0]!r}: "
            f"it belongs to another network"
        )
    if extra := sorted(set(weights) - set(names)):
        raise WeightsError(
            f"{where} holds {len(extra)} weights that the network lacks, "
            f"first {extra[0]!r}: it belongs to another network"
        )
    for name, variable in zip(names, model.weights, strict=True):
        if weights[name].shape != tuple(variable.shape):
            raise WeightsError(
                f"{where}: {name!r} has shape {weights[name].shape}, but the network needs "
                f"{tuple(variable.shape)}: it belongs to another network"
            )
    model.set_weights([weights[name].astype(np.float32) for name in names])


def adapt_output(
    weights: Mapping[str, NDArray[Any]], order: Sequence[int], temperature: float
) -> dict[str, NDArray[Any]]:
    """Return weights whose output layer includes a temperature and another order of classes.

    Args:
        weights: a network's weights, from get_weights.
        order: the old column for each new column of the probabilities.
        temperature: divides the log-probabilities.

    Raises:
        WeightsError: the output layer's weights are missing or have another number of classes.
    """
    adapted = dict(weights)
    for part in ("kernel", "bias"):
        name = f"head/{OUTPUT_LAYER}/{part}"
        if name not in adapted or adapted[name].shape[-1] != len(order):
            raise WeightsError(f"The weights lack {name} of {len(order)} classes")
        adapted[name] = np.asarray(adapted[name][..., order] / temperature, adapted[name].dtype)
    return adapted


def _names(model: "keras.Model") -> list[str]:
    """Return a name for each weight that depends on the model's structure alone.

    Keras counts unnamed layers per process (``conv2d_7``). Each number is replaced by the rank
    of the layer among layers of the same stem, in the order of the weights.
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
            "Two weights of the network have the same name: give every layer a unique name"
        )
    return names
