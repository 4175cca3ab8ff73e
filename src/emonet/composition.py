"""From a configuration to working parts: looks components up and puts them together."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from emonet.config import (
    ComponentConfig,
    HeadConfig,
    NetworkConfig,
    RecognizerConfig,
)
from emonet.errors import (
    ComponentNotFoundError,
    ConfigError,
    PluginError,
)
from emonet.network.ensemble import Ensemble
from emonet.network.keras_start import start_keras
from emonet.network.network import KerasNetwork, Network, extractor_identity, extractor_state
from emonet.plugin import Detector, FeatureExtractor, Json
from emonet.registry.catalog import Catalog, Kind

__all__ = [
    "build_detector",
    "build_ensemble",
    "build_network",
    "describe_component",
    "describe_network",
    "portable",
    "resolve",
    "with_detector",
    "without_releases",
]

#: Feature extractors by name alone, or with configurations.
Features = Iterable[str] | Mapping[str, Mapping[str, Json]]


def describe_component(
    catalog: Catalog,
    kind: Kind,
    name: str,
    config: Mapping[str, Json],
    *,
    distribution: str = "",
) -> ComponentConfig:
    """Describe a component with its complete configuration and its origin.

    Raises:
        ComponentNotFoundError: nobody offers it, or not the package that is asked for.
        PluginConflictError: several packages offer it and none was named.
        ConfigError: a key is unknown.
    """
    found = catalog.get(kind, name, distribution=distribution)
    return ComponentConfig(
        name=name,
        config=found.complete(config),
        config_version=found.spec.config_version,
        plugin=found.plugin.name,
        distribution=found.plugin.distribution,
        distribution_version=found.plugin.version,
    )


def describe_network(
    catalog: Catalog,
    backbone: str,
    backbone_config: Mapping[str, Json] | None,
    features: Features,
    head: HeadConfig | None,
    *,
    face_size: tuple[int, int],
    centred: bool,
    pretrained: bool,
) -> NetworkConfig:
    """Describe one network, named after its parts.

    Raises:
        ComponentNotFoundError: nobody offers a component.
        ConfigError: a key is unknown, or names a file that no backbone reads unless it is to
            be pretrained.
    """
    if isinstance(features, str):
        raise ConfigError(
            f"features must be a list of names, got {features!r}: write [{features!r}]"
        )
    if not isinstance(features, Mapping):
        features = {name: {} for name in features}
    spec, settings = catalog.get(Kind.BACKBONE, backbone).spec, backbone_config or {}
    for key in () if pretrained else spec.machine_settings:
        if settings.get(key, spec.defaults[key]) != spec.defaults[key]:
            raise ConfigError(f"{backbone}: {key} goes with pretrained=True (--pretrained)")
    return NetworkConfig(
        name="_".join([backbone, *features])[:64],
        backbone=describe_component(catalog, Kind.BACKBONE, backbone, settings),
        features=tuple(
            describe_component(catalog, Kind.FEATURE_EXTRACTOR, name, config)
            for name, config in features.items()
        ),
        head=head or HeadConfig(),
        face_size=face_size,
        centred=centred,
    )


def with_detector(
    catalog: Catalog,
    config: RecognizerConfig,
    name: str | None,
    settings: Mapping[str, Json],
) -> RecognizerConfig:
    """Exchange the detector, or only some settings of the one that is there.

    Raises:
        ComponentNotFoundError: nobody offers it.
        ConfigError: a key is unknown.
    """
    package = ""
    if name is None or name == config.detector.name:
        name, settings = config.detector.name, {**config.detector.config, **settings}
        package = config.detector.distribution
    detector = describe_component(catalog, Kind.DETECTOR, name, settings, distribution=package)
    return replace(config, detector=detector)


def portable(catalog: Catalog, config: RecognizerConfig) -> RecognizerConfig:
    """Return a configuration without what holds on this machine alone."""

    def stripped(kind: Kind, part: ComponentConfig) -> ComponentConfig:
        spec = catalog.get(kind, part.name, distribution=part.distribution).spec
        here = {key: spec.defaults[key] for key in spec.machine_settings}
        return replace(part, config={**part.config, **here})

    return _with_components(config, stripped)


def without_releases(config: RecognizerConfig) -> RecognizerConfig:
    """Return a configuration without the versions of plugins' packages, which decide nothing."""
    return _with_components(config, lambda kind, part: replace(part, distribution_version=""))


