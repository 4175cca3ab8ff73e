"""Describe components by name, and bring saved descriptions up to date."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from emonet.config import ComponentConfig, HeadConfig, ModelConfig, NetworkConfig
from emonet.errors import ComponentNotFoundError, ConfigError, PluginError
from emonet.plugin import Json
from emonet.registry.catalog import Kind, get_catalog

#: Feature extractors: names, or a mapping from names to configurations.
Features = Iterable[str] | Mapping[str, Mapping[str, Json]]


def describe_component(
    kind: Kind, name: str, config: Mapping[str, Json], *, distribution: str = ""
) -> ComponentConfig:
    """Return a component's name, complete configuration and origin."""
    found = get_catalog().get(kind, name, distribution=distribution)
    return ComponentConfig(
        name=name,
        config=found.complete(config),
        config_version=found.spec.config_version,
        plugin=found.plugin.name,
        distribution=found.plugin.distribution,
        distribution_version=found.plugin.version,
    )


def describe_network(
    backbone: str,
    backbone_config: Mapping[str, Json] | None,
    features: Features,
    head: HeadConfig | None,
    *,
    face_size: tuple[int, int],
    subtract_mean_face: bool,
    pretrained: bool,
) -> NetworkConfig:
    """Return the configuration of one network, named after its parts."""
    if isinstance(features, str):
        raise ConfigError(
            f"features must be a list of names, got {features!r}: write [{features!r}]"
        )
    if not isinstance(features, Mapping):
        features = {name: {} for name in features}
    spec, settings = get_catalog().get(Kind.BACKBONE, backbone).spec, backbone_config or {}
    for key in () if pretrained else spec.machine_settings:
        if settings.get(key, spec.defaults[key]) != spec.defaults[key]:
            raise ConfigError(f"{backbone}: {key} needs pretrained=True (--pretrained)")
    return NetworkConfig(
        name="_".join([backbone, *features])[:64],
        backbone=describe_component(Kind.BACKBONE, backbone, settings),
        features=tuple(
            describe_component(Kind.FEATURE_EXTRACTOR, name, config)
            for name, config in features.items()
        ),
        head=head or HeadConfig(),
        face_size=face_size,
        subtract_mean_face=subtract_mean_face,
    )


def with_detector(
    config: ModelConfig, name: str | None, settings: Mapping[str, Json]
) -> ModelConfig:
    """Return the config with another detector, or with new settings for its own detector."""
    package = ""
    if name is None or name == config.detector.name:
        name, settings = config.detector.name, {**config.detector.config, **settings}
        package = config.detector.distribution
    detector = describe_component(Kind.DETECTOR, name, settings, distribution=package)
    return replace(config, detector=detector)


def portable(config: ModelConfig) -> ModelConfig:
    """Return the config without settings that are valid only on this machine, such as paths."""

    def stripped(kind: Kind, part: ComponentConfig) -> ComponentConfig:
        spec = get_catalog().get(kind, part.name, distribution=part.distribution).spec
        here = {key: spec.defaults[key] for key in spec.machine_settings}
        return replace(part, config={**part.config, **here})

    return _with_components(config, stripped)


def without_releases(config: ModelConfig) -> ModelConfig:
    """Return the config without the versions of plugin packages; predictions do not need them."""
    return _with_components(config, lambda kind, part: replace(part, distribution_version=""))


def resolve(
    config: ModelConfig,
    detector: str | None = None,
    detector_config: Mapping[str, Json] | None = None,
) -> ModelConfig:
    """Return a saved config, updated for the installed plugins.

    ``detector`` replaces the model's own detector, which then need not be installed. If several
    plugins are missing, the error names all of them.
    """
    if detector is not None and detector != config.detector.name:
        config = with_detector(config, detector, {})
    problems: list[PluginError] = []

    def current(kind: Kind, saved: ComponentConfig) -> ComponentConfig:
        try:
            found = get_catalog().get(kind, saved.name, distribution=saved.distribution)
        except PluginError as error:
            problems.append(error)
            return saved
        upgraded = found.upgrade(saved.config_version, saved.config)
        for key in found.spec.machine_settings:
            if upgraded[key] != found.spec.defaults[key]:
                raise ConfigError(
                    f"The model sets {key} of {saved.name}. Only this machine's user may set it: "
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
        raise ComponentNotFoundError("; ".join(str(problem) for problem in problems))
    return with_detector(resolved, detector, detector_config or {})


def _with_components(
    config: ModelConfig, change: Callable[[Kind, ComponentConfig], ComponentConfig]
) -> ModelConfig:
    """Return the config with every component changed."""
    networks = tuple(
        replace(
            network,
            backbone=change(Kind.BACKBONE, network.backbone),
            features=tuple(change(Kind.FEATURE_EXTRACTOR, part) for part in network.features),
        )
        for network in config.networks
    )
    return replace(config, detector=change(Kind.DETECTOR, config.detector), networks=networks)
