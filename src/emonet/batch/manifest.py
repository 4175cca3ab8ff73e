"""The manifest of a batch run: what was asked for, and by which model."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from emonet.batch.parts import Part
from emonet.errors import ConfigError
from emonet.recognizer import EmotionRecognizer
from emonet.support.files import atomic_write
from emonet.support.versions import emonet_version

MANIFEST_FILE = "manifest.json"
#: Start of the names of emonet's own temporary files and locks.
TEMPORARY = ".emonet-"
#: Entries that may differ when a run continues.
MAY_CHANGE = {"emonet_version", "counts"}


def describe_run(
    recognizer: EmotionRecognizer, parts: Sequence[Part], arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the manifest of a run: model, arguments, source and columns of classes."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part.key}\0".encode("utf-8", "surrogateescape"))
    config = json.dumps(asdict(recognizer.config), sort_keys=True)
    return {
        "emonet_version": emonet_version(),
        "model": hashlib.sha256(config.encode()).hexdigest(),
        "labels": list(recognizer.labels),
        "arguments": dict(arguments),
        "source": {"parts": len(parts), "digest": digest.hexdigest()},
    }


def open_manifest(folder: Path, run: Mapping[str, Any]) -> None:
    """Write the manifest of a new run into a folder, or compare it with the one in there.

    Raises:
        ConfigError: the folder holds another run, or other files.
    """
    file = folder / MANIFEST_FILE
    if file.exists():
        before = read_manifest(file)
        differing = [key for key in run if key not in MAY_CHANGE and before.get(key) != run[key]]
        if differing:
            raise ConfigError(
                f"{folder} holds a run with another {' and '.join(differing)}: "
                f"{_short(before, differing)}, now {_short(run, differing)}. Choose another folder"
            )
        return
    if any(not path.name.startswith(TEMPORARY) for path in folder.iterdir()):
        raise ConfigError(
            f"{folder} is not empty and has no {MANIFEST_FILE}: choose another folder"
        )
    write_manifest(folder, run)


def read_manifest(file: Path) -> dict[str, Any]:
    """Return a manifest; raise ConfigError if it is damaged."""
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} can't be read: {error}") from error
    if not isinstance(manifest, dict):
        raise ConfigError(f"{file} is not a manifest")
    return manifest


def write_manifest(folder: Path, run: Mapping[str, Any]) -> None:
    """Write the manifest atomically."""
    with atomic_write(folder / MANIFEST_FILE) as temporary:
        temporary.write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")


def _short(run: Mapping[str, Any], keys: Iterable[str]) -> str:
    return ", ".join(f"{key} {run.get(key)!r:.80}" for key in keys)
