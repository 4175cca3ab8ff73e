"""Measure the network of each backbone on ready batches: speed, memory and share of the peak."""

from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

import emonet
from benchmarks.devices import (
    can_run_uncompiled,
    forward,
    gpu_peak_mib,
    on_device,
    reset_gpu_peak,
)
from benchmarks.flops import flops_per_face
from benchmarks.memory import peak_mib, reset_peak
from benchmarks.options import Options
from benchmarks.peak import peak_flops_per_s
from benchmarks.processes import ran_size
from benchmarks.timing import measure as timed

if TYPE_CHECKING:
    from emonet.network.network import KerasNetwork

PIXELS = "pixels"
#: Keras' names of mixed precisions: layers compute in 16 bits and keep weights in 32 bits.
MIXED = {"bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}

KEYS = ("backbone", "features", "precision", "compile", "batch_size")
METRICS = ("images_per_s", "ms_p50", "ms_p95", "share_of_peak", "peak_rss_mib", "peak_gpu_mib")
DETAILS = ("parameters", "flops_per_face", "extractor_ms_per_face", "ms_first", "runs")


def tasks(options: Options) -> list[list[dict]]:
    """Return rows to measure; rows that differ only in the batch size share a process.

    Small batches come first, because a large batch leaves memory allocated.
    """
    kinds = product(options.backbones, options.features, options.precisions, options.compile)
    return [
        [dict(zip(KEYS, (*kind, size), strict=True)) for size in sorted(options.batch_sizes)]
        for kind in kinds
    ]


def measure(task: dict, options: Options) -> dict:
    """Measure one network with one batch size; its inputs are on the device already."""
    if not task["compile"] and not can_run_uncompiled():
        return {"skipped": "JAX always compiles with XLA"}
    network = _network(task["backbone"], task["features"], task["precision"])
    size = ran_size(task)
    random = np.random.default_rng(0)
    faces = random.integers(0, 256, (size, *network.face_size), dtype=np.uint8)
    vectors = [
        random.uniform(size=(size, extractor.num_features))
        for extractor in network.extractors.values()
    ]
    inputs = [on_device(array, "float32") for array in (faces, *vectors)]
    function = forward(network.model, xla=task["compile"])
    reset_peak()
    reset_gpu_peak()
    times = timed(lambda: function(*inputs), runs=options.runs, seconds=options.seconds)
    memory = {"peak_rss_mib": peak_mib(), "peak_gpu_mib": gpu_peak_mib()}
    per_second = size / times["ms_p50"] * 1000
    flops = _flops(task["backbone"], task["features"], task["precision"])
    peak = peak_flops_per_s(task["precision"], quick=options.quick)
    return {
        **times,
        **memory,
        "images_per_s": per_second,
        "parameters": network.model.count_params(),
        "flops_per_face": flops,
        "peak_flops_per_s": peak,
        "share_of_peak": flops * per_second / peak,
        **_extraction(task["features"], min(size, 128), options),
    }


@lru_cache(maxsize=1)
def _network(backbone: str, features: str, precision: str) -> "KerasNetwork":
    from emonet.assembly.networks import build_network

    chosen = {} if features == PIXELS else {features: extractor_settings(features)}
    recognizer = emonet.EmotionRecognizer(backbone, chosen)
    return build_network(
        recognizer.config.networks[0],
        num_classes=len(recognizer.labels),
        precision=MIXED.get(precision, precision),
        seed=0,
    )


@lru_cache
def _flops(backbone: str, features: str, precision: str) -> int:
    return flops_per_face(_network(backbone, features, precision).model)


@lru_cache
def extractor_settings(name: str) -> dict:
    """Return settings that leave out BOVW's landmarks if their model is not installed."""
    try:
        emonet.create_feature_extractor(name)
    except emonet.EmonetError:
        if name != "bovw":
            raise
        return {"landmarks": False}
    return {}


@lru_cache
def _extraction(features: str, size: int, options: Options) -> dict:
    """Return the time of a feature extractor, which does not depend on the network."""
    if features == PIXELS:
        return {}
    settings = extractor_settings(features)
    extractor = emonet.create_feature_extractor(features, **settings)
    faces = np.random.default_rng(0).integers(0, 256, (size, 48, 48), dtype=np.uint8)
    times = timed(lambda: extractor.transform(faces), runs=options.runs, seconds=options.seconds)
    return {"extractor_settings": settings, "extractor_ms_per_face": times["ms_p50"] / size}
