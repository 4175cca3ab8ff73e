"""The experiment's report as Markdown."""

from collections.abc import Mapping
from typing import Any

from emonet.evaluation.report import Report

__all__ = ["to_markdown"]


def to_markdown(summary: Mapping[str, Any], reports: Mapping[str, Report]) -> str:
    """Return the report for people: the paper's tables beside ours.

    Args:
        summary: what report.json holds.
        reports: on the test split, by network.
    """
    test, parameters, learnt = (
        summary["test_split"], summary["parameters"], summary["learnt_weights"]
    )  # fmt: skip
    lines = [
        "# The EmoNet paper's experiment",
        "",
        f"`{summary['command']}`, {summary['scale']}, "
        f"{'pretrained' if summary['settings']['pretrained'] else 'not pretrained'}.",
        "",
        f"## Accuracy on {test} ({summary['faces'][test]} faces), beside the paper's Table 2",
        "",
        "| network | parameters | accuracy | 95 % interval | paper |",
        "|---|---|---|---|---|",
    ]
    for name, report in reports.items():
        low, high = report.accuracy_interval_95
        lines.append(
            f"| {name} | {parameters.get(name, sum(parameters.values())):,} | "
            f"{100 * report.accuracy:.2f} % | {100 * low:.2f} to {100 * high:.2f} % | "
            f"{100 * summary['paper'][name]:.2f} % |"
        )
    if test == summary["validation_split"]:
        lines += ["", f"{test} also chose the epochs and the weights, which flatters."]
    if learnt is not None:
        lines += [
            "",
            f"## Weights, learnt on {summary['validation_split']} (the paper's Table 1)",
            "",
            "| network | weight | accuracy there |",
            "|---|---|---|",
            *(
                f"| {name} | {weight:.4f} | {100 * learnt['members'][name]:.2f} % |"
                for name, weight in learnt["weights"].items()
            ),
            "",
            f"The plain mean has {100 * learnt['mean']:.2f} % there, the learnt weights "
            f"{100 * learnt['learnt']:.2f} %, and {100 * learnt['held_out']:.2f} % where each "
            f"fifth is weighted by what was learnt on the others.",
        ]
    for name, report in reports.items():
        lines += [
            "",
            f"## {name}, class by class",
            "",
            "| class | precision | recall | F1 | faces |",
            "|---|---|---|---|---|",
            *(
                f"| {label} | {row.precision:.3f} | {row.recall:.3f} | {row.f1:.3f} | "
                f"{row.support} |"
                for label, row in report.per_class.items()
            ),
            "",
            f"![confusion](figures/confusion_{name}.png)",
        ]
    lines += [
        "",
        "## Data and training",
        "",
        "![classes](figures/class_distribution.png)",
        "",
        "![samples](figures/samples.png)",
        "",
        "![learning curves](figures/learning_curves.png)",
        "",
    ]
    return "\n".join(lines)
