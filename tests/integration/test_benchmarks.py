"""The benchmark suite through its command line: results, page, comparison, and what it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import processes
from benchmarks.options import Options
from benchmarks.peers import part as peers
from benchmarks.suite import PARTS
from benchmarks.timing import measure
from tests.conftest import make_faces, write_fer2013, write_votes

from emonet import EmotionRecognizer
from emonet.labels import FER2013

ROOT = Path(__file__).parents[2]


#: The header asks Keras about devices; with this backend it answers soonest, and has none.
SOON = {"KERAS_BACKEND": "numpy"}


def benchmarks(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the part that needs no TensorFlow."""
    path = tmp_path_factory.mktemp("results") / "results.json"
    done = benchmarks("run", "bovw", "--quick", "--runs", "3", "--out", path, **SOON)
    assert done.returncode == 0, done.stderr
    return path


def test_results_name_the_machine_and_hold_measured_rows(results: Path) -> None:
    found = read(results)
    assert found["complete"] is True
    assert len(found["machine"]["load_before"]) == 3
    assert found["machine"]["versions"]["emonet"]
    (row,) = found["parts"]["bovw"]
    assert 0 < row["ms_min"] <= row["ms_p50"] <= row["ms_p95"]
    assert row["runs"] == 3 or row["cut"]
    # scikit-image works window by window: whatever the machine, the batch is many times faster.
    assert row["ratio"] > 3


