"""Compare ``emonet batch`` with ``stream``, and its engine Ray with its local engine.

Both read the same shards of small photos, in turns. Each run loads the model. Ray itself starts
once, before the runs. ``fixed_s`` is the time of a run on a shard of one photo.
``cpu_times_reference`` compares processor time, which other programs disturb less; for Ray it is
missing, because the actors are other processes.
"""

import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import emonet
from benchmarks.many_photos import make_photos
from benchmarks.options import Options
from benchmarks.photos import example_photo
from emonet.batch import run_batch

PHOTOS = 2000
QUICK_PHOTOS = 20
SHARDS = 20
MODEL = "tiny"
#: What each engine is compared with.
REFERENCES = {"local": "stream", "ray": "local"}

KEYS = ("engine", "reference")
METRICS = (
    "times_reference",
    "cpu_times_reference",
    "images_per_s",
    "reference_images_per_s",
    "fixed_s",
    "reference_fixed_s",
)
DETAILS = ("model", "images", "faces", "runs")


def tasks(options: Options) -> list[list[dict]]:
    """Return a row for each engine that is installed."""
    installed = [engine for engine in REFERENCES if engine == "local" or find_spec("ray")]
    return [[{"engine": engine, "reference": REFERENCES[engine]}] for engine in installed]


def measure(task: dict, options: Options) -> dict:
    """Measure one engine and its reference."""
    count = QUICK_PHOTOS if options.quick else PHOTOS
    with tempfile.TemporaryDirectory() as folder, example_photo() as photo:
        photos = Path(photo).parent if options.photos is None else Path(options.photos)
        shards = make_photos(photos, count, Path(folder, "many"), shard_photos=count // SHARDS)
        one = make_photos(photos, 1, Path(folder, "one"))
        names = (task["engine"], task["reference"])
        for name in names:
            _run(name, one)  # to warm up; also starts Ray
        fixed = {name: _run(name, one)[0] for name in names}
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        end = time.perf_counter() + options.seconds
        while len(times[task["engine"]]) < options.runs:
            for name in names:
                times[name].append(_run(name, shards))
            if time.perf_counter() > end:
                break
        faces = sum(len(result.faces) for result in _stream(shards))
    own, own_cpu = zip(*times[task["engine"]], strict=True)
    reference, reference_cpu = zip(*times[task["reference"]], strict=True)
    here = task["engine"] != "ray"
    return {
        "model": MODEL,
        "images": count,
        "faces": faces,
        "times_reference": median(b / a for a, b in zip(own, reference, strict=True)),
        "cpu_times_reference": sum(reference_cpu) / sum(own_cpu) if here else None,
        "images_per_s": count / median(own),
        "reference_images_per_s": count / median(reference),
        "fixed_s": fixed[task["engine"]],
        "reference_fixed_s": fixed[task["reference"]],
        "runs": len(own),
        "cut": len(own) < options.runs,
    }


def _run(name: str, shards: Sequence[Path]) -> tuple[float, float]:
    """Return the time and the processor time of one run by an engine or by ``stream``."""
    if name == "stream":
        return _timed(lambda: list(_stream(shards)))
    with tempfile.TemporaryDirectory() as out:
        return _timed(lambda: run_batch(shards, out, model=MODEL, engine=name))


def _stream(shards: Sequence[Path]) -> Iterator[emonet.ImageResult]:
    recognizer = emonet.EmotionRecognizer.from_pretrained(MODEL)
    return recognizer.stream(image for shard in shards for image in _images(shard))


def _images(shard: Path) -> Iterator[bytes]:
    with tarfile.open(shard) as tar:
        for member in tar:
            yield tar.extractfile(member).read()


def _timed(call: Callable[[], object]) -> tuple[float, float]:
    start, start_cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start, time.process_time() - start_cpu
