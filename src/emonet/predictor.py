"""What answers: a model with its parts put together, from images to results and figures."""

import copy
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Self, cast, overload

import numpy as np
from numpy.typing import NDArray

from emonet.composition import build_detector, build_ensemble
from emonet.config import RecognizerConfig, TestTimeAugmentation
from emonet.data import FaceDataset, Labelled, as_dataset
from emonet.errors import ConfigError, InputError
from emonet.evaluation.report import Report, make_report
from emonet.evaluation.robustness import Robustness, measure_robustness
from emonet.network.ensemble import Ensemble
from emonet.pipeline.crops import FacesBySize, faces_by_size
from emonet.pipeline.images import ImageSource, is_single_image
from emonet.pipeline.streaming import DetectorPool, stream_results
from emonet.plugin import require_number
from emonet.registry.catalog import get_catalog
from emonet.results import ImageResult
from emonet.storage.pretrained import Pretrained

__all__ = ["Predictor", "require_recognizers"]


class Predictor(Pretrained):
    """A model that answers; the base of EmotionRecognizer."""

    def _start(self, config: RecognizerConfig) -> None:
        super()._start(config)
        self._ensemble: Ensemble | None = None
        self._detectors: DetectorPool | None = None
        self._lock = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is built at first use: a copy, in another process say, builds its own."""
        return {**self.__dict__, "_ensemble": None, "_detectors": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()

    # A str is one image, although it is an iterable of str.
    @overload
    def predict(  # type: ignore[overload-overlap]
        self, images: ImageSource, *, min_score: float = 0.0
    ) -> ImageResult: ...
    @overload
    def predict(
        self, images: Iterable[ImageSource], *, min_score: float = 0.0
    ) -> list[ImageResult]: ...
    def predict(
        self, images: ImageSource | Iterable[ImageSource], *, min_score: float = 0.0
    ) -> ImageResult | list[ImageResult]:
        """Find the faces in one image or in many, and the emotion that each shows.

        Args:
            images: one image (a path, the bytes of a file, a PIL image, or an array of 2 or 3
                dimensions: uint8 RGB or grey, or float in 0..1), or an iterable of images.
            min_score: a face whose score is below, 0..1, keeps its probabilities and gets the
                label None.

        Returns:
            An ImageResult for one image, a list of them for many. An image without a face
            has no faces; that is no error.

        Raises:
            ImageError: the one image can't be read. Among many, such an image becomes a
                result with its ``error`` set, and the others are done.
            ConfigError: min_score is not in 0..1.
            NotFittedError: the recognizer was neither fitted nor loaded.
        """
        if is_single_image(images):
            (result,) = self.stream([images], min_score=min_score)
            if result.error is not None:
                raise result.error
            return result
        return list(self.stream(cast("Iterable[ImageSource]", images), min_score=min_score))

    def stream(
        self, images: Iterable[ImageSource], *, min_score: float = 0.0
    ) -> Iterator[ImageResult]:
        """Return an iterator over what predict returns for many images, in their order.

        Faces of several images go through the networks together; memory does not grow with
        the number of images. If the iterable raises, the images before get their results first.

        Args:
            images: in any form that predict takes. They are taken from the iterable some images
                ahead of the results, so a file must stay as it is until its result has come.
            min_score: as for predict.

        Raises:
            InputError: it is given one image.
            ConfigError: min_score is not in 0..1.
            NotFittedError: the recognizer was neither fitted nor loaded.
        """
        if is_single_image(images):
            raise InputError(
                f"stream takes an iterable of images, got one {type(images).__name__}: use "
                f"predict, or put it into a list"
            )
        _ = self.weights  # says so now if there are none
        if isinstance(min_score, np.floating):
            min_score = float(min_score)
        require_number("prediction", "min_score", min_score, 0, 1)
        return stream_results(
            images,
            detectors=self._get_detectors(),
            framing=self._config.framing_for(self._config.detector.name),
            face_sizes=self._config.face_sizes,
            classify=lambda faces: self._get_ensemble().predict_proba(faces),
            labels=self.labels,
            min_score=min_score,
        )

    def predict_proba(
        self, faces: NDArray[np.uint8] | Iterable[ImageSource]
    ) -> NDArray[np.float32]:
        """Tell the emotions of faces that are cut out already.

        Args:
            faces: uint8 (n, height, width) grey, or an iterable of images, each one face,
                framed as the training faces are. Resized where the size differs.

        Returns:
            float32 (n, len(labels)); rows sum to 1.

        Raises:
            ImageError: an image can't be read; says which.
            NotFittedError: the recognizer was neither fitted nor loaded.
        """
        return self._get_ensemble().predict_proba(self._by_size(faces))

    def evaluate(self, data: Labelled) -> Report:
        """Compare predictions for labelled faces with their labels.

        Args:
            data: a FaceDataset, or (images uint8 (n, height, width), class indices (n,)). Its
                labels may be some of the recognizer's.

        Raises:
            DataError: there is no face, or a label is none of the recognizer's.
            NotFittedError: the recognizer was neither fitted nor loaded.
        """
        dataset = self._dataset(data)
        return make_report(self.predict_proba(dataset.images), dataset.classes, self.labels)

    def measure_robustness(
        self, data: Labelled, *, advance: Callable[[], None] | None = None
    ) -> Robustness:
        """Measure accuracy on faces that were moved, turned, lit otherwise or made coarse.

        Args:
            data: as for evaluate.
            advance: called after every change to the faces.

        Raises:
            DataError: there is no face, or the labels are others.
            NotFittedError: the recognizer was neither fitted nor loaded.
        """
        dataset = self._dataset(data)
        return measure_robustness(
            self.predict_proba,
            dataset.images,
            dataset.classes,
            advance=advance or (lambda: None),
        )

    def with_test_time_augmentation(self, augmentation: TestTimeAugmentation) -> Self:
        """Return a recognizer that averages over other views of each face.

        It shares weights with this one, and detector and networks where they are built already;
        this one stays as it is. Figures
        that were noted do not hold for it, so its training record has none. If the model is
        calibrated, calibrate it again.

        Args:
            augmentation: ``"none"``, the face alone; ``"mirror"``, the face and its mirror
                image, in twice the time; ``"shift"``, both in place and shifted by 2 of 48
                pixels in four directions, in ten times the time.

        Raises:
            ConfigError: it is none of these.
        """
        changed = copy.copy(self)
        changed._config = replace(self._config, test_time_augmentation=augmentation)
        changed._detectors = self._detectors
        if self._ensemble is not None:
            changed._ensemble = replace(self._ensemble, augmentation=augmentation)
        if changed._config != self._config:
            changed._training = self._training.without_figures()
        return changed

    def note_evaluation(
        self, split: str, report: Report, robustness: Robustness | None = None
    ) -> None:
        """Add figures to the training record, so that the model card shows them.

        Args:
            split: the name of the faces that they are of.
            report: what evaluate returned.
            robustness: what measure_robustness returned, if it was asked.

        Raises:
            ConfigError: they are something else.
        """
        if not (
            isinstance(split, str)
            and isinstance(report, Report)
            and isinstance(robustness, Robustness | None)
        ):
            raise ConfigError(
                f"note_evaluation takes a split's name, a Report and perhaps a Robustness, got "
                f"{split!r:.80}, {type(report).__name__} and {type(robustness).__name__}"
            )
        self._training = self._training.with_evaluation(split, report, robustness)

    def _dataset(
        self, data: Labelled, *, exactly: bool = False, every_label: bool = False
    ) -> FaceDataset:
        """Check labelled data; training, unlike evaluation, takes no other size of faces."""
        return as_dataset(
            data,
            labels=self.labels,
            face_size=self._config.face_sizes[0],
            exactly=exactly,
            every_label=every_label,
        )

    def _by_size(self, faces: NDArray[np.uint8] | Iterable[ImageSource]) -> FacesBySize:
        return faces_by_size(faces, self._config.face_sizes)

    def _get_ensemble(self) -> Ensemble:
        """Build the networks at first use."""
        with self._lock:
            if self._ensemble is None:
                self._ensemble = build_ensemble(
                    get_catalog(), self._config, self.weights, self._graphs
                )
            return self._ensemble

    def _get_detectors(self) -> DetectorPool:
        """Build the first detector at first use, so that the caller hears if that fails."""
        with self._lock:
            if self._detectors is None:
                detectors = DetectorPool(
                    partial(build_detector, get_catalog(), self._config.detector)
                )
                with detectors.borrow():
                    self._detectors = detectors
            return self._detectors


def require_recognizers(function: str, *given: object) -> None:
    """Refuse what is no recognizer, such as a model's name.

    Raises:
        ConfigError: names the function and what it was given.
    """
    for one in given:
        if not isinstance(one, Predictor):
            raise ConfigError(f"{function} takes loaded recognizers, got {one!r:.200}")
