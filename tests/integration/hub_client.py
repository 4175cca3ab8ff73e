"""emonet in a process of its own, with one Hub and one cache, which does what it is told.

The Hub's client reads its settings once, when it is imported. So the process is started with
them, and then takes one JSON object a line: what to do, and with what arguments.
"""

import contextlib
import hashlib
import io
import json
import os
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from emonet import EmotionRecognizer
from emonet.errors import EmonetError
from emonet.plugin import locate_file
from emonet.storage.config_json import config_to_json


def fingerprint(recognizer: EmotionRecognizer) -> dict[str, Any]:
    """Return all that a model folder holds: equal fingerprints are equal bits."""
    return {
        "config": config_to_json(recognizer.config),
        "weights": {
            network: {
                name: f"{array.dtype} {array.shape} {hashlib.sha256(array.tobytes()).hexdigest()}"
                for name, array in arrays.items()
            }
            for network, arrays in recognizer.weights.items()
        },
        "training": repr(recognizer.record),
    }


def load(source: str, **options: Any) -> dict[str, Any]:
    return fingerprint(EmotionRecognizer.from_pretrained(source, **options))


def push(source: str, repository: str, **options: Any) -> str:
    return EmotionRecognizer.from_pretrained(source).push_to_hub(repository, **options)


def load_on_a_full_disk(source: str, largest: int, **options: Any) -> dict[str, Any]:
    """Load where no file can grow beyond so many bytes."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
    try:
        return load(source, **options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def with_hub_limit(limit: int, name: str, *arguments: Any, **options: Any) -> Any:
    """Call a function where all weights of a model on the Hub may have so many bytes."""
    with (
        patch("emonet.storage.sources.MAX_HUB_BYTES", limit),
        patch("emonet.storage.hub.MAX_HUB_BYTES", limit),
    ):
        return globals()[name](*arguments, **options)


def impatient(seconds: float, name: str, *arguments: Any, **options: Any) -> Any:
    """Call a function where a request may take so long, and a download hardly longer."""
    with (
        patch("emonet.support.downloads.PATIENCE_SECONDS", seconds),
        patch("emonet.support.downloads.MIN_BYTES_PER_SECOND", 10**9),
    ):
        return globals()[name](*arguments, **options)


def locate(source: str) -> str:
    return locate_file(source).read_text()


def card(source: str) -> dict[str, Any]:
    """Read a card as the client does."""
    from huggingface_hub import ModelCard

    return ModelCard.load(source).data.to_dict()


def run(code: str, folder: str) -> str:
    """Run code in a folder, and return what it prints."""
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, {})
    return printed.getvalue()


@dataclass(frozen=True)
class Outcome:
    """What came of it: a value, or the error's class and message; and after how long."""

    value: Any
    error: str
    message: str
    seconds: float


def main() -> None:
    for line in sys.stdin:
        name, arguments, options = json.loads(line)
        value, error, message, start = None, "", "", time.monotonic()
        try:
            value = globals()[name](*arguments, **options)
        except EmonetError as raised:
            error, message = type(raised).__name__, str(raised)
        except Exception as raised:
            error, message = f"not ours: {type(raised).__name__}", str(raised)
        print(json.dumps([value, error, message, time.monotonic() - start]), flush=True)


class HubClient:
    """The process, seen from the test: every function above can be called."""

    def __init__(self, url: str, home: Path, **environment: str) -> None:
        settings = {
            "HF_ENDPOINT": url,
            "HF_HOME": str(home),
            # The test's Hub keeps large files as it did before Xet.
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            # Progress bars outside a terminal too.
            "TQDM_POSITION": "-1",
        }
        inherited = {name: value for name, value in os.environ.items() if name[:3] != "HF_"}
        self._log = home / f"{secrets.token_hex(4)}.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=inherited | settings | environment,
            )

    def __call__(self, name: str, *arguments: Any, **options: Any) -> Outcome:
        self._process.stdin.write(json.dumps([name, arguments, options], default=str) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, self.log
        return Outcome(*json.loads(answer))

    @property
    def log(self) -> str:
        """What was written to standard error."""
        return self._log.read_text()

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


if __name__ == "__main__":
    main()
