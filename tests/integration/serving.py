"""A real ``emonet serve`` process for tests."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen


@dataclass(frozen=True)
class Serving:
    process: subprocess.Popen[str]
    url: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def workers(self) -> list[int]:
        """Return the process IDs of the workers."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        commands = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in listed.split()}
        return [pid for pid, command in commands.items() if b"spawn_main" in command]

    def get(self, path: str) -> str:
        with urlopen(self.url + path, timeout=60) as answer:
            return answer.read().decode()

    def post(self, body: bytes, path: str = "/v1/predict", kind: str = "image/jpeg"):
        """Return status and body of an answer."""
        request = Request(self.url + path, body, {"Content-Type": kind})
        try:
            with urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def wait_until_ready(self) -> None:
        end = time.monotonic() + 120
        while self.process.poll() is None and time.monotonic() < end:
            try:
                self.get("/readyz")
            except (URLError, ConnectionError, TimeoutError):
                time.sleep(0.1)
            else:
                return
        raise AssertionError("the service does not get ready")


@contextmanager
def serving(*arguments: str, log: Path, **environment: str) -> Iterator[Serving]:
    """Run the service on a free port until the block ends.

    Args:
        arguments: further options of the command.
        log: gets its standard error.
        environment: further environment variables.
    """
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "emonet", "serve", "--port", "0", "--model", "tiny", *arguments],
            stdout=file,
            stderr=file,
            env={**os.environ, **environment},
        )
    try:
        end = time.monotonic() + 120
        while not (found := re.search(r"http://[^\s;]+", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end
            time.sleep(0.05)
        service = Serving(process, found[0])
        service.wait_until_ready()
        yield service
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()
