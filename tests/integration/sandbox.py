"""Model folders of strangers, each opened in a process of its own that is limited and watched.

``Sandbox`` starts this file as a script, which imports emonet once and then forks for every
case: a fork costs milliseconds, a fresh interpreter seconds.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

if sys.platform == "linux":
    import resource
else:
    import pytest

    pytest.skip("processes are limited and watched with Linux's means", allow_module_level=True)

#: What a case may use of the machine before it is stopped.
CPU_SECONDS = 10
WALL_SECONDS = 60
MEMORY = 2**30

#: Audit events of code being run, of processes, the network, and changes to the disk.
WATCHED = (
    "code.__new__", "compile", "ctypes.dlopen", "exec", "import", "marshal.loads", "os.chdir",
    "os.chmod", "os.exec", "os.fork", "os.link", "os.mkdir", "os.posix_spawn", "os.putenv",
    "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.system", "os.truncate", "os.utime",
    "pickle.find_class", "shutil.", "socket.", "subprocess.Popen", "tempfile.", "urllib.Request",
    "webbrowser.open",
)  # fmt: skip
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True)
class Outcome:
    """How a case ended.

    Attributes:
        value: what the action returned; None where it raised.
        errors: names of the classes of what it raised, the most special first.
        message: what the error said, or the signal that ended the process.
        read: paths of the files that were opened.
        events: what else was done that a model folder should not be able to cause.
        seconds: of processor time, of the whole process.
        megabytes: of memory at most, of the whole process.
    """

    value: Any
    errors: tuple[str, ...]
    message: str
    read: tuple[str, ...]
    events: tuple[str, ...]
    seconds: float
    megabytes: float


class Sandbox:
    """A process that forks for every case."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )

    def run(self, action: str, *folders: Path, **options: Any) -> list[Outcome]:
        """Do something with each of the folders, all in one process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"action": action, "folders": [str(folder) for folder in folders], **options}
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        return [
            Outcome(**{**part, **{key: tuple(part[key]) for key in ("errors", "read", "events")}})
            for part in answer
        ]

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def small_model(folder: Path) -> Path:
    """Write a folder like the bundled model's, but of few weights, which fit no network."""
    from tests.integration.small_graph import small_graph

    from emonet import EmotionRecognizer
    from emonet.storage.folder import write_model

    bundled = EmotionRecognizer.from_pretrained("fast")
    (arrays,) = bundled.weights.values()
    few = {name: array for name, array in arrays.items() if array.size <= 1024}
    (name,) = bundled.weights
    graphs = {name: small_graph(few)}
    write_model(folder, replace(bundled.model, weights={name: few}, graphs=graphs))
    return folder


def load(folder: str, *, memory: int | None = None) -> Any:
    """Load a model and tell what it holds, on a machine where a model may have so many bytes."""
    from emonet import EmotionRecognizer
    from emonet.records import UNKNOWN
    from emonet.storage import sources

    if memory is not None:
        sources.max_memory = lambda: memory
    recognizer = EmotionRecognizer.from_pretrained(Path(folder))
    return {
        "labels": recognizer.labels,
        "arrays": {name: len(arrays) for name, arrays in recognizer.weights.items()},
        "record": recognizer.record != UNKNOWN,
    }


def save(folder: str, *, out: str, link: str | None = None) -> Any:
    """Load a model, save it elsewhere, and return its card."""
    from emonet import EmotionRecognizer

    recognizer = EmotionRecognizer.from_pretrained(Path(folder))
    if link is not None:
        # The name of a temporary file, as far as it can be foreseen.
        for file in Path(folder).iterdir():
            (Path(out) / f".{file.name}.{os.getpid()}").symlink_to(link)
    recognizer.save_pretrained(out)
    EmotionRecognizer.from_pretrained(Path(out))
    return (Path(out) / "README.md").read_text(encoding="utf-8")


def crop(folder: str, *, image: str) -> Any:
    """Load a model, and find and cut out the faces of an image."""
    from emonet import EmotionRecognizer
    from emonet.pipeline.crops import crop_faces
    from emonet.pipeline.detection import detect_faces
    from emonet.pipeline.images import load_image

    recognizer = EmotionRecognizer.from_pretrained(Path(folder))
    config, pixels = recognizer.config, load_image(image)
    with recognizer._sessions.detectors.borrow() as detector:
        found = detect_faces(detector, pixels)
    framing = config.framing_for(config.detector.name)
    crop_faces(pixels, found, framing, config.face_sizes)
    return len(found)


def command(folder: str, *, arguments: list[str]) -> Any:
    """Run the command line; FOLDER among the arguments stands for the model's folder."""
    import contextlib
    import io

    from emonet.cli import main

    sys.argv = ["emonet", *(word.replace("FOLDER", folder) for word in arguments)]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            main()
        except SystemExit as end:
            return {"status": end.code, "printed": printed.getvalue()}
    return None


ACTIONS = {function.__name__: function for function in (load, save, crop, command)}


def serve() -> None:
    """Answer requests until there are no more."""
    # What is imported now is not imported, and so not noted, in every child.
    import encodings.utf_8_sig  # noqa: F401

    import huggingface_hub.repocard  # noqa: F401
    import packaging.version  # noqa: F401

    import emonet.cli  # noqa: F401
    from emonet.storage.sources import BUNDLED

    load(str(BUNDLED / "fast"))
    for line in sys.stdin:
        print(json.dumps(in_child(**json.loads(line))), flush=True)


def in_child(*, action: str, folders: list[str], **options: Any) -> Any:
    """Fork, act on each of the folders, and tell what happened."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        with os.fdopen(writer, "w") as answer:
            for part in act(action, folders, **options):
                print(json.dumps(part), file=answer, flush=True)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        parts = [json.loads(line) for line in answer]
    _, status, usage = os.wait4(child, 0)
    used = {
        "seconds": usage.ru_utime + usage.ru_stime,
        "megabytes": usage.ru_maxrss * 1024 / 1e6,
    }
    if status:
        killed = os.WTERMSIG(status)
        message = f"killed by {signal.Signals(killed).name}" if killed else f"exit {status >> 8}"
        nothing = {"value": None, "errors": [], "read": [], "events": []}
        parts += [{**nothing, "message": message}] * (len(folders) - len(parts))
    return [{**part, **used} for part in parts]


def act(action: str, folders: list[str], **options: Any) -> Iterator[dict[str, Any]]:
    """Yield how the action ended for each of the folders."""
    signal.alarm(WALL_SECONDS)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    read: set[str] = set()
    events: set[str] = set()

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str | bytes):
                path = os.fsdecode(path)
                (events.add(f"write {path}") if flags & WRITING else read.add(path))
        elif event.startswith(WATCHED):
            code = arguments[0] if arguments else ""
            events.add(f"{event} {getattr(code, 'co_filename', str(code)[:200])}")

    sys.addaudithook(note)
    for folder in folders:
        read.clear()
        events.clear()
        value, errors, message = None, [], ""
        try:
            value = ACTIONS[action](folder, **options)
        except BaseException as error:
            errors = [kind.__name__ for kind in type(error).__mro__]
            message = str(error)
        yield {
            "value": value,
            "errors": errors,
            "message": message,
            "read": sorted(read),
            "events": sorted(events),
        }


if __name__ == "__main__":
    serve()
