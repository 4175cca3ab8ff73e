"""``emonet predict``: find faces in images and classify their expressions."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emonet.cli.backend import prepare
from emonet.cli.options import AsJson, Model, OnDevice, Runtime, Settings, Views, parse_settings
from emonet.drawing.png import is_annotated
from emonet.drawing.png import save_annotated as save_copy
from emonet.errors import InputError, printable
from emonet.recognizer import EmotionRecognizer
from emonet.results import ImageResult
from emonet.sample import sample_photo
from emonet.support.image_files import find_images
from emonet.support.progress import progress_bar

if TYPE_CHECKING:
    from rich.table import Table


def predict(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATHS", help="Images, folders or patterns like *.jpg."),
    ] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Use the photo that comes with emonet.")
    ] = False,
    model: Model = None,
    detector: Annotated[
        str | None, typer.Option(help="A face detector to use instead of the model's own.")
    ] = None,
    detector_option: Settings = None,
    min_score: Annotated[
        float, typer.Option(help="Score threshold, 0..1: faces with a lower score get no label.")
    ] = 0.0,
    test_time_augmentation: Views = None,
    runtime: Runtime = None,
    device: OnDevice = "auto",
    as_json: AsJson = False,
    save_annotated: Annotated[
        Path | None, typer.Option(help="Save annotated copies of the images in this folder.")
    ] = None,
) -> int:
    """Find faces in images and classify their expressions.

    Exit with status 1 if an image can't be read; the other images are processed.
    """
    given = [*(paths or ()), *([str(sample_photo())] if sample else ())]
    if not given:
        raise InputError("No images: pass PATHS (images, folders or patterns) or --sample")
    files = list(find_images(given, without=save_annotated))
    if save_annotated is not None:
        _require_other_folder(files, save_annotated)
    recognizer = EmotionRecognizer.from_pretrained(
        model,
        detector=detector,
        detector_config=parse_settings(detector_option),
        runtime=runtime,
        device=device,
    )
    if test_time_augmentation is not None:
        recognizer = recognizer.with_test_time_augmentation(test_time_augmentation)
    prepare(recognizer)
    results = recognizer.stream(files, min_score=min_score)
    if save_annotated is not None:
        results = _annotated(results, save_annotated)
    failed = _print_json(results) if as_json else _print_table(results, len(files))
    return 1 if failed else 0


def _require_other_folder(files: Iterable[str], folder: Path) -> None:
    """Raise InputError if copies would be written into the folder of an original."""
    if not folder.is_dir():
        return
    for file in map(Path, files):
        if file.exists() and file.parent.samefile(folder):
            raise InputError(
                f"--save-annotated {folder} contains the input {file}, and copies could replace "
                f"images there: choose another folder"
            )


def _annotated(results: Iterable[ImageResult], folder: Path) -> Iterator[ImageResult]:
    folder.mkdir(parents=True, exist_ok=True)
    taken: set[str] = set()
    for result in results:
        if result.error is None and result.path is not None:
            path = Path(result.path)
            save_copy(result.draw(), folder / _free_name(path, folder, taken))
        yield result


def _free_name(path: Path, folder: Path, taken: set[str]) -> str:
    """Return a file name for a copy; it may replace an earlier copy, but no other file."""
    name, number = f"{path.stem}.png", 1
    # Some file systems take A.png and a.png for the same file.
    while name.casefold() in taken or (
        (folder / name).exists() and not is_annotated(folder / name)
    ):
        number += 1
        name = f"{path.stem}-{number}.png"
    taken.add(name.casefold())
    return name


def _print_json(results: Iterable[ImageResult]) -> bool:
    failed = False
    for result in results:
        failed |= result.error is not None
        print(json.dumps(result.to_dict()), flush=True)
    return failed


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
