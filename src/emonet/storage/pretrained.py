"""What of a recognizer outlives the process: configuration, weights, training record."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self, get_args

import numpy as np
from numpy.typing import NDArray

from emonet.composition import portable, resolve, with_detector
from emonet.config import RecognizerConfig
from emonet.errors import ConfigError, NotFittedError, WeightsError
from emonet.exports import export, export_format, export_graphs
from emonet.files import beside
from emonet.network.runtimes import ExportFormat, RuntimeName
from emonet.pipeline.crops import faces_by_size
from emonet.plugin import Json
from emonet.registry.catalog import get_catalog
from emonet.storage.card import CARD_FILE, model_card
from emonet.storage.folder import Dtype, Weights, write_folder
from emonet.storage.hub import push_folder, require_repository_name
from emonet.storage.sources import open_model
from emonet.storage.update import require_no_other
from emonet.training.record import RECORD_FILE, UNKNOWN, TrainingRecord, record_to_json

__all__ = ["Pretrained"]

logger = logging.getLogger("emonet")


class Pretrained:
    """A model that can be loaded, saved and shared; the base of EmotionRecognizer."""

    def _start(self, config: RecognizerConfig) -> None:
        """Set every attribute, for a new instance and for a loaded one alike."""
        self._config = config
        self._weights: dict[str, Weights] | None = None
        # Of the networks that have one; onnxruntime runs them, Keras the others.
        self._graphs: dict[str, bytes] = {}
        self._training = UNKNOWN

    @classmethod
    def _of(cls, config: RecognizerConfig) -> Self:
        """Return an instance of a configuration that is complete."""
        made = cls.__new__(cls)
        made._start(config)
        return made

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path | None = None,
        *,
        detector: str | None = None,
        detector_config: Mapping[str, Json] | None = None,
        runtime: RuntimeName | None = None,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: str | None = None,
        local_files_only: bool = False,
    ) -> Self:
        """Load a recognizer.

        Args:
            source: the name of a bundled model (default: ``"default"``), the path of a model
                folder, or a Hub repository ``"org/name"``, looked for in this order: a folder
                called ``fast`` is ``"./fast"``.
            detector: use this detector instead of the model's own.
            detector_config: what differs from the detector's settings in the model, or from
                its defaults if it is another detector.
            runtime: ``"onnxruntime"`` or ``"keras"``; by default onnxruntime for networks whose
                graph is in the folder, and Keras for others.
            revision: branch, tag or commit of a Hub repository.
            cache_dir: where files from the Hub are kept; by default the Hub's own cache.
            token: for private repositories; by default the one logged in with.
            local_files_only: use the Hub's cache alone.

        Raises:
            ModelNotFoundError: there is no such model.
            ConfigError: its config.json is malformed, or there is no such runtime.
            ComponentNotFoundError: it needs a plugin that is not installed.
            WeightsError: a file is missing, altered or damaged, or has no graph for onnxruntime.
            HubError: the Hub can't be reached or refuses.
        """
        if runtime not in (None, *get_args(RuntimeName)):
            raise ConfigError(f"runtime must be 'onnxruntime' or 'keras', got {runtime!r:.80}")
        catalog = get_catalog()
        model = open_model(
            source,
            revision=revision,
            cache_dir=cache_dir,
            token=token,
            local_files_only=local_files_only,
        )
        # Before any weights are fetched: what is missing here is said at once.
        config = model.config
        if detector is not None and detector != config.detector.name:
            # Then the model's own need not be installed.
            config = with_detector(catalog, config, detector, {})
        config = resolve(catalog, config)
        loaded = cls._of(with_detector(catalog, config, detector, detector_config or {}))
        loaded._weights, loaded._training = model.weights(), model.record()
        if runtime != "keras":
            loaded._graphs = model.graphs(loaded._weights)
        if runtime == "onnxruntime" and len(loaded._graphs) < len(config.networks):
            raise WeightsError(
                "The model has no graph for onnxruntime: load it with runtime='keras', save it "
                "again, and it has one"
            )
        return loaded

    @property
    def config(self) -> RecognizerConfig:
        """The configuration, as config.json holds it."""
        return self._config

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of probability columns."""
        return self._config.labels

    @property
    def runtimes(self) -> dict[str, RuntimeName]:
        """What carries out each network, by its name: ``"onnxruntime"`` or ``"keras"``."""
        names = [network.name for network in self._config.networks]
        return {name: "onnxruntime" if name in self._graphs else "keras" for name in names}

    @property
    def training(self) -> TrainingRecord:
        """How the recognizer was trained, as training.json holds it; empty if unknown.

        May be replaced, for a note of one's own: ``replace(recognizer.training, command="...")``.
        """
        return self._training

    @training.setter
    def training(self, record: TrainingRecord) -> None:
        self._training = record

    @property
    def weights(self) -> dict[str, Weights]:
        """Every network's arrays, by network and by layer.

        Raises:
            NotFittedError: there are none yet.
        """
        if self._weights is None:
            raise NotFittedError("No weights yet: fit the recognizer, or use from_pretrained")
        return self._weights

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        dtype: Dtype = "float32",
        title: str | None = None,
        license: str | None = None,
    ) -> None:
        """Write a model folder: config.json, weights, graphs, training.json and a model card.

        Settings that concern this machine, such as a detector's file, are left out. A network
        that Keras can't export to ONNX has no graph there; Keras will run it.

        Args:
            folder: made when needed.
            dtype: ``"float32"``, or ``"float16"`` for half the size.
            title: the card's headline; by default the folder's name.
            license: of the weights, as the Hub abbreviates it; the card names it.

        Raises:
            ConfigError: the licence is not written as the Hub writes it, or the folder has a
                README.md or a config.json that is no model's.
            NotFittedError: there is nothing to save yet.
            WeightsError: a weight is not finite, or too large for float16.
        """
        weights, folder = self.weights, Path(folder)
        require_no_other(folder)
        # Without its graph, a network in int8 is one in float32 again.
        config = self._config.with_graph_precision("float32", without=self._graphs)
        record, title = self._training, title or folder.absolute().name
        if config != self._config:
            record = record.as_float32()
        config = replace(portable(get_catalog(), config), emonet_version=version("emonet"))
        texts = {
            CARD_FILE: model_card(config, title, record, license=license),
            RECORD_FILE: record_to_json(record),
        }
        missing = [part for part in config.networks if part.name not in self._graphs]
        made = export_graphs(get_catalog(), missing, num_classes=len(config.labels))
        graphs = {**self._graphs, **made}
        write_folder(folder, config, weights, graphs=graphs, texts=texts, dtype=dtype)

    def export(
        self,
        file: str | Path,
        *,
        format: ExportFormat | None = None,
        int8_faces: NDArray[np.uint8] | None = None,
    ) -> None:
        """Write a file that other programs can run: networks, calibration and views in one.

        Its input ``faces`` is float32 (n, height, width), grey 0..255, framed as the training
        faces are and of the largest size in ``config.face_sizes``; its output
        ``probabilities`` is float32 (n, classes) in the order of ``labels``. Faces are found
        and cut out by whoever runs it.

        Args:
            file: replaced if it is there.
            format: ``"onnx"``, or ``"litert"``, which was called TensorFlow Lite; by default
                LiteRT where the file ends in ``.tflite``, and ONNX elsewhere.
            int8_faces: training faces, uint8 (n, height, width). With them an ONNX file computes
                convolutions in int8, whose ranges are measured on some 128 of them.

        Raises:
            ConfigError: there is no such format, or it has no int8.
            ExportError: a network has feature extractors, or no form in that format.
            MissingDependencyError: onnxruntime lacks a package to quantise.
            NotFittedError: there is nothing to export yet.
        """
        if format is None:
            format = export_format(file)
        if format not in get_args(ExportFormat):
            raise ConfigError(f"format must be 'onnx' or 'litert', got {format!r:.80}")
        if int8_faces is None:
            if any(part.graph_precision == "int8" for part in self._config.networks):
                logger.warning("The model computes in int8; the file will compute in float32")
        else:
            if format != "onnx":
                raise ConfigError(f"int8_faces goes with the format 'onnx', got {format!r}")
            size = self._config.face_sizes[0]
            int8_faces = faces_by_size(int8_faces, (size,))[size]
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        data = export(get_catalog(), self._config, self.weights, format, int8_faces=int8_faces)
        with beside(Path(file)) as temporary:
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
            private: whether a new repository is; by default as the organisation has it.
            commit_message: of the commit.
            token: with the right to write; by default the one logged in with.
            dtype: as for save_pretrained.
            license: likewise.

        Returns:
            The commit's hash, which ``from_pretrained(revision=...)`` takes.

        Raises:
            ConfigError: the repository is not named ``"org/name"``.
            NotFittedError: there is nothing to share yet.
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
