"""Compute what a large job takes from the measured steps of one photo."""

from collections.abc import Mapping

from emonet.errors import InputError

SECONDS_PER_HOUR = 3600
MS = 1000
BITS = 8


def scale_table(results: Mapping, photos: int, faces: float, cores: int) -> str:
    """Return a Markdown table: core-hours, shares of the steps, and input per machine.

    Args:
        results: a results file of the part ``steps``.
        photos: number of photos.
        faces: average number of faces in a photo.
        cores: processor cores of a machine.

    Raises:
        InputError: the results file lacks the measured steps.
    """
    rows = [row for row in results["parts"].get("steps", ()) if "error" not in row]
    cpu = {(row["step"], row["model"]): row["cpu_ms"] for row in rows}
    models = [model for step, model in cpu if step == "classify"]
    if ("decode", "") not in cpu or ("detect", "") not in cpu or not models:
        raise InputError("The results file lacks the part 'steps': run it first")
    decode, detect = cpu["decode", ""], cpu["detect", ""]
    size = rows[0]["photo_bytes"]
    lines = [
        "| model | photos/s on a core | core-hours | decode | detect | classify "
        f"| days on {cores} cores | input for {cores} cores | at most with a GPU |",
        "|---" * 9 + "|",
    ]
    for model in models:
        classify = faces * cpu["classify", model]
        total = decode + detect + classify
        rate = MS / total
        hours = photos / rate / SECONDS_PER_HOUR
        cells = [
            f"`{model}`",
            f"{rate:.3g}",
            f"{_rounded(hours):,}",
            *(f"{part / total:.0%}".replace("%", " %") for part in (decode, detect, classify)),
            f"{hours / cores / 24:.3g}",
            f"{cores * rate * size * BITS / 1e6:.3g} Mbit/s",
            f"{total / (decode + detect):.3g} times as fast",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _rounded(value: float) -> int:
    """Round to three significant digits."""
    return int(float(f"{value:.3g}"))
