"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Data", "Json", "Model"]

Data = Annotated[
    Path,
    typer.Option(help="FER-2013's CSV file (plain or .gz), or a folder of images by class."),
]
Model = Annotated[
    str | None,
    typer.Option(help="A bundled model, a model folder, or a Hub repository (org/name)."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
