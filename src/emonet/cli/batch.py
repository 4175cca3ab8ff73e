"""``emonet batch``: find the faces in millions of images."""

from pathlib import Path
from typing import Annotated

import typer

from emonet.batch import Engine, run_batch
from emonet.cli.options import (
    BatchSize,
    Detector,
    MinScore,
    Model,
    OnDevice,
    Settings,
    parse_settings,
)
from emonet.runtimes.batching import BATCH_SIZE


def batch(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Folders, images, patterns, .txt lists of paths, .parquet files, .tar shards.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the Parquet files and manifest.json.")],
    model: Model = None,
    detector: Detector = None,
    detector_option: Settings = None,
    min_score: MinScore = 0.0,
    column: Annotated[
        str | None, typer.Option(help="Column of a Parquet file with paths or image bytes.")
    ] = None,
    part_size: Annotated[int, typer.Option(help="Images in each Parquet file.")] = 1000,
    engine: Annotated[
        Engine, typer.Option(help="local: this machine; ray: a Ray cluster.")
    ] = "local",
    address: Annotated[
        str | None, typer.Option(help="Address of the Ray cluster, such as ray://head:10001.")
    ] = None,
    device: OnDevice = "auto",
    batch_size: BatchSize = BATCH_SIZE,
) -> int:
    """Find the faces in any number of images, and write a folder of Parquet files.

    After an interruption, run the same command again: finished parts stay. Exit with status 1 if
    an image can't be read; its row has the error.
    """
    counts = run_batch(
        sources,
        out,
        model=model,
        engine=engine,
        address=address,
        min_score=min_score,
        part_size=part_size,
        column=column,
        progress=True,
        detector=detector,
        detector_config=parse_settings(detector_option),
        device=device,
        batch_size=batch_size,
    )
    print(f"{counts.images} images, {counts.faces} faces, {counts.failed} failed: {out}")
    return 1 if counts.failed else 0
