"""EmotionRecognizer: one model at work."""

import copy
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, Self, cast, get_args, overload

import numpy as np
from numpy.typing import NDArray

from emonet.assembly.components import Features, describe_component, describe_network, portable
from emonet.assembly.exports import ExportFormat, export, export_format, quantise, with_graphs
from emonet.assembly.sessions import Sessions
from emonet.config import (
    Alignment,
    ClassPrior,
    Framing,
    HeadConfig,
    ModelConfig,
    TestTimeAugmentation,
)
from emonet.data import FaceDataset, Labelled, as_dataset
from emonet.data.groups import as_groups
from emonet.errors import ConfigError, InputError
from emonet.evaluation.calibration import calibrate
from emonet.evaluation.comparison import compare
from emonet.evaluation.groups import audit
from emonet.evaluation.report import make_report
from emonet.evaluation.robustness import measure_robustness
from emonet.labels import FER2013, label_set
from emonet.model import Model, Weights
from emonet.network.quantising import MEASURED_FACES
from emonet.pipeline.boxes import GivenBoxes
from emonet.pipeline.crops import has_own_square, located_crops
from emonet.pipeline.framing import evenly_spread, measure_framing
from emonet.pipeline.images import (
    ImageSource,
    conversion_hint,
    is_folder,
    is_single_image,
    load_image,
)
from emonet.pipeline.streaming import stream_results
from emonet.plugin import Json, require_number, require_size
from emonet.records import AuditReport, Comparison, Report, Robustness, Teaching, TrainingRecord
from emonet.registry.catalog import Kind
from emonet.results import Detection, FaceCrop, FeatureEffect, ImageResult, VideoFrame
from emonet.runtimes import RUNTIMES, Device, RuntimeName
from emonet.runtimes.base import require_device
from emonet.runtimes.batching import BATCH_SIZE
from emonet.storage.card import require_license
from emonet.storage.config_json import config_to_json
from emonet.storage.folder import EXPORT_MARKS, Dtype, require_no_other, write_model
from emonet.storage.hub import push_folder, require_repository_name
from emonet.storage.sources import load_model
from emonet.support.dependencies import require
from emonet.support.files import atomic_write
from emonet.support.image_files import image_files
from emonet.support.progress import progress_bar
from emonet.support.seeds import require_seed
from emonet.support.versions import emonet_version
from emonet.training.ensembling import fit_weights, merge
from emonet.training.recipes import Precision, Recipe, get_recipe

if TYPE_CHECKING:
    import keras

    from emonet.explain.explanation import ExplainMethod, Explanation
    from emonet.video.smoothing import Smoothing

logger = logging.getLogger("emonet")


