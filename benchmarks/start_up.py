"""Measure the time from the start of a process to the import of emonet and the first answer."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

from benchmarks.options import Options
from benchmarks.photos import example_photo
from benchmarks.timing import measure as timed

COMMANDS = {
    "python": ["-c", "pass"],
    "import numpy": ["-c", "import numpy"],
    "import emonet": ["-c", "import emonet"],
    "emonet --help": ["-m", "emonet", "--help"],
}
MOST_RUNS = 9

KEYS = ("process", "model")
METRICS = ("ms_p50", "peak_rss_mib")
DETAILS = ("python_ms", "import_ms", "load_ms", "first_answer_ms", "second_answer_ms", "runs")

#: Calls to answer: one with face detection in a photo, one with a face crop.
ANSWERS = {
    "answer about a photo": "recognizer.predict(photo)",
    "answer about a ready face": "recognizer.predict_proba(numpy.zeros((1, 48, 48), numpy.uint8))",
}

#: Print the time at the end of each step to the first answers, and the peak of memory.
FIRST_ANSWER = """
import json, sys, time
started, model, photo, answer = float(sys.argv[1]), *sys.argv[2:]
times = [time.time()]
import numpy
from emonet import EmotionRecognizer
times.append(time.time())
recognizer = EmotionRecognizer.from_pretrained(model)
times.append(time.time())
exec(answer)
times.append(time.time())
exec(answer)
times.append(time.time())
from benchmarks.memory import peak_mib
print(json.dumps({"times": [1000 * (moment - started) for moment in times], "mib": peak_mib()}))
"""
STEPS = ("python", "import", "load", "first_answer", "second_answer")


def tasks(options: Options) -> list[list[dict]]:
    """Return rows for bare processes and for the first answers of each bundled model."""
    from emonet.storage.sources import bundled_models

    bare = [{"process": name, "model": ""} for name in COMMANDS]
    answers = [{"process": asked, "model": name} for asked in ANSWERS for name in bundled_models()]
    return [bare + answers]


def measure(task: dict, options: Options) -> dict:
    """Measure whole processes from their start."""
    runs = min(options.runs, MOST_RUNS)
    if task["process"] in COMMANDS:
        command = [sys.executable, *COMMANDS[task["process"]]]
        return timed(
            lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL),
            runs=runs,
            seconds=options.seconds,
        )
    samples: list[dict] = []
    with example_photo() as photo:
        arguments = [task["model"], photo, ANSWERS[task["process"]]]
        timed(_first_answer(arguments, samples), runs=runs, seconds=options.seconds)
    samples = samples[1:]  # during the first run, the file system's cache was cold
    return {
        "ms_p50": median(sample["times"][STEPS.index("first_answer")] for sample in samples),
        "peak_rss_mib": median(sample["mib"] for sample in samples),
        **_steps([sample["times"] for sample in samples]),
        "runs": len(samples),
        "cut": len(samples) < runs,
    }


def _first_answer(arguments: list[str], samples: list[dict]) -> Callable[[], None]:
    def run() -> None:
        command = [sys.executable, "-c", FIRST_ANSWER, str(time.time()), *arguments]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        samples.append(json.loads(done.stdout))

    return run


def _steps(samples: list[list[float]]) -> dict:
    """Return the median time of each step, from the times at which the steps ended."""
    taken = [
        [end - start for start, end in zip([0, *times], times, strict=False)] for times in samples
    ]
    return {
        f"{step}_ms": median(column)
        for step, column in zip(STEPS, zip(*taken, strict=True), strict=True)
    }
