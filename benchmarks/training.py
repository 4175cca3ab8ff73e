"""Compare training steps with the real input pipeline and steps on a ready batch.

On TensorFlow, the host makes the batches. Steps on a ready batch are also measured with Keras' own,
unfused batch normalisation. On JAX, the device makes the batches, and XLA always compiles.
"""

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import cycle

import numpy as np

import emonet
from benchmarks.devices import backend, gpu_peak_mib, reset_gpu_peak
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
    if backend() == "tensorflow":
        return _measure_on_host(task, options)
    if backend() == "jax":
        return _measure_on_device(task, options)
    return {"skipped": f"training is measured on TensorFlow and JAX, not on {backend()}"}


def _measure_on_host(task: dict, options: Options) -> dict:
    """Measure steps whose batches come from the host."""
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
        **_summarised(real, step_ms, size, memory),
        "times_unfused": unfused_ms / step_ms,
        "input_ms": made["ms_p50"],
        "input_share": made["ms_p50"] / step_ms,
    }


def _measure_on_device(task: dict, options: Options) -> dict:
    """Measure steps whose batches the device makes; ready batches are faces without changes.

    JAX always compiles with XLA, whatever the row says about the compiler.
    """
    recipe, size = emonet.RECIPES[RECIPE], ran_size(task)
    plain = replace(recipe, augmentation=type(recipe.augmentation)(), mixup=0.0)
    reset_peak()
    reset_gpu_peak()
    real = _device_steps(task, replace(recipe, batch_size=size), options)
    memory = {"peak_rss_mib": peak_mib(), "peak_gpu_mib": gpu_peak_mib()}
    ready = _device_steps(task, replace(plain, batch_size=size), options)
    return _summarised(real, ready["ms_mean"], size, memory)


def _summarised(real: dict, step_ms: float, size: int, memory: dict) -> dict:
    return {
        **real,
        **memory,
        "images_per_s": 1000 * size / real["ms_mean"],
        "ready_images_per_s": 1000 * size / step_ms,
        "share_of_ready": step_ms / real["ms_mean"],
        "step_ms": step_ms,
    }


def _fused(model) -> AbstractContextManager[None]:
    from emonet.training.normalisation import fused_normalisation

    return fused_normalisation(model)


class _Ends:
    """Note when the calls of steps end, and stop the model after some seconds."""

    def __init__(self, model, seconds: float, *, ahead: int = 0) -> None:
        import keras

        self._model, self._seconds, self._ahead = model, seconds, ahead
        self._start = time.perf_counter()
        self.ends: list[float] = []
        self.steps: list[int] = []
        self.callback = keras.callbacks.LambdaCallback(on_train_batch_end=self._note)

    def _note(self, batch: int, logs: dict) -> None:
        float(logs["loss"])  # converting the loss waits for the device
        self.ends.append(time.perf_counter())
        self.steps.append(batch + 1)
        measured = self.ends[self._ahead :]
        long = len(measured) > 1 and measured[-1] - measured[0] > self._seconds
        self._model.stop_training = long

    def summary(self, runs: int) -> dict:
        """Return the statistics of a step; the first call compiles and is reported separately."""
        ends, steps = self.ends[self._ahead :], self.steps[self._ahead :]
        times = (1000 * np.diff(ends) / np.diff(steps)).tolist()
        return summary(times, first=1000 * (self.ends[0] - self._start), runs=runs)


def _steps(
    model,
    batches,
    options: Options,
    normalisation: AbstractContextManager[None],
    *,
    ahead: int = 0,
) -> dict:
    """Time the steps of one ``fit``.

    Args:
        model: a compiled Keras model.
        batches: one batch for each step.
        options: options of the run.
        normalisation: context in which the steps run: fused batch normalisation or none.
        ahead: number of steps to leave out after the first.
    """
    ends = _Ends(model, options.seconds, ahead=ahead)
    with normalisation:
        model.fit(batches, shuffle=False, verbose=0, callbacks=[ends.callback])
    return ends.summary(options.runs)


def _device_steps(task: dict, recipe: emonet.Recipe, options: Options) -> dict:
    """Time the steps of one epoch with the data on the device."""
    from emonet.training.device_steps import DeviceSteps, steps_per_call

    model = _model(task)
    count = recipe.batch_size * steps_per_call() * (2 + options.runs)  # the first call compiles
    steps = DeviceSteps(model, recipe, _examples(count))
    model.stop_training = False
    ends = _Ends(model, options.seconds)
    steps.run_epoch(seed=0, epoch=0, unmixed=False, title="", callback=ends.callback)
    return ends.summary(options.runs)


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


def _examples(count: int):
    """Return random faces with smoothed labels."""
    from emonet.training.batches import Examples, smoothed

    random = np.random.default_rng(0)
    faces = random.integers(0, 256, (count, 48, 48), dtype=np.uint8)
    labels = np.eye(7, dtype=np.float32)[random.integers(0, 7, count)]
    return Examples(faces, smoothed(labels, emonet.RECIPES[RECIPE].label_smoothing))


def _batches(size: int, steps: int):
    """Return batches of random faces, made as the recipe says."""
    from emonet.training.batches import TrainingBatches

    recipe = emonet.RECIPES[RECIPE]
    batches = TrainingBatches(
        _examples(steps * size),
        batch_size=size,
        augmentation=recipe.augmentation,
        mixup=recipe.mixup,
        seed=0,
        epoch=0,
    )
    batches.max_queue_size = 1
    return batches
