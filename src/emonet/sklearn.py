"""A scikit-learn classifier of face images: for pipelines, cross-validation and calibration."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from emonet.errors import DataError
from emonet.plugin import Json
from emonet.recognizer import EmotionRecognizer
from emonet.support.dependencies import require
from emonet.training.recipes import Recipe

require("train", "emonet.sklearn")

from sklearn.base import BaseEstimator, ClassifierMixin  # noqa: E402
from sklearn.utils import check_random_state  # noqa: E402
from sklearn.utils.multiclass import check_classification_targets  # noqa: E402
from sklearn.utils.validation import check_is_fitted, validate_data  # noqa: E402

__all__ = ["EmotionClassifier"]

MAX_SEED = 2**31 - 1


class EmotionClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Train a network on face images, with the interface of scikit-learn.

    Samples are grey faces: (n, height * width) or (n, height, width). A tenth of them is held out
    from training to choose the best epoch.

    Args:
        backbone: a name from ``list_backbones()``.
        features: names from ``list_feature_extractors()``.
        backbone_config: settings that differ from the backbone's defaults.
        face_size: (height, width) that faces are resized to, pixels.
        image_shape: (height, width) of a row of ``X``; one of them may be -1. By default rows are
            square images.
        pixel_range: the values of black and white. By default 0 and 255 for uint8, otherwise the
            smallest and the largest value in the training data. Other values are clipped.
        recipe: a name in ``RECIPES``, or a Recipe.
        epochs: replaces the recipe's number of epochs.
        detector: detector of ``recognizer_`` for photos; training needs none.
        random_state: seed of initial weights, shuffling and augmentation.

    Attributes:
        classes_: the classes, in the order of probability columns.
        recognizer_: the trained EmotionRecognizer. Its labels are the classes as text.
        image_shape_: (height, width) of a row of ``X``.
        pixel_range_: the values of black and white.
        n_features_in_: pixels of a sample.

    Examples:
        >>> from sklearn.model_selection import cross_val_score
        >>> cross_val_score(EmotionClassifier(epochs=20), X, y)  # doctest: +SKIP
    """

    def __init__(
        self,
        backbone: str = "resnet18",
        features: Sequence[str] = (),
        *,
        backbone_config: Mapping[str, Json] | None = None,
        face_size: tuple[int, int] = (48, 48),
        image_shape: tuple[int, int] | None = None,
        pixel_range: tuple[float, float] | None = None,
        recipe: str | Recipe = "scratch",
        epochs: int | None = None,
        detector: str = "whole_image",
        random_state: "int | np.random.RandomState | None" = None,
    ) -> None:
        self.backbone = backbone
        self.features = features
        self.backbone_config = backbone_config
        self.face_size = face_size
        self.image_shape = image_shape
        self.pixel_range = pixel_range
        self.recipe = recipe
        self.epochs = epochs
        self.detector = detector
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        """Train a new network.

        Args:
            X: (n, height * width) or (n, height, width) faces, numbers.
            y: (n,) classes, numbers or text.

        Raises:
            ValueError: the data are malformed, or have fewer than two classes.
        """
        X, image_shape = _flat(X)  # noqa: N806
        X, y = validate_data(self, X, y)  # noqa: N806
        check_classification_targets(y)
        self.classes_, encoded = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError("EmotionClassifier needs two or more classes, got 1 class")
        self.image_shape_ = self._shape(image_shape, X.shape[1])
        self.pixel_range_ = self.pixel_range or _range(X)
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(MAX_SEED)
        recognizer = EmotionRecognizer(
            self.backbone,
            self.features,
            labels=[str(one) for one in self.classes_.tolist()],
            detector=self.detector,
            backbone_config=self.backbone_config,
            face_size=self.face_size,
        )
        self.recognizer_ = recognizer.fit(
            (self._faces(X), encoded), recipe=self.recipe, epochs=self.epochs, seed=int(seed)
        )
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """Return the probabilities of faces, float64 (n, classes), in the order of classes_."""
        check_is_fitted(self)
        X, _ = _flat(X)  # noqa: N806
        X = validate_data(self, X, reset=False)  # noqa: N806
        probabilities = self.recognizer_.predict_proba(self._faces(X)).astype(np.float64)
        return np.asarray(probabilities / probabilities.sum(axis=1, keepdims=True))

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """Return the most probable class of each face, (n,)."""
        probabilities = self.predict_proba(X)
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn's checks that rows of a few values, which are no faces, score low."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags

    def _shape(self, given: tuple[int, int] | None, pixels: int) -> tuple[int, int]:
        """Return (height, width) of a row; ``given`` is the shape of three-dimensional X."""
        side = round(pixels**0.5)
        shape = given or self.image_shape or (side, side)
        try:
            height, width = np.empty(pixels).reshape(shape).shape
        except (TypeError, ValueError):
            raise DataError(
                f"A row of {pixels} values is no image of {shape!r:.80} pixels: pass image_shape="
                f"(height, width)"
            ) from None
        return height, width

    def _faces(self, X: NDArray[Any]) -> NDArray[np.uint8]:  # noqa: N803
        """Return rows of X as faces, uint8 (n, *face_size)."""
        import cv2

        black, white = self.pixel_range_
        height, width = self.face_size
        grey = X
        if X.dtype != np.uint8 or (black, white) != (0, 255):
            with np.errstate(over="ignore"):
                grey = (X.astype(np.float64) - black) / (white - black or 1) * 255
        images = np.clip(np.rint(grey), 0, 255).astype(np.uint8).reshape(-1, *self.image_shape_)
        if self.image_shape_ == (height, width):
            return np.asarray(images)
        smaller = height <= images.shape[1] and width <= images.shape[2]
        method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        resized = [cv2.resize(image, (width, height), interpolation=method) for image in images]
        return np.asarray(resized, np.uint8)


def _flat(X: Any) -> tuple[Any, tuple[int, int] | None]:  # noqa: N803
    """Return (n, height, width) images as rows, and their shape; return other values as given."""
    if getattr(X, "ndim", None) != 3:
        return X, None
    images = np.asarray(X)
    return images.reshape(len(images), -1), images.shape[1:]


def _range(X: NDArray[Any]) -> tuple[float, float]:  # noqa: N803
    """Return the values of black and white in training data."""
    if X.dtype == np.uint8:
        return 0.0, 255.0
    return float(X.min()), float(X.max())
