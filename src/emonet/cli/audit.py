"""``emonet audit``: measure a recognizer on each group of faces."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from emonet.cli.backend import prepare
from emonet.cli.options import (
    AsJson,
    Data,
    Groups,
    Model,
    OnDevice,
    Runtime,
    load_faces,
    load_group_column,
)
from emonet.cli.printing import print_line, print_table
from emonet.errors import printable
from emonet.evaluation.groups import FIRST
from emonet.recognizer import EmotionRecognizer
from emonet.records import AuditReport, Gap, Proportion
from emonet.support.counting import counted
from emonet.support.dependencies import require
from emonet.support.files import atomic_write

MARK = "*"


def audit(
    data: Data,
    group: Annotated[
        str, typer.Option(metavar="COLUMN", help="The column that names the group of each face.")
    ],
    split: Annotated[
        str, typer.Option(help="Training, PublicTest or PrivateTest (or train, validation, test).")
    ],
    groups: Groups = None,
    model: Model = None,
    min_faces: Annotated[
        int, typer.Option(help="Mark groups with fewer faces, and compare them last.")
    ] = 50,
    seed: Annotated[int, typer.Option(help="Seed of the intervals and tests.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write the audit as a JSON file.")] = None,
    runtime: Runtime = None,
    device: OnDevice = "auto",
    as_json: AsJson = False,
) -> None:
    """Compare accuracy, false labels and calibration between groups of faces."""
    require("evaluate", "emonet audit")
    recognizer = EmotionRecognizer.from_pretrained(model, runtime=runtime, device=device)
    dataset = load_faces(data, split, recognizer)
    column = load_group_column(data, dataset, group, groups)
    prepare(recognizer)
    report = recognizer.audit(dataset, column, min_faces=min_faces, seed=seed)
    text = json.dumps(report.to_dict())
    if out is not None:
        with atomic_write(out) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    if as_json:
        print(text)
    else:
        _print(report)


def _print(audit: AuditReport) -> None:
    low, high = audit.overall.accuracy_interval_95
    print_line(
        f"accuracy {audit.overall.accuracy:.4f} (95 % interval {low:.4f} to {high:.4f}) on "
        f"{counted(audit.overall.n, 'face')} of {len(audit.groups)} groups"
    )
    with_first = FIRST in audit.overall.per_class
    rows: list[list[str | Text]] = []
    for name, group in audit.groups.items():
        report = group.report
        false = [_share(group.false_labels.get(FIRST))] if with_first else []
        rows.append(
            [
                _text(name),
                f"{report.n}{MARK if group.small else ''}",
                _figure(report.accuracy, report.accuracy_interval_95),
                *false,
                _figure(report.ece, group.ece_interval_95),
                f"{group.perfect_ece:.3f}",
            ]
        )
    first = [f"false {FIRST}"] if with_first else []
    print_table(
        ("group", "faces", "accuracy", *first, "calibration error", "of perfect scores"), rows
    )
    rows = [
        [_text(label), _text(name), *_recall(group.recall.get(label), audit.min_faces),
         _share(group.false_labels.get(label))]
        for label in audit.overall.per_class
        for name, group in audit.groups.items()
    ]  # fmt: skip
    print_table(("label", "group", "faces", "recall", "false labels"), rows)
    print_line(f"Largest gaps, with 95 % intervals ({MARK}: fewer than {audit.min_faces} faces):")
    print_table(
        ("figure", "highest", "lowest", "difference", "p"),
        [
            [
                _text(_name(gap)),
                _text(f"{gap.highest} {gap.values[0]:.3f}"),
                _text(f"{gap.lowest} {gap.values[1]:.3f}"),
                f"{_figure(gap.difference, gap.interval_95)}{MARK if gap.small else ''}",
                f"{gap.p_value:.2g}",
            ]
            for gap in audit.gaps
        ],
    )


def _name(gap: Gap) -> str:
    if gap.measure == "false_label":
        return f"false {gap.label}" + (f" of {gap.true_label}" if gap.true_label else "")
    return {
        "recall": f"recall of {gap.label}", "accuracy": "accuracy", "ece": "calibration error"
    }[gap.measure]  # fmt: skip


def _recall(share: Proportion | None, min_faces: int) -> tuple[str, str]:
    if share is None:
        return "0", ""
    return f"{share.faces}{MARK if share.faces < min_faces else ''}", _share(share)


def _share(share: Proportion | None) -> str:
    return "" if share is None else _figure(share.value, share.interval_95)


def _figure(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"


def _text(text: str) -> Text:
    # A column's values may hold anything; rich's Text is not read as markup.
    return Text(printable(text))
