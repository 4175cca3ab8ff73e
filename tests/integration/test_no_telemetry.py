"""A process that predicts or trains sends no data, and writes only to its own folders."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from emonet.runtimes.onnx_runtime import import_onnxruntime

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="watches processes by Linux's means"
)

#: onnxruntime's telemetry reports after some 20 seconds.
SECONDS = 30

PREDICT = f"""
import time
import emonet

recognizer = emonet.EmotionRecognizer.from_pretrained("tiny")
assert recognizer.predict(emonet.sample_photo()).faces
assert len(recognizer.predict([emonet.sample_photo()] * 3)) == 3
time.sleep({SECONDS})
"""
TRAIN = f"""
import time
import numpy as np
from emonet import EmotionRecognizer, FaceDataset
from emonet.labels import FER2013

images = np.random.default_rng(0).integers(0, 256, (28, 48, 48), np.uint8)
faces = FaceDataset(images, np.arange(28) % 7, FER2013)
recognizer = EmotionRecognizer("resnet18", backbone_config={{"width": 4}})
recognizer.fit(faces, faces, epochs=1).save_pretrained("model")
recognizer.evaluate(faces)
EmotionRecognizer.from_pretrained("./model").quantise(images).predict_proba(images)
time.sleep({SECONDS})
"""
SERVE = f"""
import re, signal, subprocess, sys, time
from urllib.request import Request, urlopen
import emonet

command = [sys.executable, "-m", "emonet", "serve", "--model", "tiny", "--port", "0"]
service = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
url = re.search(r"http://[^\\s;]+", service.stderr.readline())[0]
for _ in range(600):
    try:
        urlopen(url + "/readyz")
        break
    except OSError:
        time.sleep(0.1)
photo = emonet.sample_photo().read_bytes() * 20  # more than a form keeps in memory by default
form = b'--x\\r\\nContent-Disposition: form-data; name="f"; filename="f"\\r\\n\\r\\n' + photo
form += b"\\r\\n--x--\\r\\n"
for body, kind in ((photo, "image/jpeg"), (form, "multipart/form-data; boundary=x")):
    answer = urlopen(Request(url + "/v1/predict", body, {{"Content-Type": kind}}))
    assert b"happiness" in answer.read()
for path in ("/docs", "/metrics"):
    assert urlopen(url + path).status == 200
time.sleep({SECONDS})
service.send_signal(signal.SIGTERM)
assert service.wait() == 0
service.stderr.close()
"""
#: Where Keras and Matplotlib, which Keras imports, keep their settings and caches.
OF_LIBRARIES = (".keras", ".cache/matplotlib", ".config/matplotlib")


def test_a_process_that_predicts_sends_and_writes_nothing(tmp_path: Path) -> None:
    sockets = watched(PREDICT, tmp_path)
    assert sockets == []
    assert written(tmp_path) == []


def test_a_process_that_serves_sends_nothing_out_and_writes_nothing(tmp_path: Path) -> None:
    calls = watched(SERVE, tmp_path)
    connected = [call for call in calls if "connect(" in call and "AF_UNIX" not in call]
    assert connected or not can_trace()  # to the service itself
    assert [call for call in connected if 'inet_addr("127.0.0.1")' not in call] == []
    assert written(tmp_path) == []


@pytest.mark.slow
def test_a_process_that_trains_sends_nothing_and_writes_its_model(tmp_path: Path) -> None:
    sockets = watched(TRAIN, tmp_path)
    # urllib3 tries out whether this machine has IPv6: a socket of which nothing is asked.
    assert [call for call in sockets if "connect(" in call or "send" in call] == []
    files = [path for path in written(tmp_path) if not path.startswith(OF_LIBRARIES)]
    assert "model/config.json" in files
    assert {path.split("/")[0] for path in files} == {"model"}


def watched(code: str, home: Path) -> list[str]:
    """Run code in a process with a fresh home; return what it did with sockets.

    With strace, these are its system calls, and it may open files for writing in its home only.
    Otherwise they are the sockets that are seen when looking every tenth of a second.
    """
    for name in ("home", "tmp"):
        (home / name).mkdir()
    kept = ("HF_", "KERAS_", "XDG_", "MPL", "ORT_", "EMONET_", "TF_", "PYTHON")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(kept)},
        "HOME": str(home / "home"),
        "TMPDIR": str(home / "tmp"),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    trace = home / "trace"
    tracing = ["strace", "-f", "-qq", "-e", "trace=network,openat", "-o", str(trace)]
    command = [sys.executable, "-c", code]
    seen: list[str] = []
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            [*tracing, *command] if can_trace() else command,
            stdout=log,
            stderr=log,
            cwd=home / "home",
            env=environment,
        )
        while process.poll() is None:
            if not can_trace():
                seen += sockets_of(process.pid)
            time.sleep(0.1)
    assert process.returncode == 0, (home / "log").read_text()
    if can_trace():
        calls = trace.read_text(errors="replace").splitlines()
        assert [call for call in calls if writes_outside(call, home)] == []
        return [call for call in calls if not re.match(r"\d+ +(openat|\+\+\+|---|<\.\.\.)", call)]
    return seen


def can_trace() -> bool:
    return (
        bool(shutil.which("strace"))
        and not subprocess.run(
            ["strace", "-qq", "-o", os.devnull, "true"], stderr=subprocess.DEVNULL, check=False
        ).returncode
    )


def sockets_of(pid: int) -> Iterator[str]:
    for entry in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            target = str(entry.readlink())
        except OSError:  # closed meanwhile
            continue
        if target.startswith("socket:"):
            yield target


def writes_outside(call: str, home: Path) -> bool:
    """Whether a line of strace opens a file for writing that is neither a device nor in home."""
    opened = re.search(r'openat\([^"]*"([^"]*)", [^)]*(O_WRONLY|O_RDWR|O_CREAT)[^)]*\) = \d', call)
    return (
        bool(opened)
        and opened[1].startswith("/")
        and not opened[1].startswith((f"{home}/", "/dev/", "/proc/"))
    )


def written(home: Path) -> list[str]:
    """Return the files that a process left in its home and in its folder for temporary files."""
    assert list((home / "tmp").iterdir()) == []
    files = (home / "home").rglob("*")
    return sorted(str(path.relative_to(home / "home")) for path in files if path.is_file())


@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("0", "0")])
def test_a_setting_of_the_caller_is_respected(
    given: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    if given is not None:
        monkeypatch.setenv("ORT_DISABLE_TELEMETRY", given)
    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace())
    import_onnxruntime()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == expected