class EmotionRecognizer:
    """Find faces in images and classify their expressions.

    Load a recognizer with ``from_pretrained``, or describe a new one and ``fit`` it.

    Methods that learn or note something (``fit``, ``fit_weights``, ``calibrate``, ``quantise``,
    ``measure_framing``, ``note_evaluation``, ``set_record``) change the recognizer and return it.
    Methods called ``with_...`` return a changed copy and leave the recognizer as it is. All
    others change nothing. Any number of threads may predict at once.

    Args:
        backbone: a name from ``list_backbones()``.
        features: names from ``list_feature_extractors()``, or a mapping from names to
            configurations. Their vectors are fused with the backbone's features.
        labels: the classes, in the order of probability columns.
        detector: a name from ``list_detectors()``.
        backbone_config: settings that differ from the backbone's defaults.
        detector_config: settings that differ from the detector's defaults.
        head: the layers between features and probabilities.
        face_size: (height, width) that faces are resized to, pixels.
        alignment: ``"eyes"`` turns the crop of a tilted head, so that its eyes are level, if the
            detector has landmarks; ``"none"`` leaves it as it is.
        subtract_mean_face: subtract the mean training face, as the paper does.
        pretrained: start training from the backbone's own pretrained weights.
        device: ``"cpu"``, ``"cuda"``, or ``"auto"`` for a GPU if the runtime finds one.
        batch_size: as for from_pretrained.

    Raises:
        ComponentNotFoundError: no plugin offers a component of that name.
        ConfigError: a value is not legal.

    Examples:
        >>> recognizer = EmotionRecognizer("resnet18").fit(train, valid)  # doctest: +SKIP
    """

    def __init__(
        self,
        backbone: str = "resnet18",
        features: Features = (),
        *,
        labels: Sequence[str] = FER2013,
        detector: str = "yunet",
        backbone_config: Mapping[str, Json] | None = None,
        detector_config: Mapping[str, Json] | None = None,
        head: HeadConfig | None = None,
        face_size: tuple[int, int] = (48, 48),
        alignment: Alignment = "eyes",
        subtract_mean_face: bool = False,
        pretrained: bool = False,
        device: Device = "auto",
        batch_size: int = BATCH_SIZE,
    ) -> None:
        height, width = require_size("recognizer", "face_size", face_size, 1)
        if not isinstance(head, HeadConfig | None):
            raise ConfigError(f"head must be a HeadConfig, got {head!r:.200}")
        network = describe_network(
            backbone,
            backbone_config,
            features,
            head,
            face_size=(height, width),
            subtract_mean_face=subtract_mean_face,
            pretrained=pretrained,
        )
        config = ModelConfig(
            labels=label_set(labels),
            detector=describe_component(Kind.DETECTOR, detector, detector_config or {}),
            networks=(network,),
            alignment=alignment,
        )
        self._hold(Model(config=config), device, batch_size, pretrained)

    def _hold(
        self,
        model: Model,
        device: Device = "auto",
        batch_size: int = BATCH_SIZE,
        pretrained: bool = False,
    ) -> None:
        """Set every attribute of a new instance."""
        _require_legal(device, batch_size)
        self._model = model
        self._sessions = Sessions(model, device, batch_size)
        self._pretrained = pretrained

    def _become(self, model: Model) -> Self:
        """Exchange the model; this is the only place where a recognizer changes."""
        self._sessions = self._sessions.of(model)
        self._model = model
        return self

    @classmethod
    def _of(cls, model: Model, *settings: Any) -> Self:
        """Return a recognizer of a model; the settings are those of _hold."""
        made = cls.__new__(cls)
        made._hold(model, *settings)
        return made

    def __repr__(self) -> str:
        """Return networks, labels and state in one line."""
        config = self._model.config
        networks = ", ".join(network.name for network in config.networks)
        state = "" if self._model.weights else ", not fitted"
        return (
            f"EmotionRecognizer({networks}; {len(config.labels)} labels, "
            f"detector {config.detector.name}{state})"
        )

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path | None = None,
        *,
        detector: str | None = None,
        detector_config: Mapping[str, Json] | None = None,
        runtime: RuntimeName | None = None,
        device: Device = "auto",
        batch_size: int = BATCH_SIZE,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: str | None = None,
        local_files_only: bool = False,
    ) -> Self:
        """Load a recognizer.

        Args:
            source: the name of a bundled model (by default ``"default"``), the path of a model
                folder, or a Hub repository ``"org/name"``, tried in this order. Write
                ``"./fast"`` for a folder called ``fast``.
            detector: use this detector instead of the model's own.
            detector_config: settings of the detector that differ from the model's, or from the
                defaults of another detector.
            runtime: ``"onnxruntime"`` or ``"keras"``. By default, networks with a graph run in
                onnxruntime and others in Keras.
            device: ``"cpu"``, ``"cuda"``, or ``"auto"`` for a GPU if the runtime finds one.
            batch_size: the most faces that a network computes at once. A smaller number needs less
                memory; a larger number may suit a GPU.
            revision: branch, tag or commit of a Hub repository.
            cache_dir: folder for files from the Hub; by default the Hub's own cache.
            token: token for private repositories; by default the one you logged in with.
            local_files_only: use only the Hub's cache.

        Raises:
            ModelNotFoundError: there is no such model.
            ConfigError: config.json is malformed, there is no such runtime or device, or
                batch_size is not a whole number of 1 or more.
            ComponentNotFoundError: the model needs a plugin that is not installed.
            MissingDependencyError: the model needs Keras, which is not installed.
            WeightsError: a file is missing, altered or damaged, or has no graph for onnxruntime.
            HubError: the Hub can't be reached or refuses.

        Examples:
            >>> EmotionRecognizer.from_pretrained("tiny")
            EmotionRecognizer(resnet18; 7 labels, detector yunet)
        """
        if runtime not in (None, *get_args(RuntimeName)):
            raise ConfigError(f"runtime must be 'onnxruntime' or 'keras', got {runtime!r:.80}")
        _require_legal(device, batch_size)
        model = load_model(
            source,
            detector=detector,
            detector_config=detector_config,
            runtime=runtime,
            revision=revision,
            cache_dir=cache_dir,
            token=token,
            local_files_only=local_files_only,
        )
        recognizer = cls._of(model, device, batch_size)
        if device == "cuda":
            for name in dict.fromkeys(recognizer.runtimes.values()):
                require_device(name, device, RUNTIMES[name].devices())
        return recognizer

    @classmethod
    def ensemble(cls, members: Iterable["EmotionRecognizer"]) -> Self:
        """Combine the networks of several recognizers, each recognizer with the same weight.

        Args:
            members: fitted or loaded recognizers. Backbones, features, face sizes and the order
                of the labels may differ. Detector, framing, test-time augmentation and order of
                the labels come from the first member, so all must have been trained on faces
                that are framed alike.

        Returns:
            A recognizer; ``fit_weights`` fits the weights of its members.

        Raises:
            ConfigError: there is no member, label sets differ, or a member is a calibrated
                ensemble, such as the bundled default.
            NotFittedError: a member has no weights yet.
        """
        members = list(members)
        require_recognizers("ensemble", *members)
        return cls._of(merge([member._model for member in members]))

    @classmethod
    def like(cls, other: "EmotionRecognizer", *, labels: Sequence[str] | None = None) -> Self:
        """Return an untrained recognizer with the parts of another.

        Args:
            other: the recognizer whose network, detector, framing and test-time augmentation
                are copied.
            labels: other labels; None keeps them.
        """
        require_recognizers("like", other)
        model = other._model.untrained()
        if labels is not None:
            model = replace(model, config=replace(model.config, labels=label_set(labels)))
        sessions = other._sessions
        return cls._of(model, sessions.device, sessions.batch_size, other._pretrained)

    @property
    def model(self) -> Model:
        """The model: config, weights, graphs and record as one frozen value."""
        return self._model

    @property
    def config(self) -> ModelConfig:
        """The configuration, as config.json holds it."""
        return self._model.config

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of probability columns."""
        return self._model.config.labels

    @property
    def runtimes(self) -> dict[str, RuntimeName]:
        """The runtime of each network by its name: ``"onnxruntime"`` or ``"keras"``."""
        return self._sessions.runtimes

    @property
    def record(self) -> TrainingRecord:
        """How the model came to be, as training.json holds it; empty if unknown."""
        return self._model.record

    @property
    def weights(self) -> Mapping[str, Weights]:
        """Arrays by network and by name.

        Raises:
            NotFittedError: there are none yet.
        """
        self._model.require_weights()
        return self._model.weights

    # A str is one image, although it is an iterable of str.
    @overload
    def predict(  # type: ignore[overload-overlap]
        self,
        images: ImageSource,
        *,
        min_score: float = 0.0,
        boxes: GivenBoxes | None = None,
        framing: Framing | None = None,
        progress: bool = False,
    ) -> ImageResult: ...
    @overload
    def predict(
        self,
        images: Iterable[ImageSource],
        *,
        min_score: float = 0.0,
        boxes: Iterable[GivenBoxes] | None = None,
        framing: Framing | None = None,
        progress: bool = False,
    ) -> list[ImageResult]: ...
    def predict(
        self,
        images: ImageSource | Iterable[ImageSource],
        *,
        min_score: float = 0.0,
        boxes: GivenBoxes | Iterable[GivenBoxes] | None = None,
        framing: Framing | None = None,
        progress: bool = False,
    ) -> ImageResult | list[ImageResult]:
        """Find the faces in one image or in many, and classify their expressions.

        Args:
            images: one image (a path, the bytes of a file, an open file, a PIL image, or an
                array or tensor of 2 or 3 dimensions: uint8 RGB or grey, or float in 0..1), an
                iterable of images, or the path of a folder, for all images in it and in its
                sub-folders, sorted by their paths.
            min_score: score threshold, 0..1; a face with a lower score keeps its probabilities
                and gets the label None.
            boxes: the faces, if you have found them already: (x, y, width, height) in pixels for
                each face of the one image, or such a list for each of many images. No detector
                runs, and faces come in the order of their boxes.
            framing: maps a box to the square that is cropped. By default the framing of the
                model's detector. ``Framing()`` crops along the box itself.
            progress: show a progress bar on a terminal.

        Returns:
            An ImageResult for one image, a list of them for many or for a folder. An image
            without a face has no faces; that is not an error. The results of one image and of a
            list hold the image in ``source``; to keep no images in memory, use ``stream``.

        Raises:
            InputError: the folder holds no images.
            ImageError: the one image can't be read. Of many images, a failed one becomes a
                result with its ``error`` set, and the others are processed.
            InputError: a box is empty, not finite or outside the image, an image has over 1000
                boxes, or ``boxes`` has not one list for each image.
            ConfigError: min_score is not in 0..1, or framing is no Framing.
            NotFittedError: the recognizer has no weights.

        Examples:
            >>> recognizer = EmotionRecognizer.from_pretrained()
            >>> recognizer.predict(emonet.sample_photo()).faces[0].label
            'happiness'
        """
        images = _in_folder(images)
        if is_single_image(images):
            given = None if boxes is None else [cast("GivenBoxes", boxes)]
            (result,) = self._results([images], min_score, boxes=given, framing=framing)
            if result.error is not None:
                raise result.error
            return _with_source(result, images)
        many = cast("Iterable[ImageSource]", images)
        lists = cast("Iterable[GivenBoxes] | None", boxes)
        kept = many if isinstance(many, Sequence | np.ndarray) else None
        total = None if kept is None else len(kept)
        stream = self.stream(many, min_score=min_score, boxes=lists, framing=framing)
        results: list[ImageResult] = []
        with progress_bar("Images", total, wanted=progress) as advance:
            for result in stream:
                source = None if kept is None else kept[len(results)]
                results.append(_with_source(result, source))
                advance()
        return results

    __call__ = predict

    def stream(
        self,
        images: Iterable[ImageSource],
        *,
        min_score: float = 0.0,
        ahead: int | None = None,
        boxes: Iterable[GivenBoxes] | None = None,
        framing: Framing | None = None,
    ) -> Iterator[ImageResult]:
        """Return an iterator over the results of many images, in their order.

        Faces of several images go through the networks together. Memory use is constant, however
        many images there are. If the iterable raises, the images before get their results first.

        Args:
            images: images in any form that predict takes, or the path of a folder of images. A
                file at a path must stay as it is until its result has come.
            min_score: as for predict.
            ahead: how many images may be taken beyond the one whose result comes next. With 0,
                each result comes before the next image is taken, as a live camera needs. None
                lets emonet choose the fastest.
            boxes: the boxes of each image, as for predict.
            framing: as for predict.

        Raises:
            InputError: it is given one image, or ``boxes`` has not one list for each image.
            ConfigError: min_score is not in 0..1, ahead is not a whole number of 0 or more, or
                framing is no Framing.
            NotFittedError: the recognizer has no weights.
        """
        images = cast("Iterable[ImageSource]", _in_folder(images))
        if is_single_image(images):
            raise InputError(
                f"stream takes an iterable of images, got one {type(images).__name__}"
                + (conversion_hint(images) or ". Use predict, or put the image into a list")
            )
        if ahead is not None:
            require_number("prediction", "ahead", ahead, 0, whole=True)
        return self._results(images, min_score, ahead, boxes, framing)

    def _results(
        self,
        images: Iterable[ImageSource],
        min_score: float,
        ahead: int | None = None,
        boxes: Iterable[GivenBoxes] | None = None,
        framing: Framing | None = None,
    ) -> Iterator[ImageResult]:
        self._model.require_weights()
        if isinstance(min_score, np.floating):
            min_score = float(min_score)
        require_number("prediction", "min_score", min_score, 0, 1)
        if not isinstance(framing, Framing | None):
            raise ConfigError(f"framing must be a Framing or None, got {framing!r:.200}")
        sessions, config = self._sessions, self._model.config
        return stream_results(
            images,
            detectors=sessions.detectors if boxes is None else None,
            framing=framing or config.framing.get(config.detector.name),
            face_sizes=config.face_sizes,
            classify=lambda faces: sessions.ensemble.predict_proba(faces),
            labels=config.labels,
            min_score=min_score,
            ahead=ahead,
            chunk_faces=sessions.batch_size,
            boxes=boxes,
            alignment=config.alignment,
            fallback=sessions.unknown_framing,
        )

    def stream_video(
        self,
        source: "str | Path | int | Iterable[tuple[float, ImageSource]]",
        *,
        every: int = 1,
        fps: float | None = None,
        start: float | None = None,
        end: float | None = None,
        live: bool | None = None,
        smoothing: "Smoothing" = "causal",
        min_score: float = 0.0,
        new_track_score: float | None = None,
        images: bool = False,
    ) -> Iterator[VideoFrame]:
        """Return an iterator over the frames of a video, with tracked faces and smoothed labels.

        Memory use is constant, however long the video is. A damaged video yields its frames up
        to the damage, and then raises VideoError.

        Args:
            source: the path of a video, or of an animated GIF, WebP or PNG image; a camera's
                number; a URL or another text that ``cv2.VideoCapture`` opens; or an iterable of
                (seconds, image), with images in any form that predict takes.
            every: take one of so many frames.
            fps: take at most so many frames for each second of film, instead of ``every``.
            start: time of the first frame, seconds.
            end: time at which to stop, seconds.
            live: always take the newest frame; older frames are dropped and counted, so that the
                delay does not grow. By default True for a camera. A file plays at its own speed.
            smoothing: ``"causal"``: probabilities are a running mean over each track, and a
                label changes only after another one has led for a moment. ``"centred"``: the
                mean of half a second before and after, for files. ``"none"``.
            min_score: score threshold, 0..1; it is applied after smoothing. A face with a lower
                score keeps its probabilities and gets the label None.
            new_track_score: the lowest detection score that starts a track. A face with a lower
                score is left out unless it continues a track. By default every face that the
                detector finds may start one. Set it if you lower the detector's own threshold.
            images: keep the image of each frame.

        Returns:
            An iterator of VideoFrame. A frame that can't be decoded has its ``error`` set.

        Raises:
            VideoError: there is no such video or camera, it can't be decoded, or it is cut; the
                message says at which second.
            ConfigError: a value is not legal.
            MissingDependencyError: SciPy is not installed.
            NotFittedError: the recognizer has no weights.

        Examples:
            >>> for frame in recognizer.stream_video("clip.mp4"):  # doctest: +SKIP
            ...     print(frame.seconds, [(face.track, face.label) for face in frame.faces])
            0.0 [(1, 'happiness')]
        """
        from emonet.video.stream import stream_video

        return stream_video(
            self,
            source,
            every=every,
            fps=fps,
            start=start,
            end=end,
            live=live,
            smoothing=smoothing,
            min_score=min_score,
            new_track_score=new_track_score,
            images=images,
        )

    def predict_proba(
        self, faces: NDArray[np.uint8] | Iterable[ImageSource]
    ) -> NDArray[np.float32]:
        """Return the class probabilities of face crops, without face detection.

        Args:
            faces: uint8 (n, height, width) grey, or an iterable of images, each one face, framed
                as the training faces are. They are resized if necessary.

        Returns:
            float32 (n, len(labels)); rows sum to 1.

        Raises:
            ImageError: an image can't be read; the message says which.
            NotFittedError: the recognizer has no weights.
        """
        return self._sessions.predict_proba(faces)

    def crop_faces(self, image: ImageSource, detections: Sequence[Detection]) -> list[FaceCrop]:
        """Return the face crops that the networks see.

        Args:
            image: one image, as for predict.
            detections: the faces, for example ``[face.detection for face in result.faces]``.

        Returns:
            One FaceCrop per detection, in the largest size of ``config.face_sizes``.

        Raises:
            ImageError: the image can't be read.

        Examples:
            >>> result = recognizer.predict("photo.jpg")  # doctest: +SKIP
            >>> found = [face.detection for face in result.faces]  # doctest: +SKIP
            >>> recognizer.crop_faces("photo.jpg", found)[0].pixels.shape  # doctest: +SKIP
            (48, 48)
        """
        config = self._model.config
        framing = config.framing.get(config.detector.name)
        if framing is None and not all(map(has_own_square, detections)):
            framing = self._sessions.unknown_framing()
        size = config.face_sizes[0]
        return located_crops(load_image(image), detections, framing, size, config.alignment)

    def activation_maps(
        self, faces: NDArray[np.uint8] | Iterable[ImageSource]
    ) -> NDArray[np.float32]:
        """Return class activation maps of face crops (Zhou et al. 2016), without TensorFlow.

        A map's mean is the logit of its class, divided by the temperature. So for one network
        without test-time augmentation or class prior, the softmax of the means is
        ``predict_proba``. An ensemble averages the maps of its members and views by their weights.

        Args:
            faces: as for predict_proba.

        Returns:
            float32 (n, len(labels), height, width), in the largest size of
            ``config.face_sizes``.

        Raises:
            ConfigError: a network does not end in global average pooling and one dense layer, or
                has feature extractors.
            ImageError: an image can't be read; the message says which.
            NotFittedError: the recognizer has no weights.
        """
        return self._sessions.activation_maps(self._sessions.by_size(faces))

    def feature_effects(
        self, faces: NDArray[np.uint8] | Iterable[ImageSource]
    ) -> list[tuple[FeatureEffect, ...]]:
        """Measure how much each landmark and each HOG window supports each label.

        Each part of a feature vector in turn gets the values that it has on average in the
        training faces. Test-time augmentation is not used.

        Args:
            faces: as for predict_proba.

        Returns:
            For each face, one FeatureEffect for each part that a feature extractor tells.

        Raises:
            ConfigError: no network has a feature extractor that tells its parts, as BOVW does.
            ImageError: an image can't be read; the message says which.
            NotFittedError: the recognizer has no weights.
        """
        effects = self._sessions.feature_effects(faces)
        if effects and not effects[0]:
            raise ConfigError(
                "The model has no feature extractor that tells the parts of its vectors, such as "
                "bovw. Explain it with method='occlusion', which works with every network"
            )
        return effects

    def explain(
        self,
        image: ImageSource,
        label: str | None = None,
        *,
        method: "ExplainMethod" = "cam",
        masks: int = 500,
        seed: int = 0,
    ) -> "Explanation":
        """Show which parts of each face support a label.

        Args:
            image: one image, as for predict.
            label: the label to explain; by default each face's most probable label.
            method: ``"cam"``: class activation maps, which are exact and fast. Networks must end
                in global average pooling and one dense layer, as the bundled models do.
                ``"occlusion"``: RISE (Petsiuk et al. 2018) hides random parts of the face. It
                works with every network. ``"features"`` hides each landmark and each HOG window
                of BOVW.
            masks: number of random masks per face; more take longer and give smoother maps. For
                occlusion only.
            seed: seed of the masks.

        Returns:
            An Explanation with one map per face.

        Raises:
            ConfigError: there is no such label or method, or the method does not suit a network.
            ImageError: the image can't be read.
            NotFittedError: the recognizer has no weights.

        Examples:
            >>> explanation = recognizer.explain("photo.jpg")  # doctest: +SKIP
            >>> explanation.faces[0].regions()  # doctest: +SKIP
            >>> explanation.draw().save("why.png")  # doctest: +SKIP
        """
        from emonet.explain.explaining import explain

        return explain(self, image, label, method=method, masks=masks, seed=seed)

    def evaluate(self, data: Labelled) -> Report:
        """Measure accuracy, figures per class, confusion and calibration on labelled faces.

        Args:
            data: a FaceDataset, (images uint8 (n, height, width), class indices (n,)), or a
                ``datasets.Dataset`` of Hugging Face with an Image column and a ClassLabel column.
                Its labels may be some of the recognizer's.

        Raises:
            MissingDependencyError: scikit-learn or SciPy is not installed.
            DataError: there is no face, or a label is unknown to the recognizer.
            NotFittedError: the recognizer has no weights.
        """
        require("evaluate", "Evaluation")
        dataset = self._dataset(data)
        return make_report(self.predict_proba(dataset.images), dataset.classes, self.labels)

    def compare(self, other: "EmotionRecognizer", data: Labelled, *, seed: int = 0) -> Comparison:
        """Compare this recognizer with another one on the same labelled faces.

        The difference of their accuracies gets a bootstrap interval and McNemar's test, overall
        and per class. Both know that the faces are the same, so small differences are found.

        Args:
            other: a recognizer with the same labels, in any order.
            data: as for evaluate.
            seed: seed of the bootstrap.

        Raises:
            MissingDependencyError: scikit-learn or SciPy is not installed.
            ConfigError: the other recognizer has other labels.
            DataError: there is no face, or a label is unknown to the recognizer.
            NotFittedError: a recognizer has no weights.

        Examples:
            >>> comparison = fast.compare(default, test)  # doctest: +SKIP
            >>> comparison.overall.difference, comparison.overall.interval_95  # doctest: +SKIP
        """
        require("evaluate", "Comparison")
        require_recognizers("compare", other)
        if set(other.labels) != set(self.labels):
            raise ConfigError(
                f"compare needs recognizers with the same labels, got {', '.join(self.labels)} "
                f"and {', '.join(other.labels)}"
            )
        seed, dataset = require_seed("compare", seed), self._dataset(data)
        columns = [other.labels.index(label) for label in self.labels]
        second = other.predict_proba(other._dataset(data).images)[:, columns]
        first = self.predict_proba(dataset.images)
        return compare(
            first, second, dataset.classes, self.labels, seed=require_seed("compare", seed)
        )

    def audit(
        self, data: Labelled, groups: Sequence[Any], *, min_faces: int = 50, seed: int = 0
    ) -> AuditReport:
        """Measure accuracy, false labels and calibration for each group of faces.

        Args:
            data: as for evaluate.
            groups: the group of each face (n,), such as ``"women"``: see ``load_groups``.
            min_faces: groups with fewer faces are marked as small. They are compared only where
                fewer than two groups have enough faces.
            seed: seed of the bootstrap and of the permutation tests.

        Raises:
            MissingDependencyError: scikit-learn or SciPy is not installed.
            ConfigError: min_faces or the seed is not legal.
            DataError: there is no face, a label is unknown to the recognizer, a face has no
                group, or there is one group only.
            NotFittedError: the recognizer has no weights.

        Examples:
            >>> audit = recognizer.audit(test, groups)  # doctest: +SKIP
            >>> audit.groups["women"].false_labels["anger"].value  # doctest: +SKIP
            >>> audit.gaps[0].difference, audit.gaps[0].interval_95  # doctest: +SKIP
        """
        require("evaluate", "An audit")
        require_number("audit", "min_faces", min_faces, 1, whole=True)
        seed, dataset = require_seed("audit", seed), self._dataset(data)
        names = as_groups(groups, len(dataset))
        probabilities = self.predict_proba(dataset.images)
        return audit(
            probabilities, dataset.classes, self.labels, names, min_faces=min_faces, seed=seed
        )

    def measure_robustness(
        self, data: Labelled, *, advance: Callable[[], None] | None = None
    ) -> Robustness:
        """Measure accuracy on shifted, rotated, relit, compressed and downscaled faces.

        Args:
            data: as for evaluate.
            advance: called after each kind of change.

        Raises:
            DataError: there is no face, or a label is unknown to the recognizer.
            NotFittedError: the recognizer has no weights.
        """
        dataset, advance = self._dataset(data), advance or (lambda: None)
        return measure_robustness(
            self.predict_proba, dataset.images, dataset.classes, advance=advance
        )

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
        teacher_weight: float = 0.7,
        teaching: Teaching = "fixed",
        start_from: "EmotionRecognizer | None" = None,
        devices: int | Literal["all"] | None = None,
        callbacks: "Sequence[keras.callbacks.Callback]" = (),
    ) -> Self:
        """Train the network; earlier weights are replaced.

        Args:
            train: a FaceDataset, (images uint8 (n, height, width), class indices (n,)), or a
                ``datasets.Dataset`` of Hugging Face with an Image column and a ClassLabel column.
            validation_data: likewise; chooses the epoch whose weights are kept. By default a
                tenth of ``train`` is held out.
            recipe: a name in ``RECIPES``, or a Recipe.
            epochs: replaces the recipe's number of epochs.
            precision: replaces the recipe's precision.
            seed: seed of initial weights, shuffling and augmentation.
            checkpoint_dir: every epoch is saved here, and an interrupted run continues.
            feature_cache: a folder that keeps feature vectors for later runs.
            teacher: distils this recognizer: targets are ``(1 - teacher_weight) * label +
                teacher_weight * its probabilities`` (Hinton et al. 2015). Label smoothing is
                applied to the label first.
            teacher_weight: 0..1.
            teaching: ``"fixed"``: the teacher predicts each training face once, unchanged.
                ``"consistent"``: it predicts every batch with the student's geometry, in plain
                light (Beyer et al. 2022).
            start_from: start from this recognizer's weights (it may be this one); its network
                must be equal. The output layer starts afresh if its labels differ. Its accuracy
                is measured first, and its weights are kept if no epoch is better.
            devices: with Keras on JAX, the number of devices (GPUs) that share each batch, or
                ``"all"``. None uses one device, as Keras chooses it. Checkpoints can move between
                numbers of devices.
            callbacks: Keras callbacks. They see one run of all epochs. ``on_epoch_end`` gets
                loss, accuracy, val_loss, val_accuracy, learning_rate and seconds; the validation
                figures are those of the averaged weights. ``model.stop_training = True`` ends
                the run.

        Returns:
            The recognizer itself.

        Raises:
            MissingDependencyError: Keras, its backend or scikit-learn is not installed.
            ConfigError: the teacher has other labels, a number is out of range, the model has
                several networks, or the devices can't share a batch.
            DataError: the data are malformed, lack a class, or have other labels.
            TrainingError: the loss diverged, or checkpoint_dir holds another run, or one that is
                still going on.
            WeightsError: ``start_from`` has another network, or the network is too large to save.
        """
        require("train", "Training")
        from emonet.training.checkpoint import one_training
        from emonet.training.devices import on_devices
        from emonet.training.distillation import Distillation
        from emonet.training.fit import fit

        seed = require_seed("fit", seed)
        require_recognizers("fit", *(one for one in (teacher, start_from) if one is not None))
        train_set = self._dataset(train, exactly=True, every_label=True)
        valid_set = None
        if validation_data is not None:
            valid_set = self._dataset(validation_data, exactly=True)
        # Errors that would appear after hours of training appear now.
        config_to_json(self._model.config)
        chosen = get_recipe(recipe, epochs=epochs, precision=precision)
        distillation = None
        if teacher is not None:
            distillation = Distillation(teacher._sessions, teacher_weight, teaching)
        counts = np.bincount(train_set.classes, minlength=len(self.labels))
        framed = self._framed(train_set.images)
        if self._model.weights and start_from is None:
            logger.warning(
                "fit trains from new weights and replaces the present ones. Pass "
                "start_from=recognizer to fine-tune them"
            )
        folder = None if checkpoint_dir is None else Path(checkpoint_dir)
        with (
            on_devices(devices),
            nullcontext() if folder is None else one_training(folder),
        ):
            trained = fit(
                framed.untrained(),
                chosen,
                train_set,
                valid_set,
                pretrained=self._pretrained,
                seed=seed,
                checkpoint_dir=folder,
                feature_cache=None if feature_cache is None else Path(feature_cache),
                distillation=distillation,
                start_from=None if start_from is None else start_from._model,
                callbacks=callbacks,
            )
        counted = dict(zip(self.labels, counts.tolist(), strict=True))
        return self._become(
            replace(trained, config=replace(trained.config, training_counts=counted))
        )

    def fit_weights(self, data: Labelled, *, seed: int = 0) -> Self:
        """Fit the weights of an ensemble's members by differential evolution.

        As in section 6 of the paper, weights are in 0..1 and maximise accuracy; log loss decides
        between equals. ``record.ensemble_weights`` has the result, beside each member and the
        plain mean.

        Args:
            data: faces that no member was trained on.
            seed: seed of the search.

        Returns:
            The recognizer itself.

        Raises:
            MissingDependencyError: SciPy is not installed.
            ConfigError: the recognizer has one network only, or the seed is not legal.
            DataError: there are too few faces, or a label is unknown to the recognizer.
            NotFittedError: the recognizer has no weights.
        """
        require("evaluate", "Fitting weights")
        seed = require_seed("fit_weights", seed)
        dataset = self._dataset(data)
        if len(self._model.config.networks) < 2:
            raise ConfigError("fit_weights needs an ensemble, and this model has one network")
        sessions = self._sessions
        members = sessions.ensemble.members_proba(sessions.by_size(dataset.images))
        return self._become(fit_weights(self._model, members, dataset.classes, seed=seed))

    def quantise(self, faces: NDArray[np.uint8]) -> Self:
        """Compute convolutions in int8: faster, and slightly less accurate.

        Only onnxruntime uses the int8 graphs; Keras and training keep float32. Figures noted
        before are dropped, so calibrate afterwards.

        Args:
            faces: uint8 (n, height, width) training faces; value ranges are measured on 128 of
                them.

        Returns:
            The recognizer itself.

        Raises:
            DataError: there is no face.
            ExportError: a network has feature extractors, or Keras can't export it.
            MissingDependencyError: Keras or tf2onnx is not installed.
            NotFittedError: the recognizer has no weights.
        """
        require("export", "Quantising")
        self._model.require_weights()
        chosen = self._sessions.by_size(evenly_spread(faces, MEASURED_FACES))
        return self._become(quantise(self._model, chosen))

    def calibrate(self, data: Labelled, *, seed: int = 0) -> Self:
        """Fit a temperature, so that scores match accuracy.

        Temperature scaling (Guo et al. 2017) changes no label. It is fitted on a random half of
        the faces, with the same proportion of each class, and measured on the other half: see
        ``record.calibration``. Reports noted before are dropped, because log loss changes.

        Args:
            data: faces that no network was trained on.
            seed: seed of the halves.

        Returns:
            The recognizer itself.

        Raises:
            MissingDependencyError: scikit-learn or SciPy is not installed.
            ConfigError: the seed is not legal.
            DataError: there are too few faces, or a label is unknown to the recognizer.
            NotFittedError: the recognizer has no weights.
        """
        require("evaluate", "Calibration")
        seed = require_seed("calibrate", seed)
        dataset, sessions = self._dataset(data), self._sessions
        raw = replace(sessions.ensemble, temperature=1.0, class_factors=None)

        def predict_proba(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
            return raw.predict_proba(sessions.by_size(faces))

        return self._become(calibrate(self._model, predict_proba, dataset, seed=seed))

    def measure_framing(self, faces: NDArray[np.uint8]) -> Self:
        """Measure how training faces are framed in terms of the detector's boxes.

        ``fit`` does it. Do it again after loading a model with another detector.

        Args:
            faces: uint8 (n, height, width) grey faces, framed as the training faces are.

        Returns:
            The recognizer itself; unchanged if the detector finds too few of the faces.

        Raises:
            ImageError: the faces are no such array.
        """
        with self._sessions.detectors.borrow() as detector:
            return self._become(measure_framing(self._model, detector, faces))

    def with_test_time_augmentation(self, augmentation: TestTimeAugmentation) -> Self:
        """Return a copy that averages over several views of each face.

        The copy shares weights, networks and detectors with this recognizer. Its record has no
        figures, because they do not hold for it. Calibrate it again if the model is calibrated.

        Args:
            augmentation: ``"none"``: the face alone; ``"horizontal_flip"``: the face and its
                mirror image, in twice the time; ``"shift"``: both, in place and shifted by 2 of
                48 pixels in four directions, in ten times the time.

        Raises:
            ConfigError: there is no such augmentation.
        """
        config = replace(self._model.config, test_time_augmentation=augmentation)
        changed = copy.copy(self)
        if config == self._model.config:
            return changed
        record = self._model.record.without_figures()
        return changed._become(replace(self._model, config=config, record=record))

    def with_prior(
        self,
        prior: str | Mapping[str, float],
        *,
        strength: float = 1.0,
        training: Mapping[str, int] | None = None,
    ) -> Self:
        """Return a copy that expects other frequencies of the classes than in training.

        Each probability is multiplied by ``(expected share / training share) ** strength``, after
        the temperature (Saerens et al. 2002). The prior is saved with the model. The record of the
        copy has no figures, because they do not hold for it; evaluate and calibrate it again.

        Args:
            prior: ``"balanced"``: all classes are equally frequent; ``"training"``: as in the
                training data, which removes a prior; or the expected share of each label. Shares
                are divided by their sum.
            strength: 0..1; 0 changes nothing. A half is a cautious choice.
            training: number of training faces by label, for a model that does not know them.

        Raises:
            ConfigError: a share is missing or not above 0, strength is not in 0..1, or the numbers
                of training faces are unknown.

        Examples:
            >>> recognizer = EmotionRecognizer.from_pretrained("tiny").with_prior("balanced")
            >>> recognizer.config.prior.strength
            1.0
        """
        config = self._model.config
        if training is not None:
            config = replace(config, training_counts=dict(training))
        require_number("with_prior", "strength", strength, 0, 1)
        chosen = None
        if prior != "training":
            if not config.training_counts:
                raise ConfigError(
                    "The model does not know how many training faces each class had. Pass them: "
                    "training={label: number}"
                )
            shares = prior_shares(prior, config.labels)
            chosen = ClassPrior(shares=shares, strength=float(strength))
        config = replace(config, prior=chosen)
        record = self._model.record
        if config.prior != self._model.config.prior:
            record = record.without_figures()
        return copy.copy(self)._become(replace(self._model, config=config, record=record))

    def note_evaluation(
        self, split: str, report: Report, robustness: Robustness | None = None
    ) -> Self:
        """Add figures to the record, so that the model card shows them.

        Args:
            split: name of the faces that were evaluated.
            report: the result of evaluate.
            robustness: the result of measure_robustness.

        Returns:
            The recognizer itself.

        Raises:
            ConfigError: a value has another type.
        """
        if not (
            isinstance(split, str)
            and isinstance(report, Report)
            and isinstance(robustness, Robustness | None)
        ):
            raise ConfigError(
                f"note_evaluation takes a split's name, a Report and optionally a Robustness, got "
                f"{split!r:.80}, {type(report).__name__} and {type(robustness).__name__}"
            )
        return self.set_record(self._model.record.with_evaluation(split, report, robustness))

    def set_record(self, record: TrainingRecord) -> Self:
        """Replace the record, for example ``replace(recognizer.record, command="...")``."""
        return self._become(replace(self._model, record=record))

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        dtype: Dtype = "float32",
        title: str | None = None,
        license: str | None = None,
    ) -> None:
        """Write a model folder: config.json, weights, graphs, training.json and a model card.

        Settings of this machine, such as a detector's file, are left out. A network that Keras
        can't export to ONNX is saved without a graph; Keras will run it.

        Args:
            folder: made when needed.
            dtype: ``"float32"``, or ``"float16"`` for half the size.
            title: headline of the card; by default the folder's name.
            license: licence of the weights for the card, as the Hub abbreviates it.

        Raises:
            ConfigError: the Hub knows no such licence, or the folder has a README.md or a
                config.json of another project.
            NotFittedError: there is nothing to save yet.
            WeightsError: a weight is not finite, or too large for float16.
        """
        self._model.require_weights()
        require_no_other(Path(folder))
        model = with_graphs(self._model)
        config = replace(portable(model.config), emonet_version=emonet_version())
        model = replace(model, config=config)
        write_model(Path(folder), model, title=title, license=license, dtype=dtype)

    def export(
        self,
        file: str | Path,
        *,
        format: ExportFormat | None = None,
        int8_faces: NDArray[np.uint8] | None = None,
        license: str | None = None,
    ) -> None:
        """Write networks, calibration and views for other programs.

        An ONNX or LiteRT file has the input ``faces``, float32 (n, height, width), grey 0..255,
        framed as the training faces are, in the largest size of ``config.face_sizes``. Its output
        ``probabilities`` is float32 (n, classes) in the order of ``labels``. An ONNX file has
        labels, preprocessing, framing, versions and licence as metadata. The other program finds
        and crops faces.

        ``"transformers-js"`` writes a folder instead, which the ``image-classification`` pipeline
        of Transformers.js loads. It classifies RGB images of one face each.

        A model with int8 graphs makes files that compute in int8.

        Args:
            file: replaced if it exists; a folder for ``"transformers-js"``.
            format: ``"onnx"``, ``"litert"`` (formerly TensorFlow Lite) or ``"transformers-js"``;
                by default LiteRT if the file ends in ``.tflite``, else ONNX.
            int8_faces: training faces, uint8 (n, height, width). With them, an ONNX file
                computes convolutions in int8; value ranges are measured on 128 of them.
            license: licence of the weights, as the Hub abbreviates it; not for LiteRT.

        Raises:
            ConfigError: there is no such format, it has no int8, the Hub knows no such licence, or
                the folder has a config.json of another project.
            ExportError: a network has feature extractors, or the format lacks an operation.
            MissingDependencyError: the format is LiteRT, or a network has no ONNX graph; Keras,
                TensorFlow or tf2onnx is not installed.
            NotFittedError: there is nothing to export yet.
        """
        if format is None:
            format = export_format(file)
        if format not in get_args(ExportFormat):
            raise ConfigError(
                f"format must be 'onnx', 'litert' or 'transformers-js', got {format!r:.80}"
            )
        require_license(license)
        self._model.require_weights()
        networks = self._model.config.networks
        if format == "litert" and any(part.graph_precision == "int8" for part in networks):
            logger.warning("The model computes in int8; the exported file computes in float32")
        if int8_faces is not None:
            if format == "litert":
                raise ConfigError(f"int8_faces needs format 'onnx', got {format!r}")
            size = self._model.config.face_sizes[0]
            int8_faces = self._sessions.by_size(evenly_spread(int8_faces, MEASURED_FACES))[size]
        if format == "transformers-js":
            require_no_other(Path(file), EXPORT_MARKS)
        files = export(self._model, format, int8_faces=int8_faces, license=license)
        for name, data in files.items():
            path = Path(file, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as temporary:
                temporary.write_bytes(data)

    def push_to_hub(
        self,
        repository: str,
        *,
        private: bool | None = None,
        commit_message: str = "Upload an emonet model",
        token: str | None = None,
        dtype: Dtype = "float32",
        license: str | None = None,
    ) -> str:
        """Upload the model folder as one commit; the repository is made when needed.

        Args:
            repository: ``"org/name"``.
            private: whether a new repository is private; by default as the organisation says.
            commit_message: message of the commit.
            token: token with write access; by default the one you logged in with.
            dtype: as for save_pretrained.
            license: as for save_pretrained.

        Returns:
            The commit's hash, which ``from_pretrained(revision=...)`` takes.

        Raises:
            ConfigError: the repository is not named ``"org/name"``.
            NotFittedError: there is nothing to share yet.
            WeightsError: the model is larger than emonet loads from the Hub.
            HubError: the Hub can't be reached or refuses.
        """
        require_repository_name(repository)
        with TemporaryDirectory() as folder:
            self.save_pretrained(folder, dtype=dtype, title=repository, license=license)
            return push_folder(
                Path(folder),
                repository,
                private=private,
                commit_message=commit_message,
                token=token,
            )

    def _dataset(
        self, data: Labelled, *, exactly: bool = False, every_label: bool = False
    ) -> FaceDataset:
        """Check labelled data; training, unlike evaluation, takes no other face size."""
        return as_dataset(
            data,
            labels=self.labels,
            face_size=self._model.config.face_sizes[0],
            exactly=exactly,
            every_label=every_label,
        )

    def _framed(self, faces: NDArray[np.uint8]) -> Model:
        """Return the model with the framing of its detector alone, measured on new faces."""
        with self._sessions.detectors.borrow() as detector:
            framed = measure_framing(self._model, detector, faces)
        if framed is self._model:
            return framed
        name = framed.config.detector.name
        config = replace(framed.config, framing={name: framed.config.framing[name]})
        return replace(framed, config=config)


def _in_folder(images: Any) -> Any:
    """Return the paths of the images in a folder, or anything but a folder itself."""
    if not is_folder(images):
        return images
    files = [str(file) for file in image_files(Path(images))]
    if not files:
        raise InputError(f"The folder {images!s:.200} holds no images")
    return files


def _with_source(result: ImageResult, image: Any) -> ImageResult:
    """Return a result that holds its image, unless the image is a file that can be read again."""
    return result if result.path is not None else replace(result, source=image)


def prior_shares(prior: Any, labels: tuple[str, ...]) -> dict[str, float]:
    """Return the share of each label that with_prior's argument stands for; they sum to 1."""
    if prior == "balanced":
        return dict.fromkeys(labels, 1 / len(labels))
    if not isinstance(prior, Mapping):
        raise ConfigError(
            f"prior must be 'balanced', 'training' or a share for each label, got {prior!r:.80}"
        )
    if set(prior) != set(labels):
        raise ConfigError(
            f"prior must have a share for each of {', '.join(labels)}, got {list(prior)!r:.200}"
        )
    for label in labels:
        require_number("prior", label, prior[label], 1e-6)
    total = sum(prior.values())
    if not isfinite(total):
        raise ConfigError(f"prior must have finite shares, got {dict(prior)!r:.200}")
    return {label: prior[label] / total for label in labels}


def require_recognizers(function: str, *given: Any) -> None:
    """Raise ConfigError for anything but recognizers, such as a model's name."""
    for one in given:
        if not isinstance(one, EmotionRecognizer):
            raise ConfigError(f"{function} takes loaded recognizers, got {one!r:.200}")


def _require_legal(device: str, batch_size: int) -> None:
    if device not in get_args(Device):
        raise ConfigError(f"device must be 'auto', 'cpu' or 'cuda', got {device!r:.80}")
    require_number("recognizer", "batch_size", batch_size, 1, whole=True)
