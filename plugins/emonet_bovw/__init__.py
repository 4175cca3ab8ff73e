"""Built-in plugin: BOVW, the paper's hand-crafted features."""

from collections.abc import Mapping

from emonet.plugin import FeatureExtractor, FeatureExtractorSpec, Json, hookimpl


@hookimpl
def emonet_register_feature_extractors() -> list[FeatureExtractorSpec]:
    """Register ``bovw``."""
    return [
        FeatureExtractorSpec(
            name="bovw",
            build=build,
            defaults={"landmarks": True, "hog": True, "block_norm": "L1"},
            summary="68 facial landmarks (136 coordinates) and 2592 HOG values",
        )
    ]


def build(config: Mapping[str, Json]) -> FeatureExtractor:
    """Build the feature extractor."""
    from emonet_bovw.extractor import Bovw

    return Bovw(**config)
