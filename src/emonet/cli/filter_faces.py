"""``emonet filter-faces``: copy the images of a data set that show exactly one face."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Annotated

import typer

from emonet.cli.options import Data, Settings, parse_settings, typed_command
from emonet.cli.printing import print_line, print_table
from emonet.data import FilterReport
from emonet.data import filter_faces as filter_data
from emonet.errors import printable
from emonet.registry import create_detector
from emonet.support.counting import counted
from emonet.support.files import atomic_write
from emonet.support.progress import progress_bar

REPORT_FILE = "filter.json"


def filter_faces(
    data: Data,
    out: Annotated[Path, typer.Option(help="The folder for the filtered data and filter.json.")],
    detector: Annotated[str, typer.Option(help="A face detector, see 'emonet plugins'.")] = (
        "dlib_hog"
    ),
    detector_option: Settings = None,
    split: Annotated[
        list[str] | None, typer.Option(help="Filter this split only; repeatable. Default: all.")
    ] = None,
) -> None:
    """Copy the images of a data set that show exactly one face.

    The original stays as it is. filter.json counts the images with no face, one face and more, by
    class. Run the same command again to continue after an interruption.
    """
    options = parse_settings(detector_option)
    created = create_detector(detector, **options)
    key = hashlib.sha256(json.dumps([detector, options], sort_keys=True).encode()).hexdigest()
    cache = out / f".{detector}-{key[:16]}"
    with progress_bar("Detecting faces", None) as advance:
        report = filter_data(data, out, created, splits=split, cache=cache, advance=advance)
    shutil.rmtree(cache, ignore_errors=True)
    with atomic_write(out / REPORT_FILE) as file:
        text = json.dumps({"command": typed_command(), **report.to_dict()}, indent=1)
        file.write_text(text + "\n", encoding="utf-8")
    _print(report)


def _print(report: FilterReport) -> None:
    from rich.text import Text

    rows = [
        (split, Text(printable(label)), str(counts.none), str(counts.one), str(counts.more))
        for split, labels in report.counts.items()
        for label, counts in labels.items()
    ]
    print_table(("split", "class", "no face", "one face", "more"), rows)
    print_line(f"{counted(report.kept, 'image')} kept, {report.unreadable} unreadable")
