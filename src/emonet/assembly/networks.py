"""Build networks, ensembles and detectors from their configurations."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from emonet.assembly.components import without_releases
from emonet.config import ComponentConfig, NetworkConfig
from emonet.model import Model, Weights
from emonet.network.ensemble import Ensemble
from emonet.network.network import (
    KerasNetwork,
    Network,
    extractor_identity,
    extractor_state,
    graph_weights,
    set_states,
)
from emonet.plugin import Detector, FeatureExtractor
from emonet.registry.catalog import Kind, get_catalog
from emonet.runtimes import RUNTIMES, Device, NetworkSource, RuntimeName
from emonet.runtimes.batching import BATCH_SIZE
from emonet.runtimes.keras_runtime import start_keras

if TYPE_CHECKING:
    import keras


def build_network(
    config: NetworkConfig,
    *,
    num_classes: int,
    pretrained: bool = False,
    precision: str = "float32",
    seed: int | None = None,
    extractors: Mapping[str, FeatureExtractor] | None = None,
) -> KerasNetwork:
    """Build one Keras network with random or pretrained weights.

    ``precision`` is ``float32``, or ``bfloat16`` for mixed precision. ``extractors`` holds the
    feature extractors by name, if they are built already.
    """
    start_keras()
    from emonet.network.fusion import build_model, keras_settings

    if extractors is None:
        extractors = {part.name: _build(Kind.FEATURE_EXTRACTOR, part) for part in config.features}
    with keras_settings(precision=precision, seed=seed):
        backbone = _build(Kind.BACKBONE, config.backbone, pretrained=pretrained)
        model = build_model(
            backbone,
            face_size=config.face_size,
            feature_sizes={name: part.num_features for name, part in extractors.items()},
            num_classes=num_classes,
            head=config.head,
            subtract_mean_face=config.subtract_mean_face,
        )
    return KerasNetwork(model, backbone, extractors, name=config.name)


def build_keras_models(model: Model) -> list["keras.Model"]:
    """Build every network of a model in Keras and set its weights."""
    return [_build_keras_model(model, part) for part in model.config.networks]


def build_ensemble(model: Model, device: Device = "auto", batch_size: int = BATCH_SIZE) -> Ensemble:
    """Build a model's networks, each in its runtime.

    Networks share a feature extractor if its configuration and state are equal.
    """
    # Networks that were saved with different releases of a plugin share its extractor too.
    config, shared = without_releases(model.config), dict[bytes, FeatureExtractor]()
    return Ensemble(
        networks=[
            _load_network(model, part, _extractors(part, model.weights[part.name], shared), device)
            for part in config.networks
        ],
        weights=[part.weight for part in config.networks],
        temperature=config.temperature,
        class_factors=config.class_factors,
        augmentation=config.test_time_augmentation,
        batch_size=batch_size,
    )


def runtime_of(model: Model, network: str) -> RuntimeName:
    """Return the runtime of one of a model's networks, by the network's name."""
    return "onnxruntime" if network in model.graphs else "keras"


def build_detector(config: ComponentConfig) -> Detector:
    """Build a detector from its configuration."""
    detector: Detector = _build(Kind.DETECTOR, config)
    return detector


def _build_keras_model(
    model: Model, part: NetworkConfig, extractors: Mapping[str, FeatureExtractor] | None = None
) -> "keras.Model":
    network = build_network(part, num_classes=len(model.config.labels), extractors=extractors)
    network.set_weights(model.weights[part.name], where=part.name)
    return network.model


def _load_network(
    model: Model, part: NetworkConfig, extractors: Mapping[str, FeatureExtractor], device: Device
) -> Network:
    layers = set_states(extractors, model.weights[part.name])
    num_classes = len(model.config.labels)
    source = NetworkSource(
        weights=graph_weights(layers, part.graph_precision),
        graph=model.graphs.get(part.name),
        build=lambda: _build_keras_model(model, part, extractors),
        shapes=(
            part.face_size,
            *((extractor.num_features,) for extractor in extractors.values()),
            (num_classes,),
        ),
    )
    runtime = RUNTIMES[runtime_of(model, part.name)].load(source, device)
    return Network(
        runtime,
        extractors,
        face_size=part.face_size,
        num_classes=num_classes,
        name=part.name,
    )


def _extractors(
    part: NetworkConfig, arrays: Weights, shared: dict[bytes, FeatureExtractor]
) -> dict[str, FeatureExtractor]:
    """Return a network's feature extractors by name; build an extractor if none can be shared."""
    extractors = {}
    for component in part.features:
        identity = extractor_identity(component, extractor_state(arrays, component.name))
        if identity not in shared:
            shared[identity] = _build(Kind.FEATURE_EXTRACTOR, component)
        extractors[component.name] = shared[identity]
    return extractors


def _build(kind: Kind, config: ComponentConfig, **arguments: Any) -> Any:
    return get_catalog().build(
        kind, config.name, config.config, distribution=config.distribution, **arguments
    )
