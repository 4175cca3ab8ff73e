"""``emonet reproduce``: repeat the experiment of the EmoNet paper."""

from pathlib import Path
from typing import Annotated

import typer

from emonet.cli.backend import import_keras_quietly
from emonet.cli.options import Data, parse_settings, typed_command
from emonet.data.splits import TEST
from emonet.experiments import reproduce as run
from emonet.support.dependencies import require
from emonet.training.recipes import Precision


def reproduce(
    data: Data,
    out: Annotated[Path, typer.Option(help="The folder for models, report and figures.")],
    scale: Annotated[str, typer.Option(help="paper, medium or small.")] = "paper",
    variants: Annotated[
        list[str] | None, typer.Option(help="One of the four networks; repeatable. Default: all.")
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BACKBONE=FILE",
            help="Pretrained weights of a backbone: a path, hf://... or https://...; repeatable.",
        ),
    ] = None,
    pretrained: Annotated[
        bool | None,
        typer.Option(
            "--pretrained/--no-pretrained",
            help="Start from pretrained weights. Default: paper and small do, medium doesn't.",
        ),
    ] = None,
    test_split: Annotated[str, typer.Option(help="The split to report on.")] = TEST,
    precision: Annotated[
        Precision | None, typer.Option(help="float32 or bfloat16. Default: the scale's.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of training and of the search for weights.")] = 0,
) -> None:
    """Repeat the experiment of the EmoNet paper.

    It trains the four networks, fits the weights of their ensemble, and reports on all five. Run
    the same command again after an interruption: finished networks are skipped. --scale medium
    trains smaller inputs from random weights, and --scale small shows the steps in minutes.
    """
    require("train", "emonet reproduce")
    require("plots", "emonet reproduce")
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
