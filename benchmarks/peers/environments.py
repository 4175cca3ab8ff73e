"""List the peers and install them."""

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
        name: name of its module in this package and of its environment.
        variants: ways to run it on faces; each is a row.
        films: ways to run it on a film; each is a row of the part ``video``.
        python: requirements for pip; empty for emonet, which runs in this environment.
        node: packages for npm.
        trained: whether its weights come with it; otherwise its accuracy is not measured.
        note: remark on its figures for readers.
    """

    name: str
    variants: tuple[str, ...]
    films: tuple[str, ...] = ()
    python: tuple[str, ...] = ()
    node: tuple[str, ...] = ()
    trained: bool = True
    note: str = ""

    def command(self, environments: Path | None) -> list[str] | str:
        """Return the command that runs the peer, or the reason why it can't run."""
        if not (self.python or self.node):
            return [sys.executable, "-m", f"benchmarks.peers.{self.name}"]
        if environments is None:
            return "--peers is missing; run 'nox -s peers' to install the peers"
        folder = environments / self.name
        if (folder / FAILED).exists():
            return json.loads((folder / FAILED).read_text(encoding="utf-8"))["reason"]
        if not folder.exists():
            return f"not installed in {environments}; run 'nox -s peers' to install it"
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
        films=tuple(bundled_models()),
    ),
    Peer(
        name="fer",
        variants=("keras network", "tflite network", "public API"),
        films=("Video",),
        # fer imports pkg_resources, and uses Haar cascades, which OpenCV 5 lacks.
        python=("fer==25.10.3", "setuptools<82", "opencv-contrib-python<5"),
    ),
    Peer(name="facex", variants=("public API",), python=("facex==1.1.0",)),
    Peer(
        name="deepface",
        variants=("loop",),
        films=("loop",),
        # deepface imports werkzeug without requiring it. OpenCV 5 lacks Haar cascades.
        python=("deepface==0.0.103", "tf-keras", "werkzeug", "opencv-contrib-python-headless<5"),
        trained=False,
        note="random weights, because the package has none: the time is the same, accuracy is "
        "not measured",
    ),
    Peer(
        name="face_api",
        variants=("wasm",),
        node=("@vladmandic/face-api@1.7.15", "@tensorflow/tfjs", "@tensorflow/tfjs-backend-wasm"),
        note="node.js, WebAssembly",
    ),
)


def install(folder: Path) -> None:
    """Install each peer in a folder. A failure is noted there; the next call tries again."""
    for peer in PEERS:
        place = folder / peer.name
        failed = place / FAILED
        if not (peer.python or peer.node) or (place.exists() and not failed.exists()):
            continue
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        failed.write_text(json.dumps({"reason": "the installation was interrupted; run it again"}))
        try:
            _install(peer, place)
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", "") or str(error)
            last = " ".join(line[:300] for line in said.strip().splitlines()[-3:])
            reason = f"installation failed: {last}"
            failed.write_text(json.dumps({"reason": reason}), encoding="utf-8")
            print(f"{peer.name}: {reason}", file=sys.stderr)
        else:
            failed.unlink()


def _install(peer: Peer, place: Path) -> None:
    print(f"{peer.name}: installing into {place}", file=sys.stderr)
    if peer.node:
        npm = shutil.which("npm")
        if npm is None:
            raise FileNotFoundError("npm is not installed; install Node.js")
        _quietly([npm, "install", "--no-audit", "--no-fund", "--prefix", str(place), *peer.node])
        return
    _quietly([sys.executable, "-m", "venv", str(place)])
    _quietly([str(_python(place)), "-m", "pip", "install", "--quiet", *peer.python])


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _quietly(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
