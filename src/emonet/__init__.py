"""emonet: find faces in images and classify their expressions.

>>> from emonet import EmotionRecognizer
>>> recognizer = EmotionRecognizer.from_pretrained()
>>> result = recognizer.predict("photo.jpg")  # doctest: +SKIP
"""

from typing import TYPE_CHECKING

from emonet.config import ClassPrior, Framing, HeadConfig
from emonet.data import FaceDataset, load_dataset, load_groups
from emonet.data.augmentation import Augmentation
from emonet.drawing import draw
from emonet.errors import EmonetError, EmonetWarning
from emonet.explain.explanation import Explanation, FaceExplanation
from emonet.model import Model
from emonet.pipeline.images import load_image
from emonet.recognizer import EmotionRecognizer
from emonet.records import (
    AuditReport,
    Calibration,
    CalibrationFigures,
    ClassReport,
    Comparison,
    Coverage,
    Difference,
    Disagreement,
    EnsembleWeights,
    EpochRecord,
    Gap,
    GroupReport,
    Proportion,
    Report,
    Robustness,
    TeacherRecord,
    TrainingRecord,
    ValidationFigures,
)
from emonet.registry import (
    PluginInfo,
    create_backbone,
    create_detector,
    create_feature_extractor,
    list_backbones,
    list_detectors,
    list_feature_extractors,
    list_plugins,
)
from emonet.results import (
    Box,
    Detection,
    Face,
    FaceCrop,
    FeatureEffect,
    ImageResult,
    TrackedFace,
    VideoFrame,
)
from emonet.sample import sample_photo
from emonet.support.versions import emonet_version
from emonet.tables import to_arrow, to_pandas, to_polars, to_records
from emonet.training.recipes import RECIPES, Phase, Recipe
from emonet.video.timeline import TimelineEntry, timeline

__all__ = [
    "RECIPES",
    "AuditReport",
    "Augmentation",
    "Box",
    "Calibration",
    "CalibrationFigures",
    "ClassPrior",
    "ClassReport",
    "Comparison",
    "Coverage",
    "Detection",
    "Difference",
    "Disagreement",
    "EmonetError",
    "EmonetWarning",
    "EmotionRecognizer",
    "EnsembleWeights",
    "EpochRecord",
    "Explanation",
    "Face",
    "FaceCrop",
    "FaceDataset",
    "FaceExplanation",
    "FeatureEffect",
    "Framing",
    "Gap",
    "GroupReport",
    "HeadConfig",
    "ImageResult",
    "Model",
    "Phase",
    "PluginInfo",
    "Proportion",
    "Recipe",
    "Report",
    "Robustness",
    "TeacherRecord",
    "TimelineEntry",
    "TrackedFace",
    "TrainingRecord",
    "ValidationFigures",
    "VideoFrame",
    "create_backbone",
    "create_detector",
    "create_feature_extractor",
    "draw",
    "list_backbones",
    "list_detectors",
    "list_feature_extractors",
    "list_plugins",
    "load_dataset",
    "load_groups",
    "load_image",
    "sample_photo",
    "timeline",
    "to_arrow",
    "to_pandas",
    "to_polars",
    "to_records",
]

if type(__spec__.loader).__name__ == "zipimporter":
    raise EmonetError(
        "emonet can't run from a zip file, because it reads its models and its plugins from the "
        "disk. Install it with pip, or unpack the file"
    )

if TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name: str) -> str:
        """Return ``__version__``, which takes a while to look up."""
        if name == "__version__":
            return emonet_version()
        raise AttributeError(f"module 'emonet' has no attribute {name!r}")
