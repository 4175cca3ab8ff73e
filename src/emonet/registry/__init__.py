"""Find, check and list the installed plugins, at the first look-up of a component."""

from typing import TYPE_CHECKING

from emonet.plugin import Detector, FeatureExtractor, Json
from emonet.registry.catalog import get_catalog
from emonet.registry.discovery import Kind, PluginInfo

if TYPE_CHECKING:
    import keras

__all__ = [
    "PluginInfo",
    "create_backbone",
    "create_detector",
    "create_feature_extractor",
    "list_backbones",
    "list_detectors",
    "list_feature_extractors",
    "list_plugins",
]


def list_plugins() -> list[PluginInfo]:
    """Return all installed plugins, working or not."""
    return get_catalog().plugins


def list_backbones() -> list[str]:
    """Return the names of all installed backbones, sorted."""
    return get_catalog().names(Kind.BACKBONE)


def list_feature_extractors() -> list[str]:
    """Return the names of all installed feature extractors, sorted."""
    return get_catalog().names(Kind.FEATURE_EXTRACTOR)


def list_detectors() -> list[str]:
    """Return the names of all installed face detectors, sorted."""
    return get_catalog().names(Kind.DETECTOR)


def create_backbone(name: str, *, pretrained: bool = False, **config: Json) -> "keras.Model":
    """Build a backbone.

    Args:
        name: one of ``list_backbones()``.
        pretrained: load the backbone's own pretrained weights.
        config: settings that differ from the defaults.

    Returns:
        A Keras model from float32 (n, height, width, 3) RGB 0..255 to (n, num_features).

    Raises:
        ComponentNotFoundError: there is no such backbone.
        ConfigError: there is no such setting, or its value is not legal.
    """
    model: keras.Model = get_catalog().build(Kind.BACKBONE, name, config, pretrained=pretrained)
    return model


def create_feature_extractor(name: str, **config: Json) -> FeatureExtractor:
    """Build a feature extractor.

    Args:
        name: one of ``list_feature_extractors()``.
        config: settings that differ from the defaults.

    Raises:
        ComponentNotFoundError: there is no such feature extractor.
        ConfigError: there is no such setting, or its value is not legal.
    """
    extractor: FeatureExtractor = get_catalog().build(Kind.FEATURE_EXTRACTOR, name, config)
    return extractor


def create_detector(name: str, **config: Json) -> Detector:
    """Build a face detector.

    Args:
        name: one of ``list_detectors()``.
        config: settings that differ from the defaults.

    Raises:
        ComponentNotFoundError: there is no such detector.
        ConfigError: there is no such setting, or its value is not legal.
    """
    detector: Detector = get_catalog().build(Kind.DETECTOR, name, config)
    return detector
