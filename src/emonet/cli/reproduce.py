"""``emonet reproduce``: the seed paper's whole experiment."""

from pathlib import Path
from typing import Annotated

import typer

from emonet.cli.backend import import_keras_quietly
from emonet.cli.options import Data, parse_settings, typed_command
from emonet.data.splits import TEST
from emonet.reproduction import reproduce as run
from emonet.training.recipes import Precision

__all__ = ["reproduce"]


def reproduce(
    data: Data,
    out: Annotated[Path, typer.Option(help="The folder for models, report and figures.")],
    scale: Annotated[str, typer.Option(help="paper, or small for a machine without a GPU.")] = (
        "paper"
    ),
    variants: Annotated[
        list[str] | None, typer.Option(help="One of the four networks; repeatable. Default: all.")
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BACKBONE=FILE",
            help="Where a backbone's pretrained weights are: a path, hf://... or https://...",
        ),
    ] = None,
    pretrained: Annotated[
        bool, typer.Option(help="Start from pretrained weights, as the paper does.")
    ] = True,
    test_split: Annotated[str, typer.Option(help="The split that is reported.")] = TEST,
    precision: Annotated[
        Precision | None, typer.Option(help="Instead of float32: bfloat16.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of training and of the search for weights.")] = 0,
) -> None:
    """Train the EmoNet paper's four networks, learn their ensemble, and report on all five.

    What was finished before is not done again. --scale small is the same on fewer and
    smaller faces.
    """
    import_keras_quietly()
    run(
        data,
        out,
        scale=scale,
        variants=variants or None,
        weights=parse_settings(weights),
        pretrained=pretrained,
        test_split=test_split,
        precision=precision,
        seed=seed,
        command=typed_command(),
    )
    print((out / "report.md").read_text(encoding="utf-8"), end="")
