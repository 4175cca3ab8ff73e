"""The hooks that a plugin may implement."""

import pluggy

from emonet.plugin import BackboneSpec, DetectorSpec, FeatureExtractorSpec

PROJECT = "emonet"

hookspec = pluggy.HookspecMarker(PROJECT)


@hookspec
def emonet_register_backbones() -> list[BackboneSpec]:  # type: ignore[empty-body]
    """Return the backbones that this plugin offers."""


@hookspec
def emonet_register_feature_extractors() -> list[FeatureExtractorSpec]:  # type: ignore[empty-body]
    """Return the feature extractors that this plugin offers."""


@hookspec
def emonet_register_detectors() -> list[DetectorSpec]:  # type: ignore[empty-body]
    """Return the face detectors that this plugin offers."""