def test_an_interrupted_run_goes_on(results: Path, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    found = read(results)
    (measured,) = found["parts"]["bovw"]
    path.write_text(json.dumps({**found, "complete": False}))
    command = ("run", "bovw", "--quick", "--runs", "3", "--out", path)
    assert benchmarks(*command, **SOON).returncode == 0
    done = read(path)
    assert done["parts"]["bovw"] == [measured]
    assert done["complete"] is True
    assert len(done["continued"]) == 1
    assert done["machine"] == found["machine"]

    failed = {"bovw": [{"extractor": measured["extractor"], "error": "process exited with 1"}]}
    path.write_text(json.dumps({**found, "complete": False, "parts": failed}))
    assert benchmarks(*command, **SOON).returncode == 0
    (again,) = read(path)["parts"]["bovw"]
    assert again["ratio"] > 0


def test_another_run_or_a_finished_one_starts_afresh(results: Path, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps({**read(results), "complete": False}))
    command = ("run", "bovw", "--quick", "--runs", "2", "--out", path)
    assert benchmarks(*command, **SOON).returncode == 0
    other = read(path)
    assert other["continued"] == []
    (row,) = other["parts"]["bovw"]
    assert row["runs"] <= 2
    assert benchmarks(*command, **SOON).returncode == 0
    assert read(path)["continued"] == []
    (again,) = read(path)["parts"]["bovw"]
    assert again != row  # it was measured anew


def test_render_writes_a_page_and_plots(results: Path, tmp_path: Path) -> None:
    found = read(results)
    row = {"backbone": "acme", "features": "pixels", "precision": "float32", "compile": True}
    found["parts"]["networks"] = [
        row | {"batch_size": 8, "images_per_s": 10.0, "ms_p50": 800.0, "cut": True},
        row | {"batch_size": 32, "error": "MemoryError: a | b"},
    ]
    found["parts"]["start_up"] = [{"process": "python", "model": "", "ms_p50": 12.5}]
    (tmp_path / "results.json").write_text(json.dumps(found))
    done = benchmarks("render", tmp_path / "results.json", "--out", tmp_path / "page")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page" / "benchmarks.md").read_text()
    assert "| acme | pixels | float32 | on | 8 | 10 | 800 | time cut the runs |" in page
    assert "| error: MemoryError: a / b |" in page
    assert "A quick run" in page
    for plot in ("networks.png", "start_up.png"):
        assert f"]({plot})" in page
        assert (tmp_path / "page" / plot).read_bytes().startswith(b"\x89PNG")


def test_render_names_the_peers_that_none_surpasses(results: Path, tmp_path: Path) -> None:
    found = read(results)
    figures = {
        "slow": (10.0, 0.7),
        "fast": (100.0, 0.6),
        "worse": (100.0, 0.5),
        "worst": (9.0, 0.5),
    }
    found["parts"]["peers"] = [
        {"peer": "acme", "variant": name, "faces_per_s": speed, "accuracy": accuracy}
        for name, (speed, accuracy) in figures.items()
    ] + [{"peer": "acme", "variant": "untrained", "faces_per_s": 10**6, "note": "random weights"}]
    (tmp_path / "results.json").write_text(json.dumps(found))
    done = benchmarks("render", tmp_path / "results.json", "--out", tmp_path / "page")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page" / "benchmarks.md").read_text()
    assert "| acme | slow | 10 | 0.7 |" in page
    assert "| acme | untrained | 1000000 |  | random weights |" in page
    assert (
        "No other row is better in both: peer acme, variant slow; peer acme, variant fast." in page
    )
    assert (tmp_path / "page" / "peers_accuracy.png").read_bytes().startswith(b"\x89PNG")


def test_compare_prints_ratios_row_by_row(results: Path, tmp_path: Path) -> None:
    found = read(results)
    (row,) = found["parts"]["bovw"]
    row["ratio"] *= 2
    found["parts"]["start_up"] = [{"process": "python", "model": "", "ms_p50": 12.5}]
    (tmp_path / "other.json").write_text(json.dumps(found))
    done = benchmarks("compare", results, tmp_path / "other.json")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert sum(line.endswith("| 1.000 |") for line in lines) == 2
    assert any("| ratio |" in line and line.endswith("| 2.000 |") for line in lines)
    assert any("start_up: process python | only in the second" in line for line in lines)
    assert lines[0].startswith("| row")


def test_compare_says_what_is_not_comparable(results: Path, tmp_path: Path) -> None:
    first = read(results)
    row = {"backbone": "acme", "features": "pixels", "precision": "float32", "compile": True}
    row |= {"batch_size": 128, "images_per_s": 10.0, "ms_p50": 800.0}
    first["parts"]["networks"] = [row]
    second = json.loads(json.dumps(first))
    second["machine"]["cores"] += 1
    second["options"]["runs"] += 1
    second["parts"]["networks"] = [row | {"ran_batch_size": 64}]
    for name, found in (("first", first), ("second", second)):
        (tmp_path / f"{name}.json").write_text(json.dumps(found))
    done = benchmarks("compare", tmp_path / "first.json", tmp_path / "second.json")
    assert done.returncode == 0, done.stderr
    assert "machine, cores: " in done.stdout
    assert "options, runs: " in done.stdout
    assert "batch_size 128 | out of memory with this batch size in one of them |" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "bovw", "--quick", "--require-gpu"], "--require-gpu: Keras sees no GPU"),
        (["run", "bowv"], "No part named bowv"),
        (["run", "--precisions", "float8"], "--precisions takes float32, bfloat16, float16"),
        (["run", "--split", "PublicTest"], "--split PublicTest is a split of --data"),
        (["run", "--batch-sizes", "0"], "--batch-sizes takes comma-separated whole numbers"),
        (["compare", "noxfile.py", "noxfile.py"], "noxfile.py is not JSON"),
    ],
)
def test_what_it_refuses(arguments: list[str], expected: str) -> None:
    done = benchmarks(*arguments, **SOON)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"benchmarks: {expected}")


#: A part that runs out of memory in each of the ways in which processes do.
HUNGRY = """
import os, signal
def measure(task, options):
    size = task.get("ran_batch_size", task["batch_size"])
    if task["kind"] == "broken":
        raise ValueError("no such thing")
    if size > 16:
        raise MemoryError
    if size > 8:
        raise RuntimeError("RESOURCE_EXHAUSTED: OOM when allocating tensor")
    if size > 4:
        os.kill(os.getpid(), signal.SIGKILL)
    if task["kind"] == "crash":
        os.abort()
    print("this is no row")
    return {"pid": os.getpid()}
"""


def test_too_large_a_batch_is_halved_and_the_other_rows_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hungry.py").write_text(HUNGRY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    tasks = [
        {"kind": "small", "batch_size": 2},
        {"kind": "large", "batch_size": 32},
        {"kind": "broken", "batch_size": 1},
        {"kind": "crash", "batch_size": 1},
        {"kind": "small", "batch_size": 1},
    ]
    small, large, broken, crash, last = processes.rows("hungry", tasks, Options())
    assert "ran_batch_size" not in small
    assert (large["batch_size"], large["ran_batch_size"]) == (32, 4)
    assert large["too_large"] == [32, 16, 8]
    assert broken["error"] == "ValueError: no such thing"
    assert crash["error"].startswith("process exited with status -6")
    assert last["pid"] not in {small["pid"], large["pid"]}


