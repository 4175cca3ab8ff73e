"""Compare two results files row by row."""

from types import ModuleType

from benchmarks.suite import PARTS, label

#: Fields of the header that identify a machine.
MACHINE = ("processor", "cores", "system", "python", "versions")


def comparison(first: dict, second: dict) -> str:
    """Return a Markdown table with both values and second / first for each measurement."""
    lines = [
        *_differences(first, second),
        "| row | measured | first | second | ratio |",
        "|---|---|---|---|---|",
    ]
    for name, part in PARTS.items():
        old, new = (_by_key(part, results["parts"].get(name, ())) for results in (first, second))
        for key in old | new:
            row = f"{name}: {label(part, old.get(key) or new[key])}"
            if key not in old or key not in new:
                lines.append(f"| {row} | only in the {'first' if key in old else 'second'} | | | |")
                continue
            lines += [f"| {row} | {ratio} |" for ratio in _ratios(part, old[key], new[key])]
    return "\n".join(lines)


def _differences(first: dict, second: dict) -> list[str]:
    """Return a line for each difference of machine or options, which may explain a ratio."""
    return [
        f"{where}, {key}: {first[where].get(key)!r}, then {second[where].get(key)!r}.\n"
        for where, keys in (("machine", MACHINE), ("options", first["options"]))
        for key in keys
        if first[where].get(key) != second[where].get(key)
    ]


def _by_key(part: ModuleType, rows: list[dict]) -> dict[tuple, dict]:
    return {tuple(row.get(key) for key in part.KEYS): row for row in rows}


def _ratios(part: ModuleType, old: dict, new: dict) -> list[str]:
    """Return the cells after a row's name, or the reason why a row has no figures."""
    for which, row in (("first", old), ("second", new)):
        for reason in ("error", "skipped"):
            if reason in row:
                return [f"{reason} in the {which} | | |"]
    if old.get("ran_batch_size") != new.get("ran_batch_size"):
        return ["out of memory with this batch size in one of them | | |"]
    pairs = [(metric, old.get(metric), new.get(metric)) for metric in part.METRICS]
    return [
        f"{metric} | {before:.4g} | {after:.4g} | {after / before:.3f}"
        for metric, before, after in pairs
        if before and after
    ]
