"""Export models: graphs for onnxruntime, and files for other programs."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from emonet.assembly.networks import build_keras_models, build_network
from emonet.config import NetworkConfig
from emonet.errors import ExportError
from emonet.model import Model
from emonet.network.graph_source import with_source
from emonet.pipeline.crops import FacesBySize
from emonet.support.dependencies import require

logger = logging.getLogger("emonet")

#: Formats of exported files; LiteRT was called TensorFlow Lite.
ExportFormat = Literal["onnx", "litert"]


def with_graphs(model: Model) -> Model:
    """Return the model with a graph for every network that Keras can export."""
    model = model.in_float32()
    graphs = dict(model.graphs)
    known: dict[str, bytes | None] = {}  # networks of one architecture share a graph
    for network in model.config.networks:
        if network.name in graphs:
            continue
        architecture = repr(replace(network, name="any", weight=1.0))
        if architecture not in known:
            known[architecture] = _export_graph(network, len(model.config.labels))
        if (graph := known[architecture]) is not None:
            graphs[network.name] = graph
    return replace(model, graphs=graphs)


def export_format(file: str | Path) -> ExportFormat:
    """Return the export format that a file's suffix stands for."""
    return "litert" if Path(file).suffix.lower() == ".tflite" else "onnx"


def quantise(model: Model, faces: FacesBySize) -> Model:
    """Return the model with int8 graphs, whose value ranges are measured on the faces."""
    _require_pixels_only(model.config.networks)
    from emonet.network.formats import export_onnx
    from emonet.network.quantising import quantised

    graphs = {}
    for part, built in zip(model.config.networks, build_keras_models(model), strict=True):
        graph = quantised(export_onnx(built), faces[part.face_size])
        graphs[part.name] = with_source(graph, model.weights[part.name])
    return model.quantised(graphs)


def export(
    model: Model, format: ExportFormat, *, int8_faces: NDArray[np.uint8] | None = None
) -> bytes:
    """Return networks, calibration and views as one file for other programs.

    With ``int8_faces`` in the largest network's size, an ONNX file computes in int8; value ranges
    are measured on them.
    """
    require("export", "Exporting")
    _require_pixels_only(model.config.networks)
    from emonet.network.export_model import export_model
    from emonet.network.formats import export_litert, export_onnx
    from emonet.network.quantising import quantised

    whole = export_model(build_keras_models(model), model.config)
    if format == "litert":
        return export_litert(whole)
    file = export_onnx(whole)
    return file if int8_faces is None else quantised(file, int8_faces)


def _require_pixels_only(networks: Sequence[NetworkConfig]) -> None:
    """Raise ExportError if a network needs more than the faces' pixels."""
    for network in networks:
        if network.features:
            names = ", ".join(part.name for part in network.features)
            raise ExportError(
                f"{network.name} uses the feature extractor {names}, which can't be exported. "
                f"Export a model of pixels alone"
            )


def _export_graph(config: NetworkConfig, num_classes: int) -> bytes | None:
    network = build_network(config, num_classes=num_classes)
    from emonet.network.graphs import export_graph

    try:
        return export_graph(network.model)
    except ExportError as error:
        logger.warning("%s has no graph; Keras will run it: %s", config.name, error)
        return None
