"""Hook of mkdocs: adds models, runtime and sample photo to the live page in ``browser/``.

The models come from the emonet package. The runtime is onnxruntime-web, which ``npm ci`` puts into
``node_modules``. Without it the site is built all the same, and the live page says what is missing.
"""

import json
import logging
from pathlib import Path

from mkdocs.structure.files import File

import emonet
from emonet.pipeline.crops import MIN_ROLL

logger = logging.getLogger("mkdocs.hooks.browser")

RUNTIME = Path(__file__).parents[2] / "node_modules" / "onnxruntime-web"
#: Of the npm package, in its folder dist: WebAssembly alone, without WebGPU. Releases after the one
#: that package.json pins have larger files, and the page must load in 16 MB.
FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
MODEL = "tiny"


def on_files(files, config):
    """Add the files of the live page."""

    def add(name, **source):
        files.append(File.generated(config, f"browser/{name}", **source))

    recognizer = emonet.EmotionRecognizer.from_pretrained(MODEL)
    (network,) = recognizer.config.networks
    # The weights of an int8 graph are inside the graph.
    assert network.graph_precision == "int8"
    add("tiny.onnx", content=recognizer.model.graphs[network.name])
    add("yunet.onnx", content=any_size(yunet()))
    add("config.json", content=json.dumps(settings(recognizer), indent=1))
    add("sample.jpg", abs_src_path=str(emonet.sample_photo()))
    for licence in yunet().parent.glob("LICENSE*"):
        add(f"licences/{licence.name}", abs_src_path=str(licence))
    if not RUNTIME.is_dir():
        logger.info(
            "The live page in browser/ will not work: onnxruntime-web is missing. Install npm, run "
            "'npm ci --ignore-scripts', and build the site again"
        )
        return files
    for name in FILES:
        add(f"runtime/{name}", abs_src_path=str(RUNTIME / "dist" / name))
    return files


def settings(recognizer):
    """Return the part of the model's configuration that recognizer.js needs."""
    config = recognizer.config
    framing = config.framing[config.detector.name]
    return {
        "labels": config.labels,
        "face_size": config.face_sizes[0],
        "temperature": config.temperature,
        "alignment": config.alignment,
        "min_roll": MIN_ROLL,
        "framing": {name: getattr(framing, name) for name in ("scale", "shift_x", "shift_y")},
        "detector": {
            name: config.detector.config[name]
            for name in ("score_threshold", "nms_threshold", "max_side")
        },
    }


def yunet():
    """Return the path of YuNet's file in emonet."""
    from emonet_detectors.yunet import FILE

    return FILE


def any_size(path):
    """Return YuNet's file with inputs of any size, instead of 640x640 pixels."""
    import onnx

    model = onnx.load(path)
    (image,) = model.graph.input
    for axis, name in ((2, "height"), (3, "width")):
        image.type.tensor_type.shape.dim[axis].dim_param = name
    for grid in model.graph.output:
        grid.type.tensor_type.shape.dim[1].dim_param = f"{grid.name}_cells"
    del model.graph.value_info[:]
    return model.SerializeToString()
