"""Writes the figures of the bundled models into their pages: ``python docs/models/figures.py``.

The figures are those of each model's record, ``training.json``. ``emonet evaluate`` prints them
again. A test compares the pages with the records.
"""

import re
from pathlib import Path

import emonet

FOLDER = Path(__file__).parent
MODELS = ("default", "fast", "tiny")
BLOCK = re.compile(r"(<!-- figures -->\n).*(<!-- end of figures -->)", re.DOTALL)


def page(name):
    """Return the text of a model's page with today's figures."""
    text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    return BLOCK.sub(lambda match: f"{match[1]}\n{figures(name)}\n\n{match[2]}", text)


def figures(name):
    """Return the tables of a model as Markdown."""
    recognizer = emonet.EmotionRecognizer.from_pretrained(name)
    folder = Path(emonet.__file__).parent / "models" / name
    report = recognizer.record.evaluation["PublicTest"]
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    low, high = report.accuracy_interval_95
    rows = [
        ("networks", str(len(recognizer.config.networks))),
        ("parameters", f"{recognizer.model.parameters / 1e6:.1f} M"),
        ("weights", f"{weights / 1e6:.1f} MB"),
        (
            "accuracy",
            f"{percent(report.accuracy)} (95 % interval {percent(low)} to {percent(high)})",
        ),
        ("macro F1", percent(report.macro_f1)),
        ("log loss", f"{report.log_loss:.3f}"),
        ("expected calibration error", f"{report.ece:.3f}"),
    ]
    parts = [table(("", "FER-2013's PublicTest, 3,589 faces"), rows)]
    classes = [
        (label, whole(one.recall), whole(one.precision), str(one.support))
        for label, one in report.per_class.items()
    ]
    heads = ("label", "of its faces, found (recall)", "correct when predicted (precision)", "faces")
    parts.append(table(heads, classes))
    robustness = recognizer.record.robustness["PublicTest"]
    changes = [
        (change, percent(accuracy), f"{100 * (robustness.unchanged - accuracy):.2f}")
        for change, accuracy in robustness.changed.items()
    ]
    parts.append(table(("faces", "accuracy", "points lost"), changes))
    return "\n\n".join(parts)


def table(heads, rows):
    """Return a table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)


def percent(share):
    """Return a share with two decimals."""
    return f"{100 * share:.2f} %"


def whole(share):
    """Return a share without decimals."""
    return f"{100 * share:.0f} %"


if __name__ == "__main__":
    for model in MODELS:
        (FOLDER / f"{model}.md").write_text(page(model), encoding="utf-8")
