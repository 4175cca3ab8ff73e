"""Write results as a page for the documentation: Markdown tables and PNG plots."""

import json
from pathlib import Path
from types import ModuleType

from benchmarks.suite import PARTS, label
from emonet.errors import MissingDependencyError

PAGE = "benchmarks.md"
#: Parts plotted as curves: the columns of the x and the y axis.
CURVES = {"networks": ("batch_size", "images_per_s")}
BARS = {
    "training": ("images_per_s", "ready_images_per_s"),
    "models": ("images_per_s",),
    "photos": ("images_per_s", "detector_images_per_s", "reading_detector_images_per_s"),
    "batch": ("images_per_s", "reference_images_per_s"),
    "serve": ("images_per_s", "stream_images_per_s"),
    "start_up": ("ms_p50",),
    "peers": ("faces_per_s", "single_ms", "cold_ms", "peak_rss_mib"),
}
#: Parts with a second plot: two columns in which higher is better.
PLANES = {"peers": ("faces_per_s", "accuracy")}


def write_pages(results: dict, folder: Path) -> None:
    """Write benchmarks.md and a plot for each part that has one.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sections = [_heading(results)]
    for name, rows in results["parts"].items():
        sections.append(f"## {name}\n\n{(PARTS[name].__doc__ or '').strip()}")
        if _plot(name, rows, folder / f"{name}.png"):
            sections.append(f"![{name}]({name}.png)")
        if name in PLANES:
            sections += _plane(name, rows, folder)
        sections.append(_table(PARTS[name], rows))
    (folder / PAGE).write_text("\n\n".join(sections) + "\n", encoding="utf-8")


def _heading(results: dict) -> str:
    machine, load = results["machine"], results["machine"]["load_before"]
    devices = ", ".join(device["name"] for device in machine["keras"].get("devices", ()))
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    lines = [
        "# Benchmarks",
        f"{machine['started']}, {machine['processor']}, {machine['cores']} cores; {devices}. "
        f"Load before the run: {_cell(load and load[0]) or 'unknown'}.",
        f"Python {machine['python']}, {machine['system']}; {versions}.",
        f"Options: `{json.dumps(results['options'])}`",
    ]
    if results["options"]["quick"]:
        lines.append("A quick run: it tests that everything runs. Don't use its figures.")
    if not results["complete"]:
        lines.append("The run was interrupted, so rows are missing.")
    return "\n\n".join(lines)


def _table(part: ModuleType, rows: list[dict]) -> str:
    columns = [
        column
        for column in (*part.KEYS, *part.METRICS, *part.DETAILS)
        if any(row.get(column) is not None for row in rows)
    ]
    lines = [f"| {' | '.join([*columns, 'remarks'])} |", "|---" * (len(columns) + 1) + "|"]
    for row in rows:
        cells = [_cell(row.get(column)) for column in columns]
        lines.append(f"| {' | '.join([*cells, _remarks(row)])} |")
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _remarks(row: dict) -> str:
    """Return remarks on a row: errors, skipped rows and reduced batches."""
    parts = [f"{reason}: {row[reason]:.200}" for reason in ("error", "skipped") if reason in row]
    if row.get("too_large"):
        parts.append(f"out of memory at {row['too_large']}, ran with {row.get('ran_batch_size')}")
    if row.get("cut"):
        parts.append("time cut the runs")
    if row.get("note"):
        parts.append(row["note"])
    return "; ".join(parts).replace("|", "/").replace("\n", " ")


def _plot(name: str, rows: list[dict], path: Path) -> bool:
    """Plot the measured rows of a part; return whether there is a plot."""
    part = PARTS[name]
    measured = [row for row in rows if "error" not in row and "skipped" not in row]
    if not measured or name not in CURVES | BARS:
        return False
    if name in CURVES:
        figure = _curves(part, measured, *CURVES[name])
    else:
        figure = _bars(part, measured, BARS[name])
    figure.savefig(path, dpi=120)
    return True


def _plane(name: str, rows: list[dict], folder: Path) -> list[str]:
    """Plot rows by two columns, and name the rows that no other row surpasses in both."""
    across, up = PLANES[name]
    points = {label(PARTS[name], row): (row[across], row[up]) for row in rows if row.get(up)}
    if not points:
        return []
    best = {key for key in points if not any(_surpasses(p, points[key]) for p in points.values())}
    figure, (axes,) = _figure(1, height=5.0, sharey=False)
    for key, point in points.items():
        axes.plot(*point, "o", label=key, fillstyle="full" if key in best else "none")
    axes.set(xscale="log", xlabel=across, ylabel=up)
    figure.legend(loc="outside right upper", fontsize="small")
    file = f"{name}_{up}.png"
    figure.savefig(folder / file, dpi=120)
    named = "; ".join(key for key in points if key in best)
    return [f"![{up} by {across}]({file})", f"No other row is better in both: {named}."]


def _surpasses(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Return whether a point is at least as high as another in both columns, and differs."""
    return one != other and one[0] >= other[0] and one[1] >= other[1]


def _bars(part: ModuleType, rows: list[dict], metrics: tuple[str, ...]):
    """Draw one bar per row, with the metrics side by side."""
    figure, all_axes = _figure(len(metrics), height=1.5 + 0.35 * len(rows), sharey=True)
    for axes, metric in zip(all_axes, metrics, strict=True):
        names = [label(part, row) for row in rows]
        axes.barh(names, [row.get(metric) or 0 for row in rows])
        axes.set_xlabel(metric)
    all_axes[0].invert_yaxis()
    return figure


def _curves(part: ModuleType, rows: list[dict], across: str, up: str):
    """Draw one plot per backbone, with one curve for each kind of row."""
    kinds = [key for key in part.KEYS[1:] if key != across]
    backbones = list(dict.fromkeys(row[part.KEYS[0]] for row in rows))
    figure, all_axes = _figure(len(backbones), height=6.0, sharey=False)
    for axes, backbone in zip(all_axes, backbones, strict=True):
        curves: dict[str, list[tuple[float, float]]] = {}
        for row in rows:
            if row[part.KEYS[0]] == backbone:
                kind = ", ".join(f"{key} {_cell(row[key])}" for key in kinds)
                curves.setdefault(kind, []).append(
                    (row.get("ran_batch_size", row[across]), row[up])
                )
        for kind, points in curves.items():
            axes.plot(*zip(*sorted(points), strict=True), marker="o", label=kind)
        axes.set(title=backbone, xscale="log", yscale="log", xlabel=across, ylabel=up)
        sizes = sorted({size for points in curves.values() for size, _ in points})
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        axes.legend(fontsize="small")
    return figure


def _figure(count: int, *, height: float, sharey: bool):
    """Return a figure with ``count`` plots side by side, and its axes."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("Plots need matplotlib: pip install emonet[plots]") from error
    figure = Figure(figsize=(4.5 + 4 * count, height), layout="constrained")
    return figure, figure.subplots(1, count, sharey=sharey, squeeze=False)[0]
