"""How many cores emonet uses: the affinity, a container's quota and EMONET_THREADS count."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from emonet import EmotionRecognizer
from emonet.errors import ConfigError
from emonet.plugin import usable_cores
from emonet.support import cores


@pytest.fixture(autouse=True)
def _sixteen_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("EMONET_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setattr(cores, "CONTROL_GROUPS", tmp_path)
    monkeypatch.setattr(cores, "MEMBERSHIP", tmp_path / "membership")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/\n", {}, 16),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 16),
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "5000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "9900000 100000\n"}, 16),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "max 100000\n"}, 3),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "100000 100000\n"}, 1),
        # In a container: the path is the host's, and the files are the container's.
        ("0::/docker/ab12\n", {"cpu.max": "400000 100000\n"}, 4),
        ("0::/../../other\n", {"cpu.max": "400000 100000\n"}, 4),
        (
            "4:cpu,cpuacct:/a\n1:memory:/a\n",
            {"cpu/a/cpu.cfs_quota_us": "250000\n", "cpu/a/cpu.cfs_period_us": "50000\n"},
            5,
        ),
        (
            "4:cpu,cpuacct:/docker/ab12\n",
            {
                "cpu,cpuacct/cpu.cfs_quota_us": "600000\n",
                "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            6,
        ),
        (
            "1:cpu:/\n0::/\n",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
            16,
        ),
        ("1:cpu:/\n0::/\n", {"unified/cpu.max": "700000 100000\n"}, 7),
        ("0::/\n", {"cpu.max": "nonsense\n"}, 16),
        ("0::/\n", {"cpu.max": "100000 0\n"}, 16),
    ],
)
def test_the_quota_of_a_control_group_counts(
    tmp_path: Path, membership: str, files: dict[str, str], expected: int
) -> None:
    write(tmp_path / "membership", membership)
    for name, text in files.items():
        write(tmp_path / name, text)
    assert usable_cores() == expected


def test_without_control_groups_the_affinity_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert usable_cores() == 16
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 7})
    assert usable_cores() == 2


@pytest.mark.parametrize("given", ["1", "3", "40"])
def test_the_variable_takes_precedence(
    given: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(tmp_path / "membership", "0::/\n")
    write(tmp_path / "cpu.max", "200000 100000\n")
    monkeypatch.setenv("EMONET_THREADS", given)
    assert usable_cores() == int(given)


@pytest.mark.parametrize("given", ["0", "-1", "1.5", "two", " 2", "1000", "٣", "9" * 5000])
def test_another_value_is_an_error(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMONET_THREADS", given)
    with pytest.raises(ConfigError, match=r"EMONET_THREADS must be a whole number in 1\.\.999"):
        usable_cores()


@pytest.mark.parametrize("count", [1, 3])
def test_onnxruntime_gets_as_many_threads(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 16)

    def threads() -> int:
        ensemble = EmotionRecognizer.from_pretrained("tiny")._sessions.ensemble
        session = ensemble.networks[0]._runtime._session
        return session.get_session_options().intra_op_num_threads

    assert threads() == 0  # its own choice
    monkeypatch.setenv("EMONET_THREADS", str(count))
    assert threads() == count


def test_limited_threads_reach_opencv_and_keep_the_users_choice() -> None:
    script = (
        "from emonet.support.cores import count_cores, limit_threads; limit_threads(1); "
        "import cv2; print(count_cores(), cv2.getNumThreads())"
    )
    clean = {name: value for name, value in os.environ.items() if "THREADS" not in name}

    def output(**given: str) -> str:
        command = [sys.executable, "-c", script]
        return subprocess.check_output(command, env={**clean, **given}, text=True)

    assert output() == "1 1\n"
    assert output(EMONET_THREADS="3", OPENCV_FOR_THREADS_NUM="2") == "3 2\n"
