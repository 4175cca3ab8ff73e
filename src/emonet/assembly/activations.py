"""Build class activation maps from a model's networks."""

from emonet.assembly.exports import with_graphs
from emonet.errors import ConfigError
from emonet.model import Model
from emonet.network.activations import ActivationMaps, without_pooling
from emonet.network.network import graph_weights
from emonet.runtimes import Device
from emonet.runtimes.onnx_runtime import OnnxRuntime


def build_activation_maps(model: Model, device: Device = "auto") -> ActivationMaps:
    """Return a model's networks without their pooling, in onnxruntime.

    A network that Keras runs is exported to a graph first.

    Raises:
        ConfigError: a network has feature extractors, or another ending.
    """
    for part in model.config.networks:
        if part.features:
            names = ", ".join(component.name for component in part.features)
            raise _error(part.name, f"it also uses the feature extractor {names}")
    model, runtimes = with_graphs(model), []
    for part in model.config.networks:
        graph = model.graphs.get(part.name)
        if graph is None:
            raise _error(part.name, "Keras can't export it to ONNX")
        cut = without_pooling(graph)
        if cut is None:
            raise _error(part.name, "it does not end in global average pooling and one dense layer")
        weights = graph_weights(model.weights[part.name], part.graph_precision)
        runtimes.append(OnnxRuntime(cut, weights, device))
    return ActivationMaps(
        runtimes=runtimes,
        face_sizes=[part.face_size for part in model.config.networks],
        weights=[part.weight for part in model.config.networks],
        num_classes=len(model.config.labels),
        temperature=model.config.temperature,
        augmentation=model.config.test_time_augmentation,
    )


def _error(network: str, reason: str) -> ConfigError:
    return ConfigError(
        f"The network {network} has no class activation maps: {reason}. Explain it with "
        f"method='occlusion', which works with every network"
    )
