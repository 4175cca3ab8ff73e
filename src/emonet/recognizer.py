"""EmotionRecognizer: detector, crop, networks, labels and calibration put together."""

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self, cast, overload

import numpy as np
from numpy.typing import NDArray

from emonet.composition import (
    Components,
    build_detector,
    build_ensemble,
    component,
    describe_network,
)
from emonet.config import HeadConfig, RecognizerConfig
from emonet.data import FaceDataset, Labelled, as_dataset
from emonet.ensembling import learn_weights, merge
from emonet.evaluation.report import Report, make_report
from emonet.labels import FER2013
from emonet.network.ensemble import Ensemble
from emonet.pipeline.crops import FacesBySize, faces_by_size, measure_framing
from emonet.pipeline.images import ImageSource, is_single_image
from emonet.plugin import Detector, Json
from emonet.prediction import stream_results
from emonet.registry.catalog import Kind, get_catalog
from emonet.results import ImageResult
from emonet.storage.pretrained import Pretrained
from emonet.training.recipes import Precision, Recipe, get_recipe
from emonet.training.record import TrainingRecord, merge_records

__all__ = ["EmotionRecognizer"]

logger = logging.getLogger("emonet")


class EmotionRecognizer(Pretrained):
    """Finds faces in images and tells which emotion each of them shows.

    Load one with :meth:`from_pretrained`, or describe one here and :meth:`fit` it.

    Args:
        backbone: a name from ``list_backbones()``.
        features: names from ``list_feature_extractors()``, or a mapping from such names to
            configurations; fused with the backbone's features.
        labels: the classes in the order of probability columns.
        detector: a name from ``list_detectors()``.
        backbone_config: what differs from the backbone's defaults.
        detector_config: what differs from the detector's defaults.
        head: the layers between features and probabilities.
        face_size: (height, width) that faces are resized to, pixels.
        centred: subtract the training set's mean face, as the seed paper does.
        pretrained: start training from the backbone's own pretrained weights.

    Raises:
        ComponentNotFoundError: no plugin offers a component of that name.
        ConfigError: a value is not legal.

    Example:
        >>> recognizer = EmotionRecognizer("resnet18").fit(train, valid)  # doctest: +SKIP
    """

    def __init__(
        self,
        backbone: str = "resnet18",
        features: Components = (),
        *,
        labels: Sequence[str] = FER2013,
        detector: str = "dlib_hog",
        backbone_config: Mapping[str, Json] | None = None,
        detector_config: Mapping[str, Json] | None = None,
        head: HeadConfig | None = None,
        face_size: tuple[int, int] = (48, 48),
        centred: bool = False,
        pretrained: bool = False,
    ) -> None:
        height, width = face_size
        catalog = get_catalog()
        network = describe_network(
            catalog,
            backbone,
            backbone_config,
            features,
            head,
            face_size=(height, width),
            centred=centred,
        )
        self._start(
            RecognizerConfig(
                labels=tuple(labels),
                detector=component(catalog, Kind.DETECTOR, detector, detector_config or {}),
                networks=(network,),
            ),
            pretrained=pretrained,
        )

    def _start(self, config: RecognizerConfig, *, pretrained: bool = False) -> None:
        super()._start(config)
        self._pretrained = pretrained
        self._ensemble: Ensemble | None = None
        self._detector: Detector | None = None
        self._lock = threading.RLock()

    @classmethod
    def ensemble(cls, members: Iterable["EmotionRecognizer"]) -> Self:
        """Put the networks of several recognizers into one, all with the same say.

        Args:
            members: fitted or loaded. Backbones, features, face sizes and the order of the
                labels may differ. Detector, framing and order of the labels are the first
                member's, so all must have learnt from faces that are framed alike.

        Returns:
            A recognizer like any other; :meth:`fit_weights` learns who has how much say.

        Raises:
            ConfigError: there is no member, or label sets differ.
            NotFittedError: a member has no weights yet.
        """
        members = list(members)
        config, weights = merge([(member.config, member.weights) for member in members])
        merged = cls.__new__(cls)
        merged._start(config)
        merged._weights = weights
        merged._training = merge_records(
            config, [(member.config, member.training) for member in members]
        )
        return merged

    # A str is one image, although it is an iterable of str.
    @overload
    def predict(self, images: ImageSource) -> ImageResult: ...  # type: ignore[overload-overlap]
    @overload
    def predict(self, images: Iterable[ImageSource]) -> list[ImageResult]: ...
    def predict(
        self, images: ImageSource | Iterable[ImageSource]
    ) -> ImageResult | list[ImageResult]:
        """Find the faces in one image or in many, and the emotion that each shows.

        Args:
            images: one image (a path, the bytes of a file, a PIL image, or an array of 2 or 3
                dimensions: uint8 RGB or grey, or float in 0..1), or an iterable of images.

        Returns:
            An ImageResult for one image, a list of them for many. An image without a face
            has no faces; that is no error.

        Raises:
            ImageError: the one image can't be read. Among many, such an image becomes a
                result with its ``error`` set, and the others are done.
            NotFittedError: the recognizer was neither fitted nor loaded.
        """
        if is_single_image(images):
            (result,) = self.stream([images])
            if result.error is not None:
                raise result.error
            return result
        return list(self.stream(cast("Iterable[ImageSource]", images)))

    def stream(self, images: Iterable[ImageSource]) -> Iterator[ImageResult]:
        """Return an iterator over what predict returns for many images, in their order.

        Faces of several images go through the networks together; memory does not grow with
        the number of images.
        """
        _ = self.weights  # says so now if there are none
        return stream_results(
            images,
            detector=self._get_detector(),
            framing=self._config.framing_for(self._config.detector.name),
            face_sizes=self._config.face_sizes,
            classify=lambda faces: self._get_ensemble().predict_proba(faces),
            labels=self.labels,
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
            ImageError: an image can't be read.
            NotFittedError: the recognizer was neither fitted nor loaded.
        """
        return self._get_ensemble().predict_proba(self._by_size(faces))

    def fit(
        self,
        train: Labelled,
        validation_data: Labelled | None = None,
        *,
        recipe: str | Recipe = "scratch",
        epochs: int | None = None,
        precision: Precision | None = None,
        seed: int = 0,
        checkpoint_dir: str | Path | None = None,
        feature_cache: str | Path | None = None,
        command: str | None = None,
    ) -> Self:
        """Train the network; what was learnt before is forgotten.

        Args:
            train: a FaceDataset, or (images uint8 (n, height, width), class indices (n,)).
            validation_data: likewise; chooses the epoch that is kept. By default a tenth of
                ``train`` is held out for it.
            recipe: ``"scratch"``, ``"paper"`` or a Recipe.
            epochs: instead of the recipe's own number.
            precision: instead of the recipe's own.
            seed: of the initial weights, shuffling and augmentation.
            checkpoint_dir: every epoch is saved here; a run that was interrupted goes on.
            feature_cache: a folder where feature vectors are kept, to be found there again.
            command: what to note as the command that did it.

        Returns:
            The recognizer itself.

        Raises:
            DataError: the data are malformed, lack a class, or have other labels.
            TrainingError: the loss diverged, or checkpoint_dir holds another run.
        """
        from emonet.training.session import train_network

        train_set = self._dataset(train, sized=True)
        weights, self._training = train_network(
            get_catalog(),
            self._config,
            get_recipe(recipe, epochs=epochs, precision=precision),
            train_set,
            None if validation_data is None else self._dataset(validation_data, sized=True),
            pretrained=self._pretrained,
            seed=seed,
            checkpoint_dir=checkpoint_dir,
            feature_cache=feature_cache,
            command=command,
        )
        self._ensemble, self._weights = None, {self._config.networks[0].name: weights}
        return self.measure_framing(train_set.images)

    def fit_weights(self, data: Labelled, *, seed: int = 0, command: str | None = None) -> Self:
        """Learn the weights of an ensemble's members by differential evolution.

        As in the seed paper's section 6: in 0..1, for the highest accuracy; the log-loss
        decides between equals. ``training.learnt_weights`` tells what came out, with each
        member and the plain mean beside it.

        Args:
            data: faces that no member learnt from.
            seed: of the search.
            command: what to note as the command that did it.

        Returns:
            The recognizer itself.

        Raises:
            ConfigError: it has one network only.
            DataError: there are too few faces, or the labels are others.
            NotFittedError: the recognizer was neither fitted nor loaded.
        """
        dataset, networks = self._dataset(data), self._config.networks
        ensemble = self._get_ensemble()
        members = ensemble.members_proba(self._by_size(dataset.images))
        names = [network.name for network in networks]
        learnt = learn_weights(dict(zip(names, members, strict=True)), dataset.classes, seed=seed)
        if not learnt.beat_the_mean:
            logger.warning(
                "The learnt weights do not beat the plain mean on held-out faces: "
                "%.4f against %.4f", learnt.held_out, learnt.mean,
            )  # fmt: skip
        weighted = (replace(part, weight=learnt.weights[part.name]) for part in networks)
        self._config = replace(self._config, networks=tuple(weighted))
        self._ensemble = ensemble.with_weights([learnt.weights[name] for name in names])
        self._training = replace(
            self._training or TrainingRecord(),
            command=command or "EmotionRecognizer.fit_weights",
            learnt_weights=learnt,
            evaluation={},
        )
        return self

    def evaluate(self, data: Labelled) -> Report:
        """Compare predictions for labelled faces with their labels.

        Args:
            data: a FaceDataset, or (images uint8 (n, height, width), class indices (n,)).

        Raises:
            DataError: there is no face, or the labels are others.
            NotFittedError: the recognizer was neither fitted nor loaded.
        """
        dataset = self._dataset(data)
        return make_report(self.predict_proba(dataset.images), dataset.classes, self.labels)

    def measure_framing(self, faces: NDArray[np.uint8]) -> Self:
        """Learn how training faces are framed in terms of the detector's boxes.

        ``fit`` does it; do it again after loading the recognizer with another detector.

        Args:
            faces: uint8 (n, height, width) grey faces as the training set frames them.

        Returns:
            The recognizer itself; unchanged if the detector finds too few of the faces.
        """
        framing = measure_framing(self._get_detector(), faces)
        if framing is not None:
            self._config = self._config.with_framing(self._config.detector.name, framing)
        return self

    def note_evaluation(self, split: str, report: Report) -> None:
        """Add a report to the training record, so that the model card shows it."""
        self._training = (self._training or TrainingRecord()).with_evaluation(split, report)

    def _dataset(self, data: Labelled, *, sized: bool = False) -> FaceDataset:
        """Check labelled data; training, unlike evaluation, takes no other size of faces."""
        size = self._config.face_sizes[0] if sized else None
        return as_dataset(data, labels=self.labels, face_size=size)

    def _by_size(self, faces: NDArray[np.uint8] | Iterable[ImageSource]) -> FacesBySize:
        return faces_by_size(faces, self._config.face_sizes)

    def _get_ensemble(self) -> Ensemble:
        """Build the networks at first use."""
        with self._lock:
            if self._ensemble is None:
                self._ensemble = build_ensemble(get_catalog(), self._config, self.weights)
            return self._ensemble

    def _get_detector(self) -> Detector:
        with self._lock:
            if self._detector is None:
                self._detector = build_detector(get_catalog(), self._config.detector)
            return self._detector
