"""The parts of the suite, and a run of some of them into one results file."""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

from benchmarks import bovw, models, networks, photos, processes, start_up, training
from benchmarks.options import Options
from benchmarks.peers import part as peers

FORMAT = 1

#: A part says what there is to measure (``tasks``), measures one of these (``measure``), and
#: names a row's KEYS, its METRICS, and DETAILS that are not compared.
PARTS: dict[str, ModuleType] = {
    "networks": networks,
    "training": training,
    "models": models,
    "photos": photos,
    "start_up": start_up,
    "bovw": bovw,
    "peers": peers,
}


def run(names: list[str], options: Options, machine: dict, out: Path | None) -> dict:
    """Measure parts row by row.

    Args:
        names: of the parts.
        options: of the run.
        machine: the header.
        out: where results are written after every row, so that an interrupted run keeps them.

    Returns:
        What is in that file.
    """
    results = {
        "format": FORMAT,
        "machine": machine,
        "options": asdict(options),
        "complete": False,
        "seconds": 0.0,
        "parts": {name: [] for name in names},
    }
    _write(results, out)  # a file that can't be written is found out now
    start = time.perf_counter()
    for name, row in _rows(names, options):
        results["parts"][name].append(row)
        results["seconds"] = time.perf_counter() - start
        _write(results, out)
        part = PARTS[name]
        print(f"{name}: {label(part, row)}  {_summary(part, row)}", file=sys.stderr)
    results["complete"] = True
    _write(results, out)
    return results


def _rows(names: list[str], options: Options) -> Iterator[tuple[str, dict]]:
    for name in names:
        part = PARTS[name]
        for tasks in part.tasks(options):
            for row in processes.rows(part.__name__, tasks, options):
                yield name, row


def _write(results: dict, out: Path | None) -> None:
    if out is not None:
        out.write_text(json.dumps(results, indent=1), encoding="utf-8")


def label(part: ModuleType, row: dict) -> str:
    """Name a row by what tells it from the others."""
    return ", ".join(f"{key} {_shown(row[key])}" for key in part.KEYS if row.get(key, "") != "")


def _shown(value: object) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def _summary(part: ModuleType, row: dict) -> str:
    for reason in ("error", "skipped"):
        if reason in row:
            return f"{reason}: {row[reason]}"
    shown = [metric for metric in part.METRICS[:2] if row.get(metric) is not None]
    return ", ".join(f"{metric} {row[metric]:.4g}" for metric in shown)
