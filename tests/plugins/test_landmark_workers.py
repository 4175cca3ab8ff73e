"""Landmarks of many faces come from several processes, and are the same."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import make_faces

from emonet_bovw import workers
from emonet_bovw.landmarks import find_model, load_predictor, locate_landmarks

FACES = make_faces(3).images


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    return locate_landmarks(load_predictor(find_model()), FACES)


@pytest.fixture(autouse=True)
def _two_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "LEAST_PER_WORKER", 10)
    monkeypatch.setattr(workers, "usable_cores", lambda: 8)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen]:
    start, processes = workers._start, []

    def noting(model: Path) -> subprocess.Popen:
        processes.append(start(model))
        return processes[-1]

    monkeypatch.setattr(workers, "_start", noting)
    return processes


def test_they_are_the_same_as_from_one_process(
    expected: np.ndarray, started: list[subprocess.Popen]
) -> None:
    predictor = load_predictor(find_model())
    found = workers.locate_in_parallel(predictor, find_model(), FACES)
    np.testing.assert_array_equal(found, expected)
    assert [process.returncode for process in started] == [0]


def test_few_faces_start_nothing(started: list[subprocess.Popen]) -> None:
    predictor = load_predictor(find_model())
    assert workers.locate_in_parallel(predictor, find_model(), FACES[:19]).shape == (19, 136)
    assert workers.locate_in_parallel(predictor, find_model(), FACES[:0]).shape == (0, 136)
    assert started == []


def test_what_a_worker_can_not_do_this_process_does(
    expected: np.ndarray,
    started: list[subprocess.Popen],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = workers.locate_in_parallel(
        load_predictor(find_model()), tmp_path / "missing.dat", FACES
    )
    np.testing.assert_array_equal(found, expected)
    assert [process.returncode for process in started] == [1]
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("emonet", "WARNING")
    assert "A process that locates landmarks failed" in record.message
    assert "Using one core" in record.message


def test_where_no_process_can_be_started_this_one_does_all(
    expected: np.ndarray, started: list[subprocess.Popen], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = workers._start

    def one_only(model: Path) -> subprocess.Popen:
        if started:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return start(model)

    monkeypatch.setattr(workers, "_start", one_only)
    monkeypatch.setattr(workers, "LEAST_PER_WORKER", 5)
    found = workers.locate_in_parallel(load_predictor(find_model()), find_model(), FACES)
    np.testing.assert_array_equal(found, expected)
    assert [process.poll() is not None for process in started] == [True]


def test_an_interrupted_search_leaves_no_process(
    started: list[subprocess.Popen], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(predictor: object, faces: np.ndarray) -> np.ndarray:
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "locate_landmarks", interrupted)
    with pytest.raises(KeyboardInterrupt):
        workers.locate_in_parallel(None, find_model(), FACES)
    assert [process.poll() is not None for process in started] == [True]


def test_they_run_nothing_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "subprocess.py").write_text("open('ran', 'w').close()\nraise SystemExit\n")
    monkeypatch.chdir(tmp_path)
    worker = workers._start(tmp_path / "no_model.dat")
    workers._feed(worker, FACES)
    with worker.stdout:
        worker.wait()
    assert not (tmp_path / "ran").exists()
