"""Compare ``predict`` on a folder of photos with the face detector alone, in the same run.

The detector runs in a plain loop and is measured twice: on images in memory, and including the
reading of each file. Columns with ``cpu_ms`` have the processor time for one photo, summed over
cores: of ``predict``, and of its stages alone. Other programs change it less than the wall time.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import emonet
from benchmarks.memory import peak_mib, reset_peak
from benchmarks.options import Options
from benchmarks.timing import measure as timed
from emonet.data.folders import is_image_file
from emonet.errors import ImageError, InputError
from emonet.pipeline.images import load_image

COPIES = 16
CPU_RUNS = 3
MOST = 64  # the detector is measured on images in memory

KEYS = ("detector", "model")
METRICS = (
    "images_per_s",
    "detector_images_per_s",
    "times_detector_alone",
    "reading_detector_images_per_s",
    "times_reading_detector_alone",
    "single_ms_p50",
    "single_ms_p95",
    "peak_rss_mib",
    "predict_cpu_ms",
    "decode_cpu_ms",
    "detect_cpu_ms",
    "network_cpu_ms",
)
DETAILS = ("images", "faces", "runs")


def tasks(options: Options) -> list[list[dict]]:
    """Return a row for each detector and bundled model, each in its own process."""
    from emonet.storage.sources import bundled_models

    return [
        [{"detector": detector, "model": model}]
        for detector in emonet.list_detectors()
        for model in bundled_models()
    ]


def measure(task: dict, options: Options) -> dict:
    """Measure one detector with one bundled model."""
    name = task["detector"]
    detector = emonet.create_detector(name)
    recognizer = emonet.EmotionRecognizer.from_pretrained(task["model"], detector=name)
    limits = {"runs": options.runs, "seconds": options.seconds}
    with _photos(options) as paths:
        reset_peak()
        whole = timed(lambda: recognizer.predict(paths), **limits)
        memory = peak_mib()
        images = [load_image(path) for path in paths]
        alone = timed(lambda: [detector.detect(image) for image in images], **limits)
        reading = timed(lambda: [detector.detect(load_image(path)) for path in paths], **limits)
        results = recognizer.predict(images)
        crops = [
            crop.pixels
            for result in results
            for crop in recognizer.crop_faces(
                result.source, [face.detection for face in result.faces]
            )
        ]
        stages: dict[str, Callable[[], object]] = {
            "predict": lambda: recognizer.predict(paths),
            "decode": lambda: [load_image(path) for path in paths],
            "detect": lambda: [detector.detect(image) for image in images],
            "network": lambda: recognizer.predict_proba(crops),
        }
        used = {f"{name}_cpu_ms": _cpu_ms(call) / len(paths) for name, call in stages.items()}
        single = timed(lambda: recognizer.predict(paths[0]), **limits)
    return {
        **whole,
        "images": len(paths),
        "faces": len(crops),
        "images_per_s": 1000 * len(paths) / whole["ms_p50"],
        "detector_images_per_s": 1000 * len(paths) / alone["ms_p50"],
        "times_detector_alone": whole["ms_p50"] / alone["ms_p50"],
        "reading_detector_images_per_s": 1000 * len(paths) / reading["ms_p50"],
        "times_reading_detector_alone": whole["ms_p50"] / reading["ms_p50"],
        "single_ms_p50": single["ms_p50"],
        "single_ms_p95": single["ms_p95"],
        "peak_rss_mib": memory,
        **used,
    }


def _cpu_ms(call: Callable[[], object]) -> float:
    """Return the least processor time of a few calls, milliseconds."""
    times = []
    for _ in range(CPU_RUNS):
        start = time.process_time()
        call()
        times.append(1000 * (time.process_time() - start))
    return min(times)


@contextmanager
def example_photo() -> Iterator[str]:
    """Yield the path of a JPEG photo of one face, 512x512 pixels."""
    import skimage
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.jpg"
        Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png").save(path, quality=95)
        yield str(path)


@contextmanager
def _photos(options: Options) -> Iterator[list[str]]:
    if options.photos is not None:
        files = sorted(path for path in Path(options.photos).rglob("*") if is_image_file(path))
        paths = [str(path) for path in islice(filter(_can_be_read, files), MOST)]
        if not paths:
            raise InputError(f"--photos: the folder {options.photos} has no readable images")
        yield paths
    else:
        with example_photo() as path:
            yield [path] * (2 if options.quick else COPIES)


def _can_be_read(path: Path) -> bool:
    try:
        load_image(path)
    except ImageError:
        return False
    return True
