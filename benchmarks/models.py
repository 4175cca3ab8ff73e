"""The bundled models on ready faces, carried out as ``predict_proba`` does it."""

import emonet
from benchmarks.faces import ready_faces
from benchmarks.flops import flops_per_face
from benchmarks.memory import peak_mib, reset_peak
from benchmarks.options import Options
from benchmarks.peak import peak_flops_per_s
from benchmarks.timing import measure as timed
from emonet.config import RecognizerConfig

FACES = (1, 128, 256, 512)
RUNTIMES = ("onnxruntime", "keras")

KEYS = ("model", "runtime", "faces")
METRICS = ("images_per_s", "ms_p50", "ms_p95", "share_of_peak", "peak_rss_mib")
DETAILS = ("parameters", "flops_per_face", "ms_first", "runs")


def tasks(options: Options) -> list[list[dict]]:
    """Return rows to measure, each in a process of its own: the peak's product brings Keras."""
    from emonet.storage.sources import bundled_models

    return [
        [{"model": name, "runtime": runtime, "faces": count}]
        for name in bundled_models()
        for runtime in RUNTIMES
        for count in (FACES[:1] if options.quick else FACES)
    ]


def measure(task: dict, options: Options) -> dict:
    """Measure one model on so many faces at once, which it divides as it likes."""
    recognizer = emonet.EmotionRecognizer.from_pretrained(task["model"], runtime=task["runtime"])
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


def _peak(runtime: str, config: RecognizerConfig, *, quick: bool) -> float | None:
    """Return the peak of what computes, in float32; None for what computes in int8."""
    if runtime == "keras":
        return peak_flops_per_s("float32", quick=quick)
    if any(network.graph_precision != "float32" for network in config.networks):
        return None
    return peak_flops_per_s("float32", quick=quick, device="CPU")  # emonet's onnxruntime has no GPU


def _size(config: RecognizerConfig) -> tuple[int, int]:
    """Return parameters and operations per face of all networks and views together."""
    from emonet.composition import build_network
    from emonet.network.views import views
    from emonet.registry.catalog import get_catalog

    models = [
        build_network(get_catalog(), network, num_classes=len(config.labels)).model
        for network in config.networks
    ]
    seen = sum(1 for _ in views(ready_faces(1, Options()), config.test_time_augmentation))
    parameters = sum(model.count_params() for model in models)
    return parameters, seen * sum(flops_per_face(model) for model in models)
