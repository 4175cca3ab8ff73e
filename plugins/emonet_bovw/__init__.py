"""Built-in plugin: BOVW, the seed paper's hand-made features."""

from collections.abc import Mapping

from emonet.plugin import FeatureExtractor, FeatureExtractorSpec, Json, hookimpl


@hookimpl
def emonet_register_feature_extractors() -> list[FeatureExtractorSpec]:
    """Offer ``bovw``."""
    return [
        FeatureExtractorSpec(
            name="bovw",
            build=build,
            defaults={"landmarks": True, "hog": True, "block_norm": "L1"},
            summary="136 coordinates of 68 facial landmarks, then 2592 HOG values",
        )
    ]


def build(config: Mapping[str, Json]) -> FeatureExtractor:
    """Build the extractor."""
    from emonet_bovw.extractor import Bovw

    return Bovw(**config)
