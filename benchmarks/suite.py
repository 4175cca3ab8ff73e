"""Run parts of the suite and write one results file."""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

from benchmarks import (
    batch,
    bovw,
    explain,
    models,
    networks,
    photos,
    processes,
    serve,
    start_up,
    steps,
    training,
    video,
)
from benchmarks.options import Options
from benchmarks.peers import part as peers
from emonet.support.files import atomic_write

FORMAT = 1
#: Fields of the header that describe the moment, not the machine.
MOMENT = ("started", "load_before")

#: Modules with ``tasks`` (the rows to measure) and ``measure`` (measure one row). KEYS name a row,
#: METRICS are compared between runs, DETAILS are not compared.
PARTS: dict[str, ModuleType] = {
    "networks": networks,
    "training": training,
    "models": models,
    "photos": photos,
    "steps": steps,
    "batch": batch,
    "serve": serve,
    "start_up": start_up,
    "bovw": bovw,
    "explain": explain,
    "video": video,
    "peers": peers,
}


def run(names: list[str], options: Options, machine: dict, out: Path | None) -> dict:
    """Measure parts row by row.

    Args:
        names: names of the parts.
        options: options of the run.
        machine: the header, from ``machine()``.
        out: results file, written after each row. An interrupted run of the same parts,
            options and machine continues from this file.

    Returns:
        The content of the results file.
    """
    results = _interrupted(out, names, options, machine) or {
        "format": FORMAT,
        "machine": machine,
        "continued": [],
        "options": asdict(options),
        "complete": False,
        "seconds": 0.0,
        "parts": {name: [] for name in names},
    }
    _write(results, out)  # raise now if the file can't be written
    start = time.perf_counter() - results["seconds"]
    for name, row in _rows(results["parts"], options):
        results["parts"][name].append(row)
        results["seconds"] = time.perf_counter() - start
        _write(results, out)
        part = PARTS[name]
        print(f"{name}: {label(part, row)}  {_summary(part, row)}", file=sys.stderr)
    results["complete"] = True
    _write(results, out)
    return results


def _interrupted(
    out: Path | None, names: list[str], options: Options, machine: dict
) -> dict | None:
    """Return the results of the same interrupted run, without failed rows; None if none match."""
    if out is None or not out.exists():
        return None
    try:
        found = json.loads(out.read_text(encoding="utf-8"))
        same = (
            found["format"] == FORMAT
            and not found["complete"]
            and list(found["parts"]) == names
            and Options.from_json(found["options"]) == options
            and _lasting(found["machine"]) == _lasting(machine)
        )
    except (ValueError, KeyError, TypeError):
        return None
    if not same:
        return None
    for name, rows in found["parts"].items():
        found["parts"][name] = [row for row in rows if "error" not in row]
    found["continued"].append({key: machine[key] for key in MOMENT})
    return found


def _lasting(machine: dict) -> dict:
    return {key: value for key, value in machine.items() if key not in MOMENT}


def _rows(measured: Mapping[str, list[dict]], options: Options) -> Iterator[tuple[str, dict]]:
    for name, rows in measured.items():
        part = PARTS[name]
        done = [{key: row[key] for key in part.KEYS} for row in rows]
        for tasks in part.tasks(options):
            left = [task for task in tasks if {key: task[key] for key in part.KEYS} not in done]
            for row in processes.rows(part.__name__, left, options):
                yield name, row


def _write(results: dict, out: Path | None) -> None:
    if out is not None:
        with atomic_write(out) as new:
            new.write_text(json.dumps(results, indent=1), encoding="utf-8")


def label(part: ModuleType, row: dict) -> str:
    """Return a row's name: its keys and their values."""
    return ", ".join(f"{key} {_shown(row[key])}" for key in part.KEYS if row.get(key, "") != "")


def _shown(value: object) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def _summary(part: ModuleType, row: dict) -> str:
    for reason in ("error", "skipped"):
        if reason in row:
            return f"{reason}: {row[reason]}"
    shown = [metric for metric in part.METRICS[:2] if row.get(metric) is not None]
    return ", ".join(f"{metric} {row[metric]:.4g}" for metric in shown)