def resolve(catalog: Catalog, config: RecognizerConfig) -> RecognizerConfig:
    """Bring every saved component to what the installed plugins understand.

    Raises:
        ComponentNotFoundError: plugins are missing; all of them are named.
        PluginVersionError: a saved configuration can't be read by the installed plugin.
    """
    problems: list[PluginError] = []

    def current(kind: Kind, saved: ComponentConfig) -> ComponentConfig:
        try:
            found = catalog.get(kind, saved.name, distribution=saved.distribution)
        except PluginError as error:
            problems.append(error)
            return saved
        upgraded = found.upgrade(saved.config_version, saved.config)
        for key in found.spec.machine_settings:
            if upgraded[key] != found.spec.defaults[key]:
                raise ConfigError(
                    f"The model sets {saved.name}'s {key}, which is for this machine to say: "
                    f"pass it to from_pretrained"
                )
        return replace(
            saved,
            config=upgraded,
            config_version=found.spec.config_version,
            distribution_version=found.plugin.version,
        )

    resolved = _with_components(config, current)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise ComponentNotFoundError("\n".join(str(problem) for problem in problems))
    return resolved


def build_network(
    catalog: Catalog,
    config: NetworkConfig,
    *,
    num_classes: int,
    pretrained: bool = False,
    precision: str = "float32",
    seed: int | None = None,
    extractors: Mapping[str, FeatureExtractor] | None = None,
) -> KerasNetwork:
    """Build one network with fresh (or pretrained) weights.

    Args:
        catalog: where its components are looked up.
        config: what to build.
        num_classes: how many labels it tells apart.
        pretrained: whether the backbone brings weights of its own.
        precision: ``float32``, or ``bfloat16`` for mixed precision.
        seed: of the initial weights.
        extractors: its feature extractors by name, where they are built already.

    Raises:
        PluginRuntimeError: a plugin's build failed.
        PluginContractError: what it built is not what the contract says.
    """
    start_keras()
    from emonet.network.fusion import build_model, keras_settings

    if extractors is None:
        extractors = {
            part.name: _build(catalog, Kind.FEATURE_EXTRACTOR, part) for part in config.features
        }
    with keras_settings(precision=precision, seed=seed):
        backbone = _build(catalog, Kind.BACKBONE, config.backbone, pretrained=pretrained)
        model = build_model(
            backbone,
            face_size=config.face_size,
            feature_sizes={name: part.num_features for name, part in extractors.items()},
            num_classes=num_classes,
            head=config.head,
            centred=config.centred,
        )
    return KerasNetwork(model, backbone, extractors)


def build_ensemble(
    catalog: Catalog,
    config: RecognizerConfig,
    weights: Mapping[str, Mapping[str, NDArray[Any]]],
    graphs: Mapping[str, bytes],
) -> Ensemble:
    """Build a recognizer's networks and give them their weights.

    Networks whose feature extractor is the same, with the same state, share one.

    Args:
        catalog: where components are looked up.
        config: the recognizer.
        weights: by network and by layer.
        graphs: by network; one that is not there is built with Keras.

    Raises:
        WeightsError: the weights belong to another network.
    """
    networks: list[Network] = []
    shared: dict[bytes, FeatureExtractor] = {}

    def extractor(part: ComponentConfig, arrays: Mapping[str, NDArray[Any]]) -> FeatureExtractor:
        identity = extractor_identity(part, extractor_state(arrays, part.name))
        if identity not in shared:
            shared[identity] = _build(catalog, Kind.FEATURE_EXTRACTOR, part)
        return shared[identity]

    # Members that were saved with two releases of a plugin have one extractor here.
    for member in without_releases(config).networks:
        arrays = weights[member.name]
        extractors = {part.name: extractor(part, arrays) for part in member.features}
        count = len(config.labels)
        if member.name in graphs:
            network = Network.from_graph(
                graphs[member.name],
                arrays,
                extractors,
                face_size=member.face_size,
                num_classes=count,
                precision=member.graph_precision,
            )
        else:
            network = build_network(catalog, member, num_classes=count, extractors=extractors)
            network.set_weights(arrays, where=member.name)
        networks.append(network)
    return Ensemble(
        networks=networks,
        weights=[member.weight for member in config.networks],
        temperature=config.temperature,
        augmentation=config.test_time_augmentation,
    )


def build_detector(catalog: Catalog, config: ComponentConfig) -> Detector:
    """Build the detector that a configuration names."""
    detector: Detector = _build(catalog, Kind.DETECTOR, config)
    return detector


def _build(catalog: Catalog, kind: Kind, config: ComponentConfig, **arguments: Any) -> Any:
    return catalog.build(
        kind, config.name, config.config, distribution=config.distribution, **arguments
    )


def _with_components(
    config: RecognizerConfig, change: Callable[[Kind, ComponentConfig], ComponentConfig]
) -> RecognizerConfig:
    """Return the configuration with a change made to every component."""
    networks = tuple(
        replace(
            network,
            backbone=change(Kind.BACKBONE, network.backbone),
            features=tuple(change(Kind.FEATURE_EXTRACTOR, part) for part in network.features),
        )
        for network in config.networks
    )
    return replace(config, detector=change(Kind.DETECTOR, config.detector), networks=networks)
