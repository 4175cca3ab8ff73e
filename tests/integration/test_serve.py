"""``emonet serve`` as a process: signals, dead workers, bad clients, hostile images, memory."""

import http.client
import io
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.integration.conftest import Run
from tests.integration.serving import Serving, serving

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

HEAD = (
    b"POST /v1/predict HTTP/1.1\r\nHost: x\r\n"
    b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with serving(log=tmp_path_factory.mktemp("serve") / "log") as service:
        yield service


@pytest.fixture(scope="module")
def photo(astronaut):
    return astronaut.read_bytes()


def labels(answer: tuple[int, str]) -> list[str]:
    status, text = answer
    assert status == 200, text
    return [face["label"] for result in json.loads(text)["results"] for face in result["faces"]]


def connect(service: Serving) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=60)


def test_it_keeps_to_its_own_description(service: Serving) -> None:
    schemathesis(service, examples=5)


@pytest.mark.slow
def test_it_keeps_to_its_own_description_with_many_examples(tmp_path: Path) -> None:
    with serving(log=tmp_path / "log", EMONET_API_KEY="secret") as service:
        schemathesis(service, "-H", "Authorization: Bearer secret", examples=100)


def schemathesis(service: Serving, *options: str, examples: int) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/openapi.json"),
            *("--max-examples", str(examples), "--generation-deterministic", *options),
        ],
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.integration.image_strategies"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout


def test_slow_clients_harm_nobody(service: Serving, photo: bytes) -> None:
    with ExitStack() as stack:
        for sent in (b"", b"POST /v1", HEAD % len(photo), HEAD % len(photo) + photo[:1000]):
            for _ in range(10):
                client = stack.enter_context(connect(service))
                client.sendall(sent)
        assert labels(service.post(photo)) == ["happiness"]


def test_clients_that_leave_harm_nobody(service: Serving, photo: bytes) -> None:
    for sent in (HEAD % len(photo) + photo[:1000], HEAD % len(photo) + photo):
        for _ in range(5):
            with connect(service) as client:
                client.sendall(sent)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert labels(service.post(photo)) == ["happiness"]
    assert "Traceback" not in Path(f"/proc/{service.process.pid}/fd/2").read_text()


def test_what_is_not_http_is_refused(service: Serving) -> None:
    for sent in (b"\x16\x03\x01\x02\x00\x01\x00\n\n", b"GET / HTTP/9\r\n\r\n", b"x" * 100_000):
        with connect(service) as client:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(100).startswith((b"HTTP/1.1 400", b"HTTP/1.1 4"))


