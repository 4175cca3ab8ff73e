"""Train a list of networks and combine them: ``python -m benchmarks train-bundled``.

Each run is a process of ``emonet``. Its model folder shows whether it has finished, so the same
command continues an interrupted list, on this machine or on another.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.bundled_runs import Run
from benchmarks.machine import machine
from emonet import EmotionRecognizer
from emonet.data.splits import VALIDATION
from emonet.errors import ConfigError
from emonet.experiments.runs import CHECKPOINTS, is_finished
from emonet.support.files import atomic_write

COMMON = ("--license", "mit", "--dtype", "float16")
TABLE = "runs"
LOGS = "logs"
COMPILED = ".compiled"
#: Time for a stopped run to end. It ends after its current step and saves nothing.
GRACE_SECONDS = 120
POLL_SECONDS = 0.2
#: Several processes share a GPU only if none takes all memory. Compiled steps are kept, because
#: a continued run would compile them again.
SHARED_GPU = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}


@dataclass(frozen=True, kw_only=True)
class Place:
    """What all runs of a list share.

    Attributes:
        out: folder of the model folders, logs and table.
        data: FER-2013's CSV file.
        backend: Keras' backend.
        epochs: epochs of each network, for a trial; None for each run's own.
    """

    out: Path
    data: Path
    backend: str = "tensorflow"
    epochs: int | None = None


def train_list(
    runs: Sequence[Run],
    place: Place,
    *,
    only: Collection[str] | None = None,
    parallel: int = 1,
    minutes: float | None = None,
) -> bool:
    """Do the runs that are not finished; return whether none failed.

    Args:
        runs: the list, in order.
        place: folders, data and backend.
        only: names of the runs to do; None for all. Runs that they need must have finished.
        parallel: number of processes at once.
        minutes: stop after this time. A stopped training continues after its last whole epoch.
    """
    chosen = [run for run in runs if only is None or run.name in only]
    finished = {run.name for run in runs if is_done(run, place.out)}
    _require_needs(chosen, finished)
    (place.out / LOGS).mkdir(parents=True, exist_ok=True)
    header = _machine(place)
    write_table(runs, place.out, header, ())
    left = [run for run in chosen if run.name not in finished]
    running: dict[str, Process] = {}
    failed: set[str] = set()
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    try:
        while left or running:
            if deadline is not None and time.monotonic() > deadline:
                _tell(f"{minutes:g} minutes are over: run the same command to continue")
                break
            for run in _ready(left, finished)[: parallel - len(running)]:
                left.remove(run)
                running[run.name] = Process(run, place)
                _tell(f"{run.name}: started")
            for name, process in list(running.items()):
                if (done := process.done()) is None:
                    continue
                del running[name]
                (finished if done else failed).add(name)
                _tell(process.outcome())
                write_table(runs, place.out, header, [name] if done else ())
            if not running and not _ready(left, finished):
                break
            time.sleep(POLL_SECONDS)
    finally:
        _stop(list(running.values()))
        write_table(runs, place.out, header, ())
    if failed and left:
        _tell(f"Not started: {', '.join(run.name for run in left)}")
    return not failed


def is_done(run: Run, out: Path) -> bool:
    """Return whether a run has finished, by its model folder."""
    folder = out / run.folder
    if run.kind != "measure":
        return is_finished(folder)
    return is_finished(folder) and not _missing(run, folder)


def next_command(run: Run, place: Place) -> list[str]:
    """Return the words of the next command of an unfinished run; its working folder is ``out``.

    Paths are relative, because the record of a model has its command.
    """
    data = ["--data", _relative(place.data, place.out)]
    models = [f"./{name}" for name in run.models]
    out = ["--out", f"./{run.name}"]
    if run.kind == "measure":
        measure = _missing(run, place.out / run.folder)[0]
        return [*_measure(measure, models[0]), *data]
    options = dict(run.options)
    if run.kind in ("mean", "weighted"):
        mean = ["--mean"] if run.kind == "mean" else []
        views = ["--split", VALIDATION, "--test-time-augmentation", "horizontal_flip"]
        return ["ensemble", *models, *mean, *data, *views, *_options(options), *COMMON, *out]
    if run.kind == "quantise":
        return ["quantise", *models, *data, *_options(options), *COMMON, *out]
    if place.epochs is not None:
        options["epochs"] = place.epochs
    features = {f"{name}.{k}": v for name, part in run.features.items() for k, v in part.items()}
    return [
        *(["train"] if run.teacher is None else ["distill", f"./{run.teacher}"]),
        *data,
        *([] if run.start is None else ["--start-from", f"./{run.start}"]),
        *([] if run.backbone is None else ["--backbone", run.backbone]),
        *_settings("--backbone-option", run.backbone_options),
        *(word for name in run.features for word in ("--features", name)),
        *_settings("--feature-option", features),
        *("--recipe", run.recipe),
        *_settings("--recipe-option", run.recipe_options),
        *(*_options(options), *COMMON, *out),
    ]


class Process:
    """A run at work: its commands, one after the other."""

    def __init__(self, run: Run, place: Place) -> None:
        self._run = run
        self._place = place
        self._log = place.out / LOGS / f"{run.name}.log"
        self._start = time.monotonic()
        self._start_next()

    def _start_next(self) -> None:
        self._command = next_command(self._run, self._place)
        environment = {
            "JAX_COMPILATION_CACHE_DIR": str(self._place.out.absolute() / COMPILED),
            **SHARED_GPU,
            **os.environ,
            "KERAS_BACKEND": self._place.backend,
        }
        with self._log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "emonet", *self._command],
                cwd=self._place.out,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def done(self) -> bool | None:
        """Return whether the run has finished, True, or failed, False; None while it works."""
        status = self.process.poll()
        if status is None:
            return None
        if status != 0 or is_done(self._run, self._place.out):
            return status == 0
        if next_command(self._run, self._place) == self._command:
            return False  # the command succeeded and changed nothing
        self._start_next()
        return None

    def outcome(self) -> str:
        """Return a line about the ended run."""
        status, minutes = self.process.returncode, (time.monotonic() - self._start) / 60
        if status == 0 and is_done(self._run, self._place.out):
            return f"{self._run.name}: finished after {minutes:.1f} minutes"
        lines = self._log.read_text(errors="replace").strip().splitlines() or ["no message"]
        return f"{self._run.name}: failed with status {status}: {lines[-1][:300]} ({self._log})"


def _relative(path: Path, folder: Path) -> str:
    """Return a path as seen from a folder; an absolute path stays absolute."""
    return str(path) if path.is_absolute() else os.path.relpath(path, folder)


def write_table(runs: Sequence[Run], out: Path, header: dict, finished: Collection[str]) -> None:
    """Write runs.json and runs.md; runs that just finished get this machine."""
    path = out / f"{TABLE}.json"
    known = {row["name"]: row for row in json.loads(path.read_text())} if path.exists() else {}
    rows = []
    for run in runs:
        if run.kind == "measure" and run.name not in known and run.name not in finished:
            continue
        if not is_done(run, out):
            row = {"name": run.name, "kind": run.kind, "epochs": _unfinished_epochs(out / run.name)}
        elif run.name in known and "machine" in known[run.name]:
            row = known[run.name]
        else:
            row = _row(run, out / run.folder)
            if run.name in finished:
                row |= {"machine": header["machine"], "backend": header["backend"]}
        rows.append(row)
    with atomic_write(path) as file:
        file.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    with atomic_write(out / f"{TABLE}.md") as file:
        file.write_text(_markdown(rows), encoding="utf-8")


COLUMNS = (
    *("name", "kind", "from", "network", "parameters", "epochs", "PublicTest", "minutes"),
    "machine",
)


def _row(run: Run, folder: Path) -> dict[str, Any]:
    """Return the figures of a finished run, from its model folder."""
    recognizer = EmotionRecognizer.from_pretrained(folder)
    record = recognizer.record
    epochs = record.history
    report = record.evaluation.get(VALIDATION)
    members = sum(part.size for arrays in recognizer.weights.values() for part in arrays.values())
    settings = {**run.backbone_options, **dict.fromkeys(run.features, "yes")}
    return {
        "name": run.name,
        "kind": run.kind,
        "from": [name for name in (*run.models, run.teacher, run.start) if name],
        "network": " ".join([run.backbone or "", *(f"{k}={v}" for k, v in settings.items())]),
        "parameters": members,
        "epochs": len(epochs) if run.trains else None,
        "accuracy": None if report is None else report.accuracy,
        "faces": None if report is None else report.n,
        "seconds": sum(epoch.seconds for epoch in epochs) if run.trains else None,
        "seconds_per_epoch": fmean(epoch.seconds for epoch in epochs) if run.trains else None,
        "versions": dict(record.versions),
    }


def _unfinished_epochs(folder: Path) -> int | None:
    state = folder / CHECKPOINTS / "state.json"
    return len(json.loads(state.read_text())["history"]) if state.is_file() else None


def _markdown(rows: Sequence[dict]) -> str:
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for row in rows:
        accuracy, seconds = row.get("accuracy"), row.get("seconds")
        shown = {
            **row,
            "from": ", ".join(row.get("from", ())),
            "PublicTest": "unfinished" if "parameters" not in row else _percent(accuracy),
            "minutes": "" if seconds is None else f"{seconds / 60:.1f}",
        }
        cells = ("" if shown.get(name) is None else str(shown.get(name)) for name in COLUMNS)
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f} %"


def _require_needs(chosen: Sequence[Run], finished: Collection[str]) -> None:
    """Raise ConfigError if a run needs one that is neither finished nor chosen."""
    names = {run.name for run in chosen}
    for run in chosen:
        if missing := [need for need in run.needs if need not in names and need not in finished]:
            raise ConfigError(
                f"{run.name} needs {', '.join(missing)}, not finished. Add them to --only"
            )


def _ready(left: Sequence[Run], finished: Collection[str]) -> list[Run]:
    """Return the runs whose needs have finished."""
    return [run for run in left if set(run.needs) <= set(finished)]


def _stop(running: Sequence[Process]) -> None:
    """End processes; their folders keep the checkpoint of the last whole epoch."""
    processes = [run.process for run in running]
    for process in processes:
        process.send_signal(signal.SIGTERM)
    end = time.monotonic() + GRACE_SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _missing(run: Run, folder: Path) -> list[str]:
    """Return the measures of a run that a model folder lacks."""
    recognizer = EmotionRecognizer.from_pretrained(folder)
    record = recognizer.record
    has = {
        "frame": "dlib_hog" in recognizer.config.framing,
        "calibrate": record.calibration is not None,
        "evaluate": VALIDATION in record.robustness,
    }
    return [measure for measure in run.measures if not has[measure]]


def _measure(measure: str, model: str) -> list[str]:
    if measure == "frame":
        return ["framing", model, "--detector", "dlib_hog"]  # fit measured YuNet's
    if measure == "calibrate":
        return ["calibrate", model, "--split", VALIDATION]
    return ["evaluate", "--model", model, "--split", VALIDATION, "--robustness", "--note"]


def _settings(option: str, settings: object) -> Iterator[str]:
    for key, value in dict(settings).items():
        yield from (option, f"{key}={json.dumps(value)}")


def _options(options: dict[str, object]) -> Iterator[str]:
    for key, value in options.items():
        yield from (f"--{key.replace('_', '-')}", str(value))


def _machine(place: Place) -> dict[str, str]:
    """Return the processor, or the GPU of Keras' backend, in words."""
    header = machine(KERAS_BACKEND=place.backend)
    gpus = [d["name"] for d in header["keras"].get("devices", ()) if d["kind"] in ("GPU", "CUDA")]
    cores = f"{header['cores']} cores of {header['processor']}"
    return {"machine": ", ".join([*gpus, cores]), "backend": place.backend}


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
