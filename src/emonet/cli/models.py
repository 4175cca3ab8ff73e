"""``emonet models``: the models that come with emonet, and how fast they are here."""

import json
import statistics
import time
from typing import Annotated, Any

import numpy as np
import typer

from emonet.cli.backend import prepare
from emonet.cli.options import AsJson
from emonet.data.splits import VALIDATION
from emonet.network.network import count_parameters
from emonet.recognizer import EmotionRecognizer
from emonet.storage.folder import weights_file
from emonet.storage.sources import BUNDLED, bundled_models

__all__ = ["models"]

FACES = 128
REPEATS = 3


def models(
    speed: Annotated[
        bool, typer.Option(help="Measure how many faces per second each does on this machine.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """List the bundled models: networks, size, accuracy on PublicTest, speed."""
    rows = [_describe(name, speed=speed) for name in bundled_models()]
    if as_json:
        print(json.dumps(rows))
    else:
        _print(rows, speed=speed)


def _describe(name: str, *, speed: bool) -> dict[str, Any]:
    recognizer = EmotionRecognizer.from_pretrained(name)
    config, report = recognizer.config, recognizer.training.evaluation.get(VALIDATION)
    networks = [network.name for network in config.networks]
    return {
        "name": name,
        "networks": networks,
        "parameters": count_parameters(recognizer.weights),
        "weights_bytes": sum(
            (BUNDLED / name / weights_file(network)).stat().st_size for network in networks
        ),
        "test_time_augmentation": config.test_time_augmentation,
        "accuracy": report.accuracy if report else None,
        "faces_per_second": _faces_per_second(recognizer) if speed else None,
    }


def _faces_per_second(recognizer: EmotionRecognizer) -> float:
    """Time predict_proba on noise, in batches that the networks take as they are."""
    prepare(recognizer)
    size = recognizer.config.face_sizes[0]
    faces = np.random.default_rng(0).integers(0, 256, (FACES, *size), dtype=np.uint8)
    recognizer.predict_proba(faces)  # builds and compiles
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        recognizer.predict_proba(faces)
        seconds.append(time.perf_counter() - start)
    return FACES / statistics.median(seconds)


def _print(rows: list[dict[str, Any]], *, speed: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "model", "networks", "parameters", "weights", "views", VALIDATION,
        *(["faces per second"] if speed else []),
    )  # fmt: skip
    for row in rows:
        accuracy, faces = row["accuracy"], row["faces_per_second"]
        table.add_row(
            row["name"],
            ", ".join(row["networks"]),
            f"{row['parameters'] / 1e6:.1f} M",
            f"{row['weights_bytes'] / 1e6:.1f} MB",
            row["test_time_augmentation"],
            "" if accuracy is None else f"{100 * accuracy:.2f} %",
            *([f"{faces:.0f}"] if speed else []),
        )
    Console().print(table)