@pytest.mark.slow
def test_a_thousand_idle_connections_harm_nobody(service: Serving, photo: bytes) -> None:
    with ExitStack() as stack:
        for number in range(1000):
            client = stack.enter_context(connect(service))
            if number % 2:
                client.sendall(HEAD % 5000 + photo[:100])
        assert labels(service.post(photo)) == ["happiness"]
        assert json.loads(service.get("/readyz")) == {"status": "ok"}


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, pixels: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def hostile_images(photo: bytes) -> dict[str, bytes]:
    """Return bytes that must give status 422, each for another reason."""
    noise = np.random.default_rng(0).bytes
    return {
        "a hundred thousand pixels wide and high": png(100_000, 100_000, zlib.compress(b"")),
        "more pixels than bytes": png(9000, 9000, zlib.compress(b"\0" * 100)),
        "half a photo": photo[: len(photo) // 2],
        "noise after a header": photo[:600] + noise(5000),
        "noise": noise(100_000),
        "SVG with a file": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='/x'/></svg>",
        "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n",
        "a path": b"/etc/passwd",
        "zeros": bytes(1000),
    }


def test_hostile_images_are_refused_and_the_worker_lives(service: Serving, photo: bytes) -> None:
    before = service.workers()
    for name, image in hostile_images(photo).items():
        status, text = service.post(image)
        assert status == 422, (name, text)
    large = Image.fromarray(np.zeros((3000, 3000), np.uint8))
    buffer = io.BytesIO()
    large.save(buffer, "PNG")
    assert labels(service.post(buffer.getvalue())) == []
    assert labels(service.post(photo)) == ["happiness"]
    assert service.workers() == before


def test_hostile_images_do_not_harm_others_in_their_batch(service: Serving, photo: bytes) -> None:
    images = [*hostile_images(photo).values(), photo]
    with ThreadPoolExecutor(len(images)) as threads:
        *refused, answered = threads.map(service.post, images)
    assert {status for status, _ in refused} == {422}
    assert labels(answered) == ["happiness"]


def test_a_dead_worker_comes_back(service: Serving, photo: bytes) -> None:
    (worker,) = service.workers()
    os.kill(worker, signal.SIGKILL)
    while service.workers() == [worker]:
        time.sleep(0.05)
    service.wait_until_ready()
    assert service.workers() != [worker]
    assert labels(service.post(photo)) == ["happiness"]


def test_sigterm_finishes_what_it_has_and_takes_nothing_new(tmp_path: Path, photo: bytes) -> None:
    with serving(log=tmp_path / "log") as service:
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
        with closing(connection) as client, connect(service) as slow:
            client.request("POST", "/v1/predict", photo, {"Content-Type": "image/jpeg"})
            slow.sendall(HEAD % len(photo) + photo[:1000])
            while "emonet_batch_images_count 1.0" not in service.get("/metrics"):
                pass
            service.process.terminate()
            answer = client.getresponse()
            assert labels((answer.status, answer.read().decode())) == ["happiness"]
            while True:
                try:
                    connect(service).close()
                except ConnectionRefusedError:
                    break
            assert service.process.wait(60) == 0


def test_several_workers_share_the_work_and_the_metrics(tmp_path: Path, photo: bytes) -> None:
    with serving("--workers", "2", log=tmp_path / "log", TMPDIR=str(tmp_path)) as service:
        while len(service.workers()) < 2:
            time.sleep(0.05)
        answers = [service.post(photo) for _ in range(8)]
        assert [labels(answer) for answer in answers] == [["happiness"]] * 8
        assert "emonet_faces_total 8.0\n" in service.get("/metrics")
        assert "emonet_queue_images 0.0\n" in service.get("/metrics")
        for worker in service.workers():
            environment = Path(f"/proc/{worker}/environ").read_bytes().split(b"\0")
            assert b"EMONET_THREADS=1" in environment or os.cpu_count() > 3
        os.kill(service.workers()[0], signal.SIGKILL)
        while len(service.workers()) < 2 or service.get("/metrics").count("pid=") > 0:
            time.sleep(0.05)
        assert "emonet_faces_total 8.0\n" in service.get("/metrics")
        folders = list(tmp_path.glob("emonet-*"))
        assert len(folders) == 1
    assert not folders[0].exists()


def test_what_can_not_be_served_is_said(run_process: Run, monkeypatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = run_process("serve", "--model", "tiny", "--port", str(port))
    assert outcome.status == 2
    assert re.search(rf"^emonet: Can't listen on 127.0.0.1 port {port}: .*in use", outcome.err)
    monkeypatch.setenv("EMONET_API_KEY", "")
    outcome = run_process("serve")
    assert outcome.status == 2
    assert outcome.err.startswith("emonet: The API key (EMONET_API_KEY) must be")


@pytest.mark.slow
def test_memory_stays_flat(tmp_path: Path, photo: bytes) -> None:
    """A fixed number of requests, of which some are refused, from several clients."""
    with serving(log=tmp_path / "log") as service:
        images = [photo, *hostile_images(photo).values()]

        def send(count: int) -> int:
            with ThreadPoolExecutor(8) as threads:
                sent = threads.map(service.post, (images[i % len(images)] for i in range(count)))
                assert {status for status, _ in sent} == {200, 422}
            (worker,) = service.workers()
            status = Path(f"/proc/{worker}/status").read_text()
            return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

        warm = send(600)
        assert send(3000) < 1.1 * warm


def test_the_address_of_all_interfaces_without_a_key_gives_a_warning(tmp_path: Path) -> None:
    with serving("--host", "0.0.0.0", log=tmp_path / "log"):
        assert "EMONET_API_KEY is not set" in (tmp_path / "log").read_text()


def test_ctrl_c_ends_it(tmp_path: Path) -> None:
    with serving(log=tmp_path / "log") as service:
        threading.Timer(0.1, service.process.send_signal, [signal.SIGINT]).start()
        assert service.process.wait(60) == 0
    assert len((tmp_path / "log").read_text().splitlines()) == 1
