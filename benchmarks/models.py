"""Measure ``predict_proba`` of the bundled models on face crops."""

import emonet
from benchmarks.faces import ready_faces
from benchmarks.flops import flops_per_face
from benchmarks.memory import peak_mib, reset_peak
from benchmarks.options import Options
from benchmarks.peak import peak_flops_per_s
from benchmarks.timing import measure as timed
from emonet.config import ModelConfig

FACES = (1, 128, 256, 512)
RUNTIMES = ("onnxruntime", "keras")

KEYS = ("model", "runtime", "faces")
METRICS = ("images_per_s", "ms_p50", "ms_p95", "share_of_peak", "peak_rss_mib")
DETAILS = ("parameters", "flops_per_face", "ms_first", "runs")


def tasks(options: Options) -> list[list[dict]]:
    """Return rows to measure, each in its own process, because the peak loads Keras."""
    from emonet.storage.sources import bundled_models

    return [
        [{"model": name, "runtime": runtime, "faces": count}]
        for name in bundled_models()
        for runtime in RUNTIMES
        for count in (FACES[:1] if options.quick else FACES)
    ]


def measure(task: dict, options: Options) -> dict:
    """Measure one call of predict_proba with ``task["faces"]`` faces."""
    # onnxruntime is compared with the peak of the CPU.
    device = "cpu" if task["runtime"] == "onnxruntime" else "auto"
    recognizer = emonet.EmotionRecognizer.from_pretrained(
        task["model"], runtime=task["runtime"], device=device
    )
    faces = ready_faces(task["faces"], options)
    reset_peak()
    times = timed(
        lambda: recognizer.predict_proba(faces), runs=options.runs, seconds=options.seconds
    )
    memory = peak_mib()
    per_second = 1000 * len(faces) / times["ms_p50"]
    parameters, flops = _size(recognizer.config)
    peak = _peak(task["runtime"], recognizer.config, quick=options.quick)
    return {
        **times,
        "images_per_s": per_second,
        "peak_rss_mib": memory,
        "parameters": parameters,
        "flops_per_face": flops,
        "share_of_peak": peak and flops * per_second / peak,
    }


def _peak(runtime: str, config: ModelConfig, *, quick: bool) -> float | None:
    """Return the float32 peak of the device that runs the model; None for int8 models."""
    if runtime == "keras":
        return peak_flops_per_s("float32", quick=quick)
    if any(network.graph_precision != "float32" for network in config.networks):
        return None
    return peak_flops_per_s("float32", quick=quick, device="CPU")


def _size(config: ModelConfig) -> tuple[int, int]:
    """Return the parameters of all networks and their operations per face, views included."""
    from emonet.assembly.networks import build_network
    from emonet.network.views import views

    models = [
        build_network(network, num_classes=len(config.labels)).model for network in config.networks
    ]
    seen = sum(1 for _ in views(ready_faces(1, Options()), config.test_time_augmentation))
    parameters = sum(model.count_params() for model in models)
    return parameters, seen * sum(flops_per_face(model) for model in models)
