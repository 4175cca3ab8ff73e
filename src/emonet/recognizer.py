"""EmotionRecognizer: how a recognizer comes to be, and what it learns."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from emonet.composition import Features, describe_component, describe_network
from emonet.config import Framing, HeadConfig, RecognizerConfig
from emonet.data import Labelled
from emonet.evaluation.calibration import learn_temperature, measure_calibration
from emonet.exports import quantise_graphs
from emonet.labels import FER2013, label_set
from emonet.pipeline.crops import measure_framing
from emonet.plugin import ConfigError, Json, require_size
from emonet.predictor import Predictor, require_recognizers
from emonet.registry.catalog import Kind, get_catalog
from emonet.seeds import require_seed
from emonet.storage.config_json import config_to_json
from emonet.training.distillation import Distillation, TeacherSees
from emonet.training.ensembling import learn_weights, merge
from emonet.training.recipes import Precision, Recipe, get_recipe
from emonet.training.record import merge_records

__all__ = ["EmotionRecognizer"]

logger = logging.getLogger("emonet")


class EmotionRecognizer(Predictor):
    """Finds faces in images and tells which emotion each of them shows.

    Load one with ``from_pretrained``, or describe one here and ``fit`` it.

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

    Examples:
        >>> recognizer = EmotionRecognizer("resnet18").fit(train, valid)  # doctest: +SKIP
    """

    #: Whether ``fit`` starts from the backbone's own pretrained weights.
    _pretrained = False

    def __init__(
        self,
        backbone: str = "resnet18",
        features: Features = (),
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
        height, width = require_size("recognizer", "face_size", face_size, 1)
        if not isinstance(head, HeadConfig | None):
            raise ConfigError(f"head must be a HeadConfig, got {head!r:.200}")
        catalog = get_catalog()
        network = describe_network(
            catalog,
            backbone,
            backbone_config,
            features,
            head,
            face_size=(height, width),
            centred=centred,
            pretrained=pretrained,
        )
        config = RecognizerConfig(
            labels=label_set(labels),
            detector=describe_component(catalog, Kind.DETECTOR, detector, detector_config or {}),
            networks=(network,),
        )
        self._start(config)
        self._pretrained = pretrained

    @classmethod
    def ensemble(cls, members: Iterable["EmotionRecognizer"]) -> Self:
        """Put the networks of several recognizers into one, all with the same say.

        Args:
            members: fitted or loaded. Backbones, features, face sizes and the order of the
                labels may differ. Detector, framing, test-time augmentation and order of the
                labels are the first member's, so all must have learnt from faces that are
                framed alike.

        Returns:
            A recognizer like any other; ``fit_weights`` learns who has how much say.

        Raises:
            ConfigError: there is no member, label sets differ, or a member is a calibrated
                ensemble, such as the bundled default: give its own members.
            NotFittedError: a member has no weights yet.
        """
        members = list(members)
        require_recognizers("ensemble", *members)
        parts = [(member.config, member.weights, member._graphs) for member in members]
        config, weights, graphs = merge(parts)
        merged = cls._of(config)
        merged._weights, merged._graphs = weights, graphs
        records = [(member.config, member.training) for member in members]
        merged._training = merge_records(config, records)
        return merged

    @classmethod
    def like(cls, other: "EmotionRecognizer", *, labels: Sequence[str] | None = None) -> Self:
        """Return a recognizer of the same parts as another, which has learnt nothing.

        Args:
            other: whose network, detector, framing and test-time augmentation are meant.
            labels: other ones; None: the same.
        """
        require_recognizers("like", other)
        chosen = other.labels if labels is None else label_set(labels)
        made = cls._of(replace(other.config.unlearnt(), labels=chosen))
        made._pretrained = other._pretrained
        return made

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
        teacher: "EmotionRecognizer | None" = None,
        teacher_share: float = 0.7,
        teacher_sees: TeacherSees = "faces",
        start_from: "EmotionRecognizer | None" = None,
    ) -> Self:
        """Train the network; what was learnt before is forgotten.

        Args:
            train: a FaceDataset, or (images uint8 (n, height, width), class indices (n,)).
            validation_data: likewise; chooses the epoch that is kept. By default a tenth of
                ``train`` is held out for it.
            recipe: a name in ``RECIPES`` or a Recipe.
            epochs: instead of the recipe's own number.
            precision: instead of the recipe's own.
            seed: of the initial weights, shuffling and augmentation.
            checkpoint_dir: every epoch is saved here; a run that was interrupted goes on.
            feature_cache: a folder where feature vectors are kept, to be found there again.
            teacher: has a say in what is learnt: the targets are ``(1 - teacher_share) * label
                + teacher_share * its probabilities`` (Hinton et al. 2015).
            teacher_share: 0..1.
            teacher_sees: ``"faces"``: it is asked once, about the faces as they are; or
                ``"batches"``: as the student sees them but in plain light (Beyer et al. 2022).
            start_from: a recognizer with an equal network, this one for instance, whose weights
                training starts from; the last layer starts afresh if its labels are others.

        Returns:
            The recognizer itself.

        Raises:
            ConfigError: the teacher is no recognizer or has other labels, the share is not in
                0..1, the seed is none, or there are several networks.
            DataError: the data are malformed, lack a class, or have other labels.
            TrainingError: the loss diverged, or checkpoint_dir holds another run.
            WeightsError: ``start_from`` has another network.
        """
        from emonet.training.session import train_network

        seed = require_seed("fit", seed)
        require_recognizers("fit", *(one for one in (teacher, start_from) if one is not None))
        train_set = self._dataset(train, exactly=True, every_label=True)
        # What could fail after hours of training fails now.
        config_to_json(self._config)
        chosen = get_recipe(recipe, epochs=epochs, precision=precision)
        taught_by = None if teacher is None else Distillation(teacher, teacher_share, teacher_sees)
        framing = self._framing_of(train_set.images)
        if self._weights is not None and start_from is None:
            logger.warning(
                "fit starts anew, and what this recognizer has learnt is forgotten: pass "
                "start_from=recognizer to train on from its weights"
            )
        weights, self._training = train_network(
            get_catalog(),
            self._config,
            chosen,
            train_set,
            None if validation_data is None else self._dataset(validation_data, exactly=True),
            pretrained=self._pretrained,
            seed=seed,
            checkpoint_dir=checkpoint_dir,
            feature_cache=feature_cache,
            distillation=taught_by,
            start_from=start_from,
        )
        self._config = self._config.unlearnt()
        self._ensemble, self._graphs = None, {}
        self._weights = {self._config.networks[0].name: weights}
        if framing is not None:
            # Those of other detectors were measured on other faces.
            self._config = replace(self._config, framing={}).with_framing(*framing)
        return self

    def fit_weights(self, data: Labelled, *, seed: int = 0) -> Self:
        """Learn the weights of an ensemble's members by differential evolution.

        As in the seed paper's section 6: in 0..1, for the highest accuracy; the log-loss
        decides between equals. ``training.learnt_weights`` tells what came out, with each
        member and the plain mean beside it.

        Args:
            data: faces that no member learnt from.
            seed: of the search.

        Returns:
            The recognizer itself.

        Raises:
            ConfigError: it has one network only, or the seed is none.
            DataError: there are too few faces, or the labels are others.
            NotFittedError: the recognizer was neither fitted nor loaded.
        """
        seed = require_seed("fit_weights", seed)
        dataset, networks = self._dataset(data), self._config.networks
        if len(networks) < 2:
            raise ConfigError("One network alone needs no weights")
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
        self._config = replace(self._config, networks=tuple(weighted), temperature=1.0)
        shares = [learnt.weights[name] for name in names]
        self._ensemble = replace(ensemble, weights=shares, temperature=1.0)
        self._training = replace(
            self._training.without_figures(),
            command="EmotionRecognizer.fit_weights",
            learnt_weights=learnt,
        )
        return self

    def quantise(self, faces: NDArray[np.uint8]) -> Self:
        """Have onnxruntime compute convolutions in int8: faster, and a little less exact.

        Keras runs what it ran before, and so does training. Calibrate afterwards: figures
        that were noted before are dropped.

        Args:
            faces: uint8 (n, height, width) training faces. The ranges of values are measured on
                some 128 of them.

        Returns:
            The recognizer itself.

        Raises:
            ExportError: a network has feature extractors, or Keras can't export it.
            MissingDependencyError: onnxruntime lacks a package to do it.
            NotFittedError: the recognizer was neither fitted nor loaded.
        """
        self._graphs = quantise_graphs(
            get_catalog(), self._config, self.weights, self._by_size(faces)
        )
        self._config = self._config.with_graph_precision("int8")
        self._ensemble = None
        self._training = self._training.as_quantised()
        return self

    def calibrate(self, data: Labelled, *, seed: int = 0) -> Self:
        """Learn the temperature that makes scores tell how often they are right.

        Temperature scaling (Guo et al. 2017) changes no label. A random half of the faces
        teaches it, each class in the same proportion; ``training.calibration`` tells what it
        is worth on the other half. Reports that were noted before are dropped, because their
        log loss holds no longer.

        Args:
            data: faces that no network learnt from.
            seed: of the halves.

        Returns:
            The recognizer itself.

        Raises:
            ConfigError: the seed is none.
            DataError: there are too few faces, or the labels are others.
            NotFittedError: the recognizer was neither fitted nor loaded.
        """
        seed = require_seed("calibrate", seed)
        learning, others = self._dataset(data).hold_out(0.5, seed=seed)
        raw = replace(self._get_ensemble(), temperature=1.0)
        temperature = learn_temperature(
            raw.predict_proba(self._by_size(learning.images)), learning.classes
        )
        before = raw.predict_proba(self._by_size(others.images))
        self._config = replace(self._config, temperature=temperature)
        self._ensemble = replace(raw, temperature=temperature)
        calibration = measure_calibration(
            temperature, before, others.classes, self.labels, learnt_on=len(learning), seed=seed
        )
        self._training = replace(self._training, evaluation={}, calibration=calibration)
        return self

    def measure_framing(self, faces: NDArray[np.uint8]) -> Self:
        """Learn how training faces are framed in terms of the detector's boxes.

        ``fit`` does it; do it again after loading the recognizer with another detector.

        Args:
            faces: uint8 (n, height, width) grey faces as the training set frames them.

        Returns:
            The recognizer itself; unchanged if the detector finds too few of the faces.

        Raises:
            ImageError: the faces are no such array.
        """
        if (framing := self._framing_of(faces)) is not None:
            self._config = self._config.with_framing(*framing)
        return self

    def _framing_of(self, faces: NDArray[np.uint8]) -> tuple[str, Framing] | None:
        """Measure how faces are framed in terms of the detector, which is named beside it."""
        size = self._config.face_sizes[0]
        with self._get_detectors().borrow() as detector:
            framing = measure_framing(detector, self._by_size(faces)[size])
        return None if framing is None else (self._config.detector.name, framing)
