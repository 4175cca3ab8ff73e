"""``emonet filter-faces``: a data set without the pictures that do not show one face."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Annotated

import typer

from emonet.cli.options import Data, Settings, parse_settings, typed_command
from emonet.cli.printing import printable
from emonet.data import FilterReport
from emonet.data import filter_faces as filter_data
from emonet.files import beside
from emonet.registry import create_detector
from emonet.training.progress import progress_bar

__all__ = ["filter_faces"]

REPORT_FILE = "filter.json"


def filter_faces(
    data: Data,
    out: Annotated[Path, typer.Option(help="The folder for the filtered data and the report.")],
    detector: Annotated[str, typer.Option(help="A face detector, see 'emonet plugins'.")] = (
        "dlib_hog"
    ),
    detector_option: Settings = None,
    split: Annotated[
        list[str] | None, typer.Option(help="Filter this split only; repeatable. Default: all.")
    ] = None,
) -> None:
    """Copy a data set without the pictures in which the detector finds no face, or several.

    The original stays as it is. filter.json tells how many pictures of each class had no
    face, one, or more. A filter that was stopped goes on from there.
    """
    options = parse_settings(detector_option)
    finder = create_detector(detector, **options)
    which = hashlib.sha256(json.dumps([detector, options], sort_keys=True).encode()).hexdigest()
    found = out / f".{detector}-{which[:16]}"
    with progress_bar("Looking for faces", None) as advance:
        report = filter_data(data, out, finder, splits=split, cache=found, advance=advance)
    shutil.rmtree(found, ignore_errors=True)
    command = typed_command()
    with beside(out / REPORT_FILE) as file:
        text = json.dumps({"command": command, **report.to_dict()}, indent=1)
        file.write_text(text + "\n", encoding="utf-8")
    _print(report)


def _print(report: FilterReport) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("split", "class", "no face", "one face", "more")
    for split, labels in report.counts.items():
        for label, counts in labels.items():
            table.add_row(
                split, Text(printable(label)), str(counts.none), str(counts.one), str(counts.more)
            )
    console = Console()
    console.print(table)
    console.print(f"{report.kept} pictures kept, {report.unreadable} unreadable", highlight=False)
