"""Compare training steps with the real input pipeline and steps on a ready batch.

Steps on a ready batch are also measured with Keras' own, unfused batch normalisation.
"""

import time
from contextlib import AbstractContextManager, nullcontext
from itertools import cycle

import numpy as np

import emonet
from benchmarks.devices import gpu_peak_mib, reset_gpu_peak
from benchmarks.memory import peak_mib, reset_peak
from benchmarks.networks import MIXED
from benchmarks.options import Options
from benchmarks.processes import ran_size
from benchmarks.timing import measure as timed
from benchmarks.timing import summary

RECIPE = "scratch"
#: Faces in FER-2013's training split; the learning rate's schedule depends on the number.
FACES = 28_709

KEYS = ("backbone", "precision", "compile", "batch_size")
#: Steps to leave out: their batches may be made while the first step compiles (two threads hold
#: one each, the queue holds one). Later steps are described by their mean. The median is wrong if
#: two batches arrive at once.
AHEAD = 3

METRICS = (
    "images_per_s",
    "ready_images_per_s",
    "share_of_ready",
    "times_unfused",
    "input_share",
    "peak_rss_mib",
    "peak_gpu_mib",
)
DETAILS = ("ms_p50", "ms_p95", "input_ms", "step_ms", "ms_first", "runs")


def tasks(options: Options) -> list[list[dict]]:
    """Return rows to measure, each in its own process."""
    size = min(emonet.RECIPES[RECIPE].batch_size, max(options.batch_sizes))
    return [
        [{"backbone": backbone, "precision": precision, "compile": compiled, "batch_size": size}]
        for backbone in options.backbones
        for precision in options.precisions
        # XLA needs a long time to compile a training step.
        for compiled in (options.compile[:1] if options.quick else options.compile)
    ]


def measure(task: dict, options: Options) -> dict:
    """Measure training steps of one network, as ``fit`` runs them."""
    import tensorflow as tf

    size = ran_size(task)
    model, batches = _model(task), _batches(size, 1 + AHEAD + options.runs)
    ready = tf.data.Dataset.from_tensors(batches[0]).repeat(1 + options.runs)
    reset_peak()
    reset_gpu_peak()
    real = _steps(model, batches, options, _fused(model), ahead=AHEAD)
    memory = {"peak_rss_mib": peak_mib(), "peak_gpu_mib": gpu_peak_mib()}
    step_ms = _steps(model, ready, options, _fused(model))["ms_mean"]
    unfused_ms = _steps(_model(task), ready, options, nullcontext())["ms_mean"]
    indices = cycle(range(len(batches)))
    made = timed(lambda: batches[next(indices)], runs=options.runs, seconds=options.seconds)
    return {
        **real,
        **memory,
        "images_per_s": 1000 * size / real["ms_mean"],
        "ready_images_per_s": 1000 * size / step_ms,
        "share_of_ready": step_ms / real["ms_mean"],
        "times_unfused": unfused_ms / step_ms,
        "input_ms": made["ms_p50"],
        "step_ms": step_ms,
        "input_share": made["ms_p50"] / step_ms,
    }


def _fused(model) -> AbstractContextManager[None]:
    from emonet.training.normalisation import fused_normalisation

    return fused_normalisation(model)


def _steps(
    model,
    batches,
    options: Options,
    normalisation: AbstractContextManager[None],
    *,
    ahead: int = 0,
) -> dict:
    """Time the steps of one ``fit``; the first step compiles and is reported separately.

    Args:
        model: a compiled Keras model.
        batches: one batch for each step.
        options: options of the run.
        normalisation: context in which the steps run: fused batch normalisation or none.
        ahead: number of steps to leave out after the first.
    """
    import keras

    ends: list[float] = []

    def note(batch: int, logs: dict) -> None:
        float(logs["loss"])  # converting the loss waits for the device
        ends.append(time.perf_counter())
        measured = ends[ahead:]
        model.stop_training = len(measured) > 1 and measured[-1] - measured[0] > options.seconds

    start = time.perf_counter()
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=note)
    with normalisation:
        model.fit(batches, shuffle=False, verbose=0, callbacks=[callback])
    times = (1000 * np.diff(ends[ahead:])).tolist()
    return summary(times, first=1000 * (ends[0] - start), runs=options.runs)


def _model(task: dict):
    from emonet.assembly.networks import build_network
    from emonet.training.loop import compile_phase

    network = build_network(
        emonet.EmotionRecognizer(task["backbone"]).config.networks[0],
        num_classes=7,
        precision=MIXED.get(task["precision"], task["precision"]),
        seed=0,
    )
    recipe = emonet.RECIPES[RECIPE]
    compile_phase(network, recipe.phases[-1], recipe, count=FACES)
    network.model.jit_compile = task["compile"]
    return network.model


def _batches(size: int, steps: int):
    """Return batches of random faces, made as the recipe says."""
    from emonet.training.batches import Examples, TrainingBatches, smoothed

    random = np.random.default_rng(0)
    recipe = emonet.RECIPES[RECIPE]
    faces = random.integers(0, 256, (steps * size, 48, 48), dtype=np.uint8)
    labels = np.eye(7, dtype=np.float32)[random.integers(0, 7, steps * size)]
    batches = TrainingBatches(
        Examples(faces=faces, targets=smoothed(labels, recipe.label_smoothing)),
        batch_size=size,
        augmentation=recipe.augmentation,
        mixup=recipe.mixup,
        seed=0,
        epoch=0,
    )
    batches.max_queue_size = 1
    return batches
