"""``emonet compare``: compare two recognizers on the same faces."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from emonet.cli.backend import prepare
from emonet.cli.options import AsJson, Data, OnDevice, Runtime, load_faces
from emonet.cli.printing import print_line, print_table
from emonet.evaluation import plots
from emonet.recognizer import EmotionRecognizer
from emonet.records import Comparison, Difference
from emonet.support.counting import counted
from emonet.support.dependencies import require

MOST_CASES = 10
#: Chance of a difference as large as the measured one, if both are equally accurate.
SIGNIFICANT = 0.05


def compare(
    first: Annotated[str, typer.Argument(help="A bundled model, a model folder, or org/name.")],
    second: Annotated[str, typer.Argument(help="The model to compare it with.")],
    data: Data,
    split: Annotated[
        str, typer.Option(help="Training, PublicTest or PrivateTest (or train, validation, test).")
    ],
    plot: Annotated[
        Path | None, typer.Option(help="Draw the differences per class in this PNG file.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap intervals.")] = 0,
    runtime: Runtime = None,
    device: OnDevice = "auto",
    as_json: AsJson = False,
) -> None:
    """Compare the accuracy of two models on the same face crops."""
    require("evaluate", "emonet compare")
    if plot is not None:
        require("plots", "--plot")
    models = [
        EmotionRecognizer.from_pretrained(source, runtime=runtime, device=device)
        for source in (first, second)
    ]
    # Both get the same faces, in the larger of their sizes.
    dataset = load_faces(data, split, max(models, key=lambda model: model.config.face_sizes[0]))
    for model in models:
        prepare(model)
    comparison = models[0].compare(models[1], dataset, seed=seed)
    if plot is not None:
        plots.save_figure(plots.plot_comparison(comparison, first, second), plot)
    if as_json:
        print(json.dumps({"models": [first, second], **comparison.to_dict()}))
    else:
        _print(comparison, first, second)


def _print(comparison: Comparison, first: str, second: str) -> None:
    for name, report in ((first, comparison.first), (second, comparison.second)):
        low, high = report.accuracy_interval_95
        print_line(
            f"{name}: accuracy {report.accuracy:.4f} (95 % interval {low:.4f} to {high:.4f})"
        )
    overall = comparison.overall
    low, high = overall.interval_95
    print_line(
        f"Difference {overall.difference:+.4f} (95 % interval {low:+.4f} to {high:+.4f}) on "
        f"{counted(overall.faces, 'face')}: only {first} is right on {overall.only_first}, only "
        f"{second} on {overall.only_second}; McNemar's test p = {overall.p_value:.2g}"
    )
    if overall.p_value >= SIGNIFICANT:
        print_line("These faces do not show which model is more accurate.")
    print_table(
        ("class", "faces", first, second, "difference", "95 % interval", "p"),
        [[Text(label), *_cells(row)] for label, row in comparison.per_class.items()],
    )
    if cases := comparison.disagreements[:MOST_CASES]:
        print_table(
            ("true", first, second, "faces"),
            [
                [*map(Text, (case.label, case.first, case.second)), str(case.faces)]
                for case in cases
            ],
        )


def _cells(row: Difference) -> list[str]:
    low, high = row.interval_95
    return [
        str(row.faces), f"{row.first:.3f}", f"{row.second:.3f}", f"{row.difference:+.3f}",
        f"{low:+.3f} to {high:+.3f}", f"{row.p_value:.2g}",
    ]  # fmt: skip