def test_time_cuts_the_runs_and_the_row_says_so() -> None:
    row = measure(lambda: sum(range(100_000)), runs=10**9, seconds=0.05)
    assert row["cut"] is True
    assert 1 <= row["runs"] < 10**9


def test_a_peers_accuracy_is_that_on_the_split(tmp_path: Path) -> None:
    model = EmotionRecognizer.from_pretrained("fast")
    faces = np.random.default_rng(0).integers(0, 256, (10, 48, 48), dtype=np.uint8)
    classes = model.predict_proba(faces).argmax(axis=1)
    classes[:3] = (classes[:3] + 1) % 7  # three labels that the model does not give
    rows = ["emotion,pixels,Usage", f"0,{' '.join(['0'] * 48 * 48)},Training"]
    for face, kind in zip(faces, classes, strict=True):
        rows.append(f"{kind},{' '.join(map(str, face.ravel()))},PrivateTest")
    (tmp_path / "fer2013.csv").write_text("\n".join(rows))
    options = Options(
        runs=1, seconds=0, data=str(tmp_path / "fer2013.csv"), split="PrivateTest", peers=None
    )
    row = peers.measure({"peer": "emonet", "variant": "fast, onnxruntime"}, options)
    assert (row["accuracy"], row["labelled_faces"]) == (0.7, 10)
    assert row["faces_per_s"] > 0
    assert "said" not in row
    assert "skipped" in peers.measure({"peer": "fer", "variant": "public API"}, options)


#: A library that has its own names for emotions, and always sees the same.
LIBRARY = """
from benchmarks.peers import harness
def load():
    return lambda faces: [{"happy": 0.2, "angry": 0.8}] * len(faces)
harness.run("numpy", {"public API": load})
"""


def test_a_peer_answers_in_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "faces.raw").write_bytes(bytes(2 * 48 * 48))
    (tmp_path / "labelled.raw").write_bytes(bytes(3 * 48 * 48))
    request = {
        "variant": "public API",
        "faces": str(tmp_path / "faces.raw"),
        "labelled": str(tmp_path / "labelled.raw"),
        "runs": 1,
        "seconds": 0,
        "started": 0,
    }
    done = subprocess.run(
        [sys.executable, "-c", LIBRARY, json.dumps(request)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    row = json.loads(done.stdout)
    assert (row["faces"], row["said"]) == (2, ["angry"] * 3)


@pytest.mark.slow
def test_the_quick_suite_measures_every_part(tmp_path: Path) -> None:
    done = benchmarks("run", *PARTS, "--quick", "--out", tmp_path / "results.json")
    assert done.returncode == 0, done.stderr
    found = read(tmp_path / "results.json")
    for name, part in PARTS.items():
        rows = [row for row in found["parts"][name] if "skipped" not in row]
        assert rows, name
        for row in rows:
            assert all(row[key] is not None for key in part.KEYS), row
            figures = [row[metric] for metric in part.METRICS if row.get(metric) is not None]
            # A tracker may make no mistakes in a few films.
            assert any(figures) or (figures and row.get("measure") == "tracks"), row
    for row in found["parts"]["networks"]:
        assert row["parameters"] > 1e6
        assert row["flops_per_face"] > 1e8
        assert row["share_of_peak"] > 0
    assert benchmarks("render", tmp_path / "results.json", "--out", tmp_path).returncode == 0


def test_labels_tells_what_votes_add(tmp_path: Path) -> None:
    faces = make_faces(12)
    data = write_fer2013(tmp_path / "fer2013.csv", {"PublicTest": faces})
    voted = np.where(np.arange(len(faces)) % 4 == 0, 3, faces.classes)  # a quarter said happiness
    votes = write_votes(
        tmp_path / "votes.csv", ({FER2013[kind]: 10} for kind in voted), ["PublicTest"]
    )
    done = benchmarks(*("labels", "--data", data, "--ferplus", votes, "--model", "tiny"))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["faces"] == len(faces)
    assert found["majority"] == pytest.approx((voted == faces.classes).mean())
    assert found["model"] == EmotionRecognizer.from_pretrained("tiny").evaluate(faces).accuracy
    # Whoever learns from the votes knows as much as their majority, less what few faces teach.
    assert found["votes"] > found["majority"] - 0.1
    assert found["both"] >= found["votes"] - 0.1
