"""Where a plugin's file comes from: a path, the Hub, an address; and how files are written."""

import functools
import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from emonet import EmotionRecognizer
from emonet.errors import ConfigError, HubError, ModelNotFoundError, TrainingError, WeightsError
from emonet.plugin import locate_file
from emonet.support.files import LEFT_SECONDS, atomic_write, lock_folder, sweep
from emonet.training.checkpoint import Checkpoint
from emonet.training.schedule import EpochRecord

CONTENT = b"weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights.h5"
    path.write_bytes(CONTENT)
    return path


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(file: Path) -> Iterator[str]:
    handler = functools.partial(Quiet, directory=file.parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_path_is_used_where_it_is(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert locate_file(str(file), sha256=SHA256) == file
    monkeypatch.setenv("HOME", str(file.parent))
    assert locate_file("~/weights.h5") == file


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="There is no file"):
        locate_file(str(tmp_path / "nothing"))
    with pytest.raises(ModelNotFoundError):
        locate_file(str(tmp_path))


def test_another_file_than_the_one_that_was_meant_is_refused(file: Path) -> None:
    with pytest.raises(WeightsError, match="expected 0000"):
        locate_file(str(file), sha256="0" * 64)


def test_an_address_is_fetched_once(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    first = locate_file(f"{address}/weights.h5", sha256=SHA256)
    assert first.read_bytes() == CONTENT
    (tmp_path / "weights.h5").unlink()
    assert locate_file(f"{address}/weights.h5") == first


def test_what_can_not_be_fetched_is_said_so(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HubError, match=r"missing\.h5 can't be fetched"):
        locate_file(f"{address}/missing.h5")
    # Unreachable and forbidden are the same to the client, but it tries only the former again.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="hf://org/name@main/file can't be fetched"):
        locate_file("hf://org/name@main/file")


@pytest.mark.parametrize("source", ["hf://", "hf://org", "hf://org/name", 7, None])
def test_what_is_no_source_is_refused(source: object) -> None:
    with pytest.raises(ConfigError):
        locate_file(source)


def test_bytes_are_on_the_disk_before_a_file_takes_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda handle: flushed.append(os.fstat(handle).st_ino))
    with atomic_write(tmp_path / "a.txt") as file:
        file.write_text("text")
        before = file.stat().st_ino
    assert flushed == [before] == [(tmp_path / "a.txt").stat().st_ino]


def test_a_folder_is_no_file_to_write() -> None:
    with pytest.raises(IsADirectoryError), atomic_write(Path()):
        pass


def test_a_checkpoints_arrays_are_on_the_disk_before_they_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda handle: flushed.append(os.fstat(handle).st_ino))
    epoch = EpochRecord(
        epoch=1, phase=0, learning_rate=0.1, loss=1.0, accuracy=0.5,
        val_loss=1.0, val_accuracy=0.5, seconds=1.0,
    )  # fmt: skip
    arrays = {"a": np.zeros(3, np.float32)}
    Checkpoint(tmp_path, {}).save([epoch], last=arrays, best=arrays)
    names = ("last-0001.safetensors", "best-0001.safetensors", "state.json")
    assert flushed == [(tmp_path / name).stat().st_ino for name in names]


def test_a_models_files_are_all_on_the_disk_before_the_first_takes_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed, named, replace = set(), [], Path.replace

    def noting(file: Path, target: Path) -> Path:
        named.append((target.name, len(flushed)))
        return replace(file, target)

    monkeypatch.setattr(os, "fsync", lambda handle: flushed.add(os.fstat(handle).st_ino))
    monkeypatch.setattr(Path, "replace", noting)
    EmotionRecognizer.from_pretrained("tiny").save_pretrained(tmp_path)
    assert {count for _, count in named} == {len(list(tmp_path.iterdir()))} == {5}
    assert named[-1][0] == "config.json"


def test_a_checkpoint_that_can_not_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "last-0001.safetensors").mkdir()
    epoch = EpochRecord(
        epoch=1, phase=0, learning_rate=0.1, loss=1.0, accuracy=0.5,
        val_loss=1.0, val_accuracy=0.5, seconds=1.0,
    )  # fmt: skip
    with pytest.raises(TrainingError, match=r"last-0001\.safetensors can't be written"):
        Checkpoint(tmp_path, {}).save([epoch], last={"a": np.zeros(3)}, best=None)


WRITE_FOR_EVER = """
import sys
from pathlib import Path
from emonet.support.files import atomic_write, sweep

folder = Path(sys.argv[1])
sweep(folder)
with atomic_write(folder / "one") as one, atomic_write(folder / "two") as two:
    one.write_bytes(b"half")
    two.write_bytes(b"half")
    print("written", flush=True)
    sys.stdin.read()
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline()
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="Windows waits for an hour")
def test_temporary_files_of_killed_processes_are_swept(tmp_path: Path) -> None:
    with start(WRITE_FOR_EVER, tmp_path) as living:
        for _ in range(20):
            with start(WRITE_FOR_EVER, tmp_path) as process:
                assert len(list(tmp_path.iterdir())) == 4, "two of each process"
                process.kill()
        with atomic_write(tmp_path / "mine") as mine:
            mine.write_text("half")
            sweep(tmp_path)
        living.stdin.close()
        living.wait()
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two", "mine"}


def test_only_old_files_of_other_machines_are_swept(tmp_path: Path) -> None:
    digits = "0123456789abcdef"
    names = {".emonet-00000000-1-" + digits, ".emonet-00000000-1-" + digits[::-1]}
    others = {".emonet-1-" + digits, ".emonet-settings", ".0123456789abcdef", "mine.txt"}
    for name in names | others:
        (tmp_path / name).write_text("")
    old = sorted(names)[0]
    long_ago = time.time() - LEFT_SECONDS - 60
    for name in {old, *others}:
        os.utime(tmp_path / name, (long_ago, long_ago))
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == (names | others) - {old}


LOCK = """
import sys
from pathlib import Path
from emonet.support.files import lock_folder

with lock_folder(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    for kill in (True, False):
        with start(LOCK, tmp_path) as process:
            with pytest.raises(BlockingIOError), lock_folder(tmp_path):
                pass
            if kill:
                process.kill()
            else:
                process.stdin.close()
            process.wait()
        with lock_folder(tmp_path), pytest.raises(BlockingIOError), lock_folder(tmp_path):
            pass
        assert list(tmp_path.iterdir()) == []


def test_a_lock_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / ".emonet-lock").symlink_to(tmp_path / "created")
    with pytest.raises(OSError, match="symbolic"), lock_folder(tmp_path):
        pass
    assert not (tmp_path / "created").exists()
