"""From a configuration and weights to files that other runtimes and programs take."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from emonet.composition import build_ensemble, build_network
from emonet.config import NetworkConfig, RecognizerConfig
from emonet.errors import ExportError
from emonet.network.ensemble import Ensemble
from emonet.network.network import KerasNetwork
from emonet.network.runtimes import ExportFormat
from emonet.pipeline.crops import FacesBySize
from emonet.registry.catalog import Catalog

__all__ = ["export", "export_format", "export_graphs", "quantise_graphs"]

logger = logging.getLogger("emonet")


def export_graphs(
    catalog: Catalog, networks: Iterable[NetworkConfig], *, num_classes: int
) -> dict[str, bytes]:
    """Return the graphs of those networks that can have one, by the network's name."""
    graphs: dict[str, bytes] = {}
    known: dict[str, bytes | None] = {}  # networks of one architecture have one graph
    for network in networks:
        architecture = repr(replace(network, name="any", weight=1.0))
        if architecture not in known:
            known[architecture] = _export_graph(catalog, network, num_classes)
        if (graph := known[architecture]) is not None:
            graphs[network.name] = graph
    return graphs


def export_format(file: str | Path) -> ExportFormat:
    """Tell the format of an exported file by its name's end."""
    return "litert" if Path(file).suffix.lower() == ".tflite" else "onnx"


def quantise_graphs(
    catalog: Catalog,
    config: RecognizerConfig,
    weights: Mapping[str, Mapping[str, NDArray[Any]]],
    faces: FacesBySize,
) -> dict[str, bytes]:
    """Return graphs in int8, with weights of their own, by the network's name.

    Args:
        catalog: where components are looked up.
        config: the recognizer.
        weights: by network and by layer.
        faces: those that the ranges of values are measured on, in every network's size.

    Raises:
        ExportError: a network has feature extractors, or Keras can't export it.
        MissingDependencyError: onnxruntime lacks a package to do it.
    """
    from emonet.network.formats import export_onnx
    from emonet.network.quantising import quantised

    ensemble = _build_of_pixels(catalog, config, weights)
    return {
        member.name: quantised(
            export_onnx(cast("KerasNetwork", network).model), faces[member.face_size]
        )
        for member, network in zip(config.networks, ensemble.networks, strict=True)
    }


def export(
    catalog: Catalog,
    config: RecognizerConfig,
    weights: Mapping[str, Mapping[str, NDArray[Any]]],
    format: ExportFormat,
    *,
    int8_faces: NDArray[np.uint8] | None,
) -> bytes:
    """Return networks, calibration and views as the bytes of one file for other programs.

    Args:
        catalog: where components are looked up.
        config: the recognizer.
        weights: by network and by layer.
        format: of the file.
        int8_faces: those that the ranges of an ONNX file in int8 are measured on, in the
            largest network's size; None: a file in float32.

    Raises:
        ExportError: a network has feature extractors, which other programs lack, or a part
            without a form in that format.
        MissingDependencyError: onnxruntime lacks a package to quantise.
    """
    from emonet.network.formats import export_litert, export_onnx
    from emonet.network.one_model import one_model
    from emonet.network.quantising import quantised

    model = one_model(_build_of_pixels(catalog, config, weights))
    if format == "litert":
        return export_litert(model)
    file = export_onnx(model)
    return file if int8_faces is None else quantised(file, int8_faces)


def _build_of_pixels(
    catalog: Catalog, config: RecognizerConfig, weights: Mapping[str, Mapping[str, NDArray[Any]]]
) -> Ensemble:
    """Build the networks with Keras; refuse one that needs more than faces."""
    for member in config.networks:
        if member.features:
            names = ", ".join(part.name for part in member.features)
            raise ExportError(
                f"{member.name} needs the feature extractor {names}, which graphs and other "
                f"programs do not have: take a model of pixels alone"
            )
    return build_ensemble(catalog, config, weights, graphs={})


def _export_graph(catalog: Catalog, config: NetworkConfig, num_classes: int) -> bytes | None:
    from emonet.network.graphs import export_graph

    try:
        return export_graph(build_network(catalog, config, num_classes=num_classes).model)
    except ExportError as error:
        logger.warning("%s is saved without a graph, so Keras runs it: %s", config.name, error)
        return None
