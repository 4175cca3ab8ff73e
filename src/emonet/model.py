"""Model: the frozen value that is loaded, trained, merged, quantised, calibrated and saved."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.config import ModelConfig
from emonet.errors import NotFittedError
from emonet.records import UNKNOWN, TrainingRecord

#: One network's arrays by name: ``backbone/stem_conv/kernel``.
Weights = Mapping[str, NDArray[Any]]

#: Prefix of the names of arrays that are a feature extractor's state, not a layer's weights.
STATES = "features/"


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Model:
    """Config, weights, graphs and record of one or more networks.

    Functions that change a model return a new one; arrays are shared and never written to.

    Attributes:
        config: everything but the weights.
        weights: arrays by network and by name; empty before training.
        graphs: ONNX bytes by network, for those that have a graph. onnxruntime runs these
            networks; Keras runs the others.
        record: how the model came to be.
    """

    config: ModelConfig
    weights: Mapping[str, Weights] = field(default_factory=dict)
    graphs: Mapping[str, bytes] = field(default_factory=dict)
    record: TrainingRecord = UNKNOWN

    @property
    def parameters(self) -> int:
        """How many numbers the networks hold."""
        return sum(
            array.size
            for arrays in self.weights.values()
            for name, array in arrays.items()
            if not name.startswith(STATES)
        )

    def require_weights(self) -> None:
        """Raise NotFittedError if the model has no weights yet."""
        if not self.weights:
            raise NotFittedError(
                "The recognizer has no weights yet. Call fit, or load one with from_pretrained"
            )

    def untrained(self) -> "Model":
        """Return the same networks, detector and framing without weights or record."""
        return Model(config=self.config.untrained())

    def quantised(self, graphs: Mapping[str, bytes]) -> "Model":
        """Return the model with int8 graphs, and without figures of the old ones."""
        record = replace(self.record.without_figures(), quantised="EmotionRecognizer.quantise")
        config = self.config.with_graph_precision("int8")
        return replace(self, config=config, graphs=graphs, record=record)

    def in_float32(self) -> "Model":
        """Return the model with float32 precision for every network that lacks its int8 graph."""
        config = self.config.with_graph_precision("float32", keep=self.graphs)
        if config == self.config:
            return self
        record = replace(self.record.without_figures(), quantised=None)
        return replace(self, config=config, record=record)

    def as_dtype(self, dtype: str) -> "Model":
        """Return the model with floating weights as another dtype; states keep theirs."""

        def converted(name: str, array: NDArray[Any]) -> NDArray[Any]:
            floating = np.issubdtype(array.dtype, np.floating)
            if name.startswith(STATES) or not floating:
                return array
            with np.errstate(over="ignore"):
                return array.astype(dtype, copy=False)

        weights = {
            network: {name: converted(name, array) for name, array in arrays.items()}
            for network, arrays in self.weights.items()
        }
        return replace(self, weights=weights)
