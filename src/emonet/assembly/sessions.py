"""Sessions: networks and detectors built from a Model at first use."""

import ctypes
import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from emonet.assembly.activations import build_activation_maps
from emonet.assembly.networks import build_detector, build_ensemble, runtime_of
from emonet.config import Framing, NetworkConfig
from emonet.model import Model
from emonet.network.activations import ActivationMaps
from emonet.network.ensemble import Ensemble
from emonet.network.feature_effects import feature_effects
from emonet.network.weights import STANDARDISED
from emonet.pipeline.crops import FacesBySize, faces_by_size
from emonet.pipeline.detection import DetectorPool
from emonet.pipeline.images import ImageSource
from emonet.results import FeatureEffect
from emonet.runtimes import Device, RuntimeName
from emonet.runtimes.batching import BATCH_SIZE
from emonet.support.forking import after_fork

logger = logging.getLogger("emonet")


class Sessions:
    """The networks and detectors of one Model; any number of threads may use them."""

    def __init__(self, model: Model, device: Device = "auto", batch_size: int = BATCH_SIZE) -> None:
        self.model = model
        self.device = device
        self.batch_size = batch_size
        self._ensemble: Ensemble | None = None
        self._activation_maps: ActivationMaps | None = None
        self._detectors: DetectorPool | None = None
        self._lock = threading.RLock()
        self._warned = False
        _all.add(self)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out networks and detectors: a copy in another process builds its own."""
        return {"model": self.model, "device": self.device, "batch_size": self.batch_size}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        Sessions.__init__(self, **state)

    def forget(self) -> None:
        """Forget the parent's networks and detectors in a forked child, which builds its own.

        The child never destroys the parent's onnxruntime sessions. Their destructors would wait
        for threads that run in the parent only.
        """
        for held in (self._ensemble, self._activation_maps):
            if held is not None:
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(held))
        Sessions.__init__(self, self.model, self.device, self.batch_size)

    def of(self, model: Model) -> "Sessions":
        """Return sessions of another model; reuse the detectors and networks if they are equal."""
        sessions = Sessions(model, self.device, self.batch_size)
        with self._lock:
            if model.config.detector == self.model.config.detector:
                sessions._detectors = self._detectors
            if self._ensemble is not None and _same_networks(model, self.model):
                sessions._ensemble = replace(
                    self._ensemble,
                    weights=[part.weight for part in model.config.networks],
                    temperature=model.config.temperature,
                    class_factors=model.config.class_factors,
                    augmentation=model.config.test_time_augmentation,
                )
        return sessions

    @property
    def ensemble(self) -> Ensemble:
        """The networks."""
        with self._lock:
            if self._ensemble is None:
                self.model.require_weights()
                self._ensemble = build_ensemble(self.model, self.device, self.batch_size)
            return self._ensemble

    @property
    def activation_maps(self) -> ActivationMaps:
        """The networks again, without their pooling; built for explanations only."""
        with self._lock:
            if self._activation_maps is None:
                self.model.require_weights()
                self._activation_maps = build_activation_maps(self.model, self.device)
            return self._activation_maps

    @property
    def detectors(self) -> DetectorPool:
        """The detectors; the first one is built here, so that errors reach the caller."""
        with self._lock:
            if self._detectors is None:
                detectors = DetectorPool(partial(build_detector, self.model.config.detector))
                with detectors.borrow():
                    self._detectors = detectors
            return self._detectors

    def unknown_framing(self) -> Framing:
        """Return the framing to use for a detector that the model was not measured with.

        The first call logs a warning.
        """
        config = self.model.config
        with self._lock:
            if not self._warned:
                logger.warning(
                    "The model does not know how the detector %s frames faces, so labels may be "
                    "wrong. Measure it: emonet framing MODEL --data DATA --detector %s",
                    config.detector.name, config.detector.name,
                )  # fmt: skip
                self._warned = True
        return config.framing_for(config.detector.name)

    @property
    def runtimes(self) -> dict[str, RuntimeName]:
        """The runtime of each network by the network's name."""
        return {part.name: runtime_of(self.model, part.name) for part in self.model.config.networks}

    def by_size(self, faces: NDArray[np.uint8] | Iterable[ImageSource]) -> FacesBySize:
        """Resize faces to every size that a network needs."""
        return faces_by_size(faces, self.model.config.face_sizes)

    def predict_proba(
        self, faces: NDArray[np.uint8] | Iterable[ImageSource]
    ) -> NDArray[np.float32]:
        """Return float32 (n, classes) probabilities of face crops."""
        return self.ensemble.predict_proba(self.by_size(faces))

    def feature_effects(
        self, faces: NDArray[np.uint8] | Iterable[ImageSource]
    ) -> list[tuple[FeatureEffect, ...]]:
        """Return the effects of the parts of each face's feature vectors."""
        config, ensemble = self.model.config, self.ensemble
        means = [
            {
                name: self.model.weights[part.name][f"head/{STANDARDISED.format(name)}/moving_mean"]
                for name in network.extractors
            }
            for part, network in zip(config.networks, ensemble.networks, strict=True)
        ]
        return feature_effects(ensemble, self.by_size(faces), means, config.labels)


_all: WeakSet[Sessions] = WeakSet()


def _forget_all() -> None:
    for sessions in list(_all):
        sessions.forget()


after_fork(_forget_all)


def _same_networks(first: Model, second: Model) -> bool:
    """Return whether two models have the same networks; ensemble weights may differ."""

    def networks(model: Model) -> list[NetworkConfig]:
        return [replace(part, weight=1.0) for part in model.config.networks]

    return (
        first.weights is second.weights
        and first.graphs is second.graphs
        and first.config.labels == second.config.labels
        and networks(first) == networks(second)
    )
