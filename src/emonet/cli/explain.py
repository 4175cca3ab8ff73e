"""``emonet explain``: show which parts of a face support a label."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emonet.cli.loading import load_recognizer
from emonet.cli.options import AsJson, Detector, Model, OnDevice, Settings
from emonet.drawing.png import save_annotated
from emonet.errors import InputError
from emonet.explain.explanation import ExplainMethod, Explanation

if TYPE_CHECKING:
    from rich.table import Table


def explain(
    photo: Annotated[Path, typer.Argument(help="An image.")],
    out: Annotated[Path, typer.Option(help="Save the image with heat maps as this PNG file.")],
    label: Annotated[
        str | None, typer.Option(help="The label to explain; by default the most probable one.")
    ] = None,
    method: Annotated[
        ExplainMethod,
        typer.Option(
            help="cam: class activation maps; occlusion: hide parts, for any network; features: "
            "hide landmarks and HOG windows of BOVW."
        ),
    ] = "cam",
    masks: Annotated[int, typer.Option(help="Number of random masks, for occlusion.")] = 500,
    seed: Annotated[int, typer.Option(help="Seed of the masks.")] = 0,
    model: Model = None,
    detector: Detector = None,
    detector_option: Settings = None,
    device: OnDevice = "auto",
    as_json: AsJson = False,
) -> None:
    """Show which parts of each face in an image support a label."""
    if out.suffix.lower() != ".png":
        raise InputError(f"--out must end in .png, got {str(out)!r:.200}")
    if out.exists() and photo.exists() and out.samefile(photo):
        raise InputError(f"--out {out} is the input: choose another file")
    recognizer = load_recognizer(
        model, detector=detector, detector_option=detector_option, device=device
    )
    explanation = recognizer.explain(str(photo), label, method=method, masks=masks, seed=seed)
    save_annotated(explanation.draw(), out)
    if as_json:
        print(json.dumps(explanation.to_dict()))
    else:
        _print_table(explanation)


def _print_table(explanation: Explanation) -> None:
    from rich.console import Console

    if not explanation.faces:
        print("no face")
        return
    Console().print(_table(explanation))


def _table(explanation: Explanation) -> "Table":
    from rich.table import Table
    from rich.text import Text

    regions = [face.regions() for face in explanation.faces]
    table = Table("label", "score", *regions[0])
    for face, shares in zip(explanation.faces, regions, strict=True):
        score = face.face.probabilities[face.label]
        table.add_row(
            Text(face.label),
            f"{100 * score:.0f} %",
            *(f"{100 * share:.0f} %" for share in shares.values()),
        )
    return table
