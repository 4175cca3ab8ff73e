"""emonet: which of seven emotions a face shows.

>>> from emonet import EmotionRecognizer
>>> recognizer = EmotionRecognizer.from_pretrained()
>>> result = recognizer.predict("photo.jpg")  # doctest: +SKIP
"""

from importlib.metadata import version as _version

from emonet.config import HeadConfig
from emonet.data import FaceDataset, load_dataset
from emonet.data.augmentation import Augmentation
from emonet.errors import EmonetError, EmonetWarning
from emonet.evaluation.calibration import Calibration, CalibrationFigures, Coverage
from emonet.evaluation.report import ClassReport, Report
from emonet.evaluation.robustness import Robustness
from emonet.recognizer import EmotionRecognizer
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
from emonet.results import Box, Detection, Face, ImageResult
from emonet.training.distillation import TeacherRecord
from emonet.training.ensembling import LearntWeights
from emonet.training.recipes import RECIPES, Phase, Recipe
from emonet.training.record import TrainingRecord
from emonet.training.schedule import EpochRecord

__all__ = [
    "RECIPES",
    "Augmentation",
    "Box",
    "Calibration",
    "CalibrationFigures",
    "ClassReport",
    "Coverage",
    "Detection",
    "EmonetError",
    "EmonetWarning",
    "EmotionRecognizer",
    "EpochRecord",
    "Face",
    "FaceDataset",
    "HeadConfig",
    "ImageResult",
    "LearntWeights",
    "Phase",
    "PluginInfo",
    "Recipe",
    "Report",
    "Robustness",
    "TeacherRecord",
    "TrainingRecord",
    "create_backbone",
    "create_detector",
    "create_feature_extractor",
    "list_backbones",
    "list_detectors",
    "list_feature_extractors",
    "list_plugins",
    "load_dataset",
]

__version__ = _version("emonet")
