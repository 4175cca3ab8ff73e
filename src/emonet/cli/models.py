"""``emonet models``: list the bundled models and measure their speed on this machine."""

import json
import statistics
import time
from typing import Annotated, Any

import numpy as np
import typer

from emonet.cli.backend import prepare
from emonet.cli.options import AsJson
from emonet.cli.printing import print_table
from emonet.data.splits import VALIDATION
from emonet.recognizer import EmotionRecognizer
from emonet.storage.folder import weights_file
from emonet.storage.sources import BUNDLED, bundled_models

FACES = 128
REPEATS = 3


def models(
    speed: Annotated[bool, typer.Option(help="Measure faces per second on this machine.")] = True,
    as_json: AsJson = False,
) -> None:
    """List the bundled models with size, accuracy and speed."""
    rows = [_describe(name, speed=speed) for name in bundled_models()]
    if as_json:
        print(json.dumps(rows))
    else:
        _print(rows, speed=speed)


def _describe(name: str, *, speed: bool) -> dict[str, Any]:
    recognizer = EmotionRecognizer.from_pretrained(name)
    config, report = recognizer.config, recognizer.record.evaluation.get(VALIDATION)
    networks = [network.name for network in config.networks]
    return {
        "name": name,
        "networks": networks,
        "parameters": recognizer.model.parameters,
        "weights_bytes": sum(
            (BUNDLED / name / weights_file(network)).stat().st_size for network in networks
        ),
        "test_time_augmentation": config.test_time_augmentation,
        "accuracy": report.accuracy if report else None,
        "faces_per_second": _faces_per_second(recognizer) if speed else None,
    }


def _faces_per_second(recognizer: EmotionRecognizer) -> float:
    """Return the speed of predict_proba on noise, in the face size of the first network."""
    prepare(recognizer)
    size = recognizer.config.face_sizes[0]
    faces = np.random.default_rng(0).integers(0, 256, (FACES, *size), dtype=np.uint8)
    recognizer.predict_proba(faces)  # builds and compiles the networks
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        recognizer.predict_proba(faces)
        seconds.append(time.perf_counter() - start)
    return FACES / statistics.median(seconds)


def _print(rows: list[dict[str, Any]], *, speed: bool) -> None:
    # Names of networks would not fit the width of a terminal; --json has them.
    columns = ["model", "parameters", "weights", "views", f"accuracy on\n{VALIDATION}"]
    cells = [
        [
            row["name"],
            f"{row['parameters'] / 1e6:.1f} M",
            f"{row['weights_bytes'] / 1e6:.1f} MB",
            row["test_time_augmentation"],
            "" if row["accuracy"] is None else f"{100 * row['accuracy']:.2f} %",
            *([f"{row['faces_per_second']:.0f}"] if speed else []),
        ]
        for row in rows
    ]
    print_table([*columns, "faces/s"] if speed else columns, cells)
