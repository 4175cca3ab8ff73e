"""What peers there are, and how each is installed."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from emonet.storage.sources import bundled_models

FAILED = "failed.json"


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A library to compare with.

    Attributes:
        name: of the module beside this one that runs it; also of its environment.
        variants: the ways to run it, each a row.
        python: requirements for pip; empty for emonet itself, which runs in our environment.
        node: packages for npm instead.
        trained: whether its weights come with it; without, it has a speed and no accuracy.
        note: what a reader must know of its figures.
    """

    name: str
    variants: tuple[str, ...]
    python: tuple[str, ...] = ()
    node: tuple[str, ...] = ()
    trained: bool = True
    note: str = ""

    def command(self, environments: Path | None) -> list[str] | str:
        """Return what runs the peer, or a sentence that says why nothing does."""
        if not (self.python or self.node):
            return [sys.executable, "-m", f"benchmarks.peers.{self.name}"]
        if environments is None:
            return "no --peers folder was given; 'nox -s peers' makes one"
        folder = environments / self.name
        if (folder / FAILED).exists():
            return json.loads((folder / FAILED).read_text(encoding="utf-8"))["reason"]
        if not folder.exists():
            return f"not installed in {environments}; 'nox -s peers' does it"
        if self.python:
            return [str(_python(folder)), "-m", f"benchmarks.peers.{self.name}"]
        return ["node", str(Path(__file__).with_name(f"{self.name}.mjs")), str(folder)]


PEERS = (
    Peer(
        name="emonet",
        variants=tuple(
            f"{model}, {runtime}"
            for model in bundled_models()
            for runtime in ("onnxruntime", "keras")
        ),
    ),
    Peer(
        name="fer",
        variants=("keras network", "tflite network", "public API"),
        # It imports pkg_resources, and Haar cascades that OpenCV 5 has no longer.
        python=("fer==25.10.3", "setuptools<82", "opencv-contrib-python<5"),
    ),
    Peer(name="facex", variants=("public API",), python=("facex==1.1.0",)),
    Peer(
        name="deepface",
        variants=("loop",),
        # It imports werkzeug without asking for it.
        python=("deepface==0.0.103", "tf-keras", "werkzeug"),
        trained=False,
        note="random weights, as its own are not in the package: the time is the same, and there "
        "is no accuracy",
    ),
    Peer(
        name="face_api",
        variants=("wasm",),
        node=("@vladmandic/face-api@1.7.15", "@tensorflow/tfjs", "@tensorflow/tfjs-backend-wasm"),
        note="node.js, WebAssembly",
    ),
)


def install(folder: Path) -> None:
    """Install every peer below a folder; what fails leaves its reason there, and is tried again."""
    for peer in PEERS:
        place = folder / peer.name
        failed = place / FAILED
        if not (peer.python or peer.node) or (place.exists() and not failed.exists()):
            continue
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        failed.write_text(json.dumps({"reason": "its installation was interrupted"}))
        try:
            _install(peer, place)
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", "") or str(error)
            last = " ".join(line[:300] for line in said.strip().splitlines()[-3:])
            reason = f"can't be installed: {last}"
            failed.write_text(json.dumps({"reason": reason}), encoding="utf-8")
            print(f"{peer.name}: {reason}", file=sys.stderr)
        else:
            failed.unlink()


def _install(peer: Peer, place: Path) -> None:
    print(f"{peer.name}: installing into {place}", file=sys.stderr)
    if peer.node:
        npm = shutil.which("npm")
        if npm is None:
            raise FileNotFoundError("npm is not on this machine")
        _quietly([npm, "install", "--no-audit", "--no-fund", "--prefix", str(place), *peer.node])
        return
    _quietly([sys.executable, "-m", "venv", str(place)])
    _quietly([str(_python(place)), "-m", "pip", "install", "--quiet", *peer.python])


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _quietly(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
