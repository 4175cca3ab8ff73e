"""Explain the labels of an image's faces."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from emonet.errors import ConfigError
from emonet.explain.explanation import ExplainMethod, Explanation, FaceExplanation
from emonet.explain.features import spread
from emonet.explain.occlusion import occlusion_maps
from emonet.pipeline.images import load_image
from emonet.plugin import require_number
from emonet.results import FaceCrop, FeatureEffect
from emonet.support.seeds import require_seed

if TYPE_CHECKING:
    from emonet.recognizer import EmotionRecognizer

MAX_MASKS = 100_000


def explain(
    recognizer: "EmotionRecognizer",
    image: Any,
    label: str | None = None,
    *,
    method: ExplainMethod,
    masks: int,
    seed: int,
) -> Explanation:
    """Explain a label of each face in an image; see EmotionRecognizer.explain."""
    labels = recognizer.labels
    if label is not None and label not in labels:
        raise ConfigError(f"No label {label!r:.80} in this model. Choose from {', '.join(labels)}")
    if method not in get_args(ExplainMethod):
        raise ConfigError(
            f"method must be {' or '.join(map(repr, get_args(ExplainMethod)))}, got {method!r:.80}"
        )
    require_number("explain", "masks", masks, 2, MAX_MASKS, whole=True)
    seed = require_seed("explain", seed)
    pixels = load_image(image)
    faces = recognizer.predict(pixels).faces
    explained = [label or max(face.probabilities, key=face.probabilities.__getitem__)
                 for face in faces]  # fmt: skip
    classes = [labels.index(name) for name in explained]
    crops = recognizer.crop_faces(pixels, [face.detection for face in faces])
    maps: Sequence[NDArray[np.float32]]
    features: Sequence[tuple[FeatureEffect, ...]] = [()] * len(crops)
    if method == "cam":
        maps = _cam(recognizer, crops, classes)
    elif method == "features":
        features = recognizer.feature_effects(_stack(recognizer, crops))
        shape = recognizer.config.face_sizes[0]
        maps = [spread(*one, shape) for one in zip(features, explained, strict=True)]
    else:
        maps = occlusion_maps(
            recognizer.predict_proba,
            [crop.pixels for crop in crops],
            classes,
            masks=masks,
            seed=seed,
        )
    return Explanation(
        image=pixels,
        method=method,
        faces=tuple(map(FaceExplanation, faces, explained, maps, crops, features)),
        path=str(image) if isinstance(image, str | Path) else None,
    )


def _cam(
    recognizer: "EmotionRecognizer", crops: Sequence[FaceCrop], classes: Sequence[int]
) -> list[NDArray[np.float32]]:
    """Return each class' activation map relative to the mean of all classes.

    Softmax ignores what all logits have in common, so only differences support a label.
    """
    maps = recognizer.activation_maps(_stack(recognizer, crops))
    relative = maps - maps.mean(axis=1, keepdims=True)
    return [relative[index, chosen] for index, chosen in enumerate(classes)]


def _stack(recognizer: "EmotionRecognizer", crops: Sequence[FaceCrop]) -> NDArray[np.uint8]:
    """Return the pixels of crops, uint8 (n, height, width)."""
    size = recognizer.config.face_sizes[0]
    return np.stack([crop.pixels for crop in crops]) if crops else np.empty((0, *size), np.uint8)
