"""``emonet predict``: find faces in images and classify their expressions."""

import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emonet.cli.copies import Copies
from emonet.cli.loading import load_recognizer
from emonet.cli.options import (
    AsJson,
    BatchSize,
    Detector,
    MinScore,
    Model,
    OnDevice,
    Runtime,
    Settings,
    Views,
)
from emonet.cli.printing import print_line
from emonet.errors import ConfigError, InputError, printable
from emonet.results import ImageResult
from emonet.runtimes.batching import BATCH_SIZE
from emonet.sample import sample_photo
from emonet.support.counting import counted
from emonet.support.dependencies import require
from emonet.support.image_files import find_images
from emonet.support.progress import progress_bar
from emonet.tables import CsvWriter, ParquetWriter

if TYPE_CHECKING:
    from rich.table import Table

logger = logging.getLogger("emonet")


def predict(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATHS", help="Images, folders or patterns like *.jpg."),
    ] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Use the photo that comes with emonet.")
    ] = False,
    model: Model = None,
    detector: Detector = None,
    detector_option: Settings = None,
    min_score: MinScore = 0.0,
    test_time_augmentation: Views = None,
    prior: Annotated[
        str | None,
        typer.Option(help="balanced, training, or LABEL=SHARE,LABEL=SHARE,... for each label."),
    ] = None,
    prior_strength: Annotated[
        float, typer.Option(help="Strength of --prior, 0..1: 0 changes nothing, 1 all.")
    ] = 1.0,
    runtime: Runtime = None,
    device: OnDevice = "auto",
    batch_size: BatchSize = BATCH_SIZE,
    as_json: AsJson = False,
    csv: Annotated[
        Path | None, typer.Option(help="Write a CSV file with one row per face.")
    ] = None,
    parquet: Annotated[
        Path | None, typer.Option(help="Write a Parquet file with one row per face.")
    ] = None,
    save_annotated: Annotated[
        Path | None, typer.Option(help="Save annotated copies of the images in this folder.")
    ] = None,
) -> int:
    """Find faces in images and classify their expressions.

    Exit with status 1 if an image can't be read, or its annotated copy can't be written; the
    other images are processed.
    """
    given = [*(paths or ()), *([str(sample_photo())] if sample else ())]
    if not given:
        raise InputError("No images: pass PATHS (images, folders or patterns) or --sample")
    if parquet is not None:
        require("tables", "--parquet")
    files = find_images(given, without=save_annotated)
    copies = None if save_annotated is None else Copies(save_annotated, files)
    recognizer = load_recognizer(
        model,
        detector=detector,
        detector_option=detector_option,
        runtime=runtime,
        device=device,
        batch_size=batch_size,
    )
    if test_time_augmentation is not None:
        recognizer = recognizer.with_test_time_augmentation(test_time_augmentation)
    if prior is not None:
        recognizer = recognizer.with_prior(_parse_prior(prior), strength=prior_strength)
    results = recognizer.stream(list(files), min_score=min_score)
    if copies is not None:
        results = copies.saving(results)
    with ExitStack() as stack:
        tables: list[CsvWriter | ParquetWriter] = []
        if csv is not None:
            tables.append(stack.enter_context(CsvWriter(csv, recognizer.labels)))
        if parquet is not None:
            tables.append(stack.enter_context(ParquetWriter(parquet, recognizer.labels)))
        if tables:
            results = _written(results, tables)
        if as_json:
            failed = _print_json(results)
        elif tables:
            failed = _print_counts(results, len(files))
        else:
            failed = _print_table(results, len(files))
    return 1 if failed or (copies is not None and copies.failed) else 0


def _parse_prior(text: str) -> str | dict[str, float]:
    """Return ``balanced`` or ``training`` as it is, and ``LABEL=SHARE,...`` as a mapping."""
    if "=" not in text:
        return text
    shares = {}
    for part in text.split(","):
        label, _, share = part.rpartition("=")
        try:
            shares[label.strip()] = float(share)
        except ValueError:
            raise ConfigError(f"Write --prior as LABEL=SHARE,..., got {part!r:.80}") from None
    return shares


def _written(
    results: Iterable[ImageResult], tables: Iterable[CsvWriter | ParquetWriter]
) -> Iterator[ImageResult]:
    for result in results:
        for table in tables:
            table.write(result)
        yield result


def _print_json(results: Iterable[ImageResult]) -> bool:
    failed = False
    for result in results:
        failed |= result.error is not None
        print(json.dumps(result.to_dict()), flush=True)
    return failed


def _print_counts(results: Iterable[ImageResult], total: int) -> bool:
    """Print how many faces were found; log the images that failed."""
    faces = failed = 0
    with progress_bar("Images", total) as advance:
        for result in results:
            faces += len(result.faces)
            if result.error is not None:
                failed += 1
                logger.error("%s", result.error)
            advance()
    read = f"{counted(faces, 'face')} in {counted(total - failed, 'image')}"
    print_line(read + (f"; {counted(failed, 'image')} failed" if failed else ""))
    return bool(failed)


def _print_table(results: Iterable[ImageResult], total: int) -> bool:
    """Print one table; after an interruption, with the results so far."""
    from rich.console import Console
    from rich.table import Table

    table = Table("image", "box (x, y, width, height)", "emotion", "score")
    failed = False
    try:
        with progress_bar("Images", total) as advance:
            for result in results:
                failed |= result.error is not None
                _add_rows(table, result)
                advance()
    finally:
        if table.row_count:
            Console().print(table)
    return failed


def _add_rows(table: "Table", result: ImageResult) -> None:
    from rich.text import Text

    name = Text(printable(result.path), overflow="fold")
    if result.error is not None:
        table.add_row(name, "", Text(f"error: {result.error}", style="red"), "")
    elif not result.faces:
        table.add_row(name, "", "no face", "")
    for face in result.faces:
        box = ", ".join(str(value) for value in face.to_dict()["box"])
        table.add_row(name, box, Text(face.label or "uncertain"), f"{100 * face.score:.0f} %")
        name = Text("")
