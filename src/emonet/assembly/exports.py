"""Export models: graphs for onnxruntime, and files for other programs."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from emonet.assembly.networks import build_keras_models, build_network
from emonet.config import ModelConfig, NetworkConfig
from emonet.errors import ExportError
from emonet.model import Model
from emonet.network.composing import compose, for_transformers_js, with_metadata
from emonet.network.graph_source import with_source
from emonet.network.network import graph_weights
from emonet.pipeline.crops import FacesBySize
from emonet.runtimes.onnx_runtime import simplified
from emonet.support.dependencies import require
from emonet.support.versions import emonet_version

logger = logging.getLogger("emonet")

#: Formats of exported files; LiteRT was called TensorFlow Lite.
ExportFormat = Literal["onnx", "litert", "transformers-js"]

_README = """---
library_name: transformers.js
pipeline_tag: image-classification
{license}tags:
- facial-expression-recognition
- emotion
---

# Facial expressions with Transformers.js

This model classifies the expression of one face that is cut out already. Its labels are
{labels}. emonet {version} exported it.

```js
import {{ pipeline }} from "@huggingface/transformers";

const classify = await pipeline("image-classification", "this-repository", {{ dtype: "fp32" }});
console.log(await classify("face.png"));
```
"""


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
    model: Model,
    format: ExportFormat,
    *,
    int8_faces: NDArray[np.uint8] | None = None,
    license: str | None = None,
) -> dict[str, bytes]:
    """Return networks, calibration and views as files for other programs.

    Args:
        model: a model without feature extractors.
        format: the format of the files.
        int8_faces: uint8 (n, height, width) in the largest network's size. With them, an ONNX
            file computes in int8; value ranges are measured on them.
        license: licence of the weights.

    Returns:
        The bytes of each file by its path in a folder. A format of one file has the path ``""``.
    """
    _require_pixels_only(model.config.networks)
    if format == "litert":
        return {"": _export_litert(model)}
    file = _export_onnx(model, int8_faces)
    if format == "onnx":
        return {"": with_metadata(file, _metadata(model.config, license), emonet_version())}
    file = with_metadata(
        for_transformers_js(file), _metadata(model.config, license), emonet_version()
    )
    return _transformers_js(model.config, file, license)


def _export_litert(model: Model) -> bytes:
    require("export", "Exporting to LiteRT")
    from emonet.network.export_model import export_model
    from emonet.network.formats import export_litert

    return export_litert(export_model(build_keras_models(model), model.config))


def _export_onnx(model: Model, int8_faces: NDArray[np.uint8] | None) -> bytes:
    """Return an ONNX file without metadata. Only networks without a graph need Keras."""
    networks = model.config.networks
    if int8_faces is not None and any(part.graph_precision == "int8" for part in networks):
        model = replace(model, graphs={})
    if any(part.name not in model.graphs for part in networks):
        require("export", "Exporting a model without ONNX graphs")
        model = with_graphs(model)
        if missing := [part.name for part in networks if part.name not in model.graphs]:
            raise ExportError(
                f"Keras can't export {', '.join(missing)} to ONNX, as the warning in the log says. "
                f"Keras still runs the model"
            )
    weights = {
        part.name: graph_weights(model.weights[part.name], part.graph_precision)
        for part in model.config.networks
    }
    file = simplified(compose(model.config, model.graphs, weights))
    if int8_faces is None:
        return file
    from emonet.network.quantising import quantised

    return quantised(file, int8_faces)


def _metadata(config: ModelConfig, license: str | None) -> dict[str, str]:
    """Return what another program needs to know about a file, as ONNX's metadata."""
    height, width = config.face_sizes[0]
    networks = [
        f"{part.backbone.name} ({part.backbone.distribution} {part.backbone.distribution_version})"
        for part in config.networks
    ]
    entries = {
        "labels": json.dumps(config.labels),
        "preprocessing": (
            f"Faces are framed as 'framing' says for the detector, grey (0.299 R + 0.587 G + "
            f"0.114 B), {height}x{width} pixels (height x width), 0..255"
        ),
        "framing": json.dumps({name: asdict(each) for name, each in config.framing.items()}),
        "networks": ", ".join(networks),
        "test_time_augmentation": config.test_time_augmentation,
        "temperature": str(config.temperature),
        "emonet_version": emonet_version(),
    }
    return entries if license is None else {**entries, "license": license}


def _transformers_js(config: ModelConfig, file: bytes, license: str | None) -> dict[str, bytes]:
    """Return the files of a repository for Transformers.js."""
    height, width = config.face_sizes[0]
    names = dict(enumerate(config.labels))
    model = {
        # Transformers.js knows image classifiers by their type. All types are run alike: the file
        # gets pixel_values and returns logits.
        "model_type": "resnet",
        "architectures": ["ResNetForImageClassification"],
        "id2label": names,
        "label2id": {label: index for index, label in names.items()},
        "exporter": f"emonet {emonet_version()}",
    }
    preprocessor = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": height, "width": width},
        "resample": 2,  # bilinear
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": False,
    }
    readme = _README.format(
        license="" if license is None else f"license: {license}\n",
        labels=", ".join(config.labels),
        version=emonet_version(),
    )
    return {
        "README.md": readme.encode(),
        "config.json": _json(model),
        "preprocessor_config.json": _json(preprocessor),
        "onnx/model.onnx": file,
    }


def _json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, indent=2).encode()


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
