"""Write the experiment's report as Markdown."""

from collections.abc import Mapping
from typing import Any

from emonet.records import Report


def to_markdown(summary: Mapping[str, Any], reports: Mapping[str, Report]) -> str:
    """Return report.json and the networks' reports on the test split as Markdown."""
    test, parameters, fitted = (
        summary["test_split"], summary["parameters"], summary["ensemble_weights"]
    )  # fmt: skip
    lines = [
        "# The EmoNet paper's experiment",
        "",
        f"`{summary['command']}`, {summary['scale']}, "
        f"{'pretrained' if summary['settings']['pretrained'] else 'not pretrained'}.",
        "",
        f"## Accuracy on {test} ({summary['faces'][test]} faces), with the paper's Table 2",
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
    lines += _comparisons(summary)
    if test == summary["validation_split"]:
        lines += ["", f"{test} also selected epochs and weights: these figures are too high."]
    if fitted is not None:
        lines += [
            "",
            f"## Weights, fitted on {summary['validation_split']} (the paper's Table 1)",
            "",
            f"| network | weight | accuracy on {summary['validation_split']} |",
            "|---|---|---|",
            *(
                f"| {name} | {weight:.4f} | {100 * fitted['members'][name]:.2f} % |"
                for name, weight in fitted["weights"].items()
            ),
            "",
            f"Plain mean: {100 * fitted['mean']:.2f} %. Fitted weights: "
            f"{100 * fitted['fitted']:.2f} % on the same faces, "
            f"{100 * fitted['held_out']:.2f} % in 5-fold cross-validation.",
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


def _comparisons(summary: Mapping[str, Any]) -> list[str]:
    """Return a table of pairs of networks on the same faces; nothing without pairs."""
    if not summary["comparisons"]:
        return []
    return [
        "",
        f"## Pairs on {summary['test_split']}, face by face",
        "",
        "*Only first* counts the faces that only the first one labels correctly. The interval is "
        "from the bootstrap, and p from McNemar's exact test.",
        "",
        "| first | second | difference | 95 % interval | only first | only second | p |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {' | '.join(row['networks'])} | {100 * row['difference']:+.2f} points | "
            f"{100 * row['interval_95'][0]:+.2f} to {100 * row['interval_95'][1]:+.2f} | "
            f"{row['only_first']} | {row['only_second']} | {row['p_value']:.2g} |"
            for row in summary["comparisons"]
        ),
    ]
