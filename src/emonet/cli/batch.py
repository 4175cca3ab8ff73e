"""``emonet batch``: find the faces in millions of images."""

from pathlib import Path
from typing import Annotated

import typer

from emonet.batch import Engine, run_batch
from emonet.cli.options import Model, OnDevice, Settings, parse_settings


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
    detector: Annotated[
        str | None, typer.Option(help="A face detector to use instead of the model's own.")
    ] = None,
    detector_option: Settings = None,
    min_score: Annotated[
        float, typer.Option(help="Score threshold, 0..1: faces with a lower score get no label.")
    ] = 0.0,
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
    )
    print(f"{counts.images} images, {counts.faces} faces, {counts.failed} failed: {out}")
    return 1 if counts.failed else 0
