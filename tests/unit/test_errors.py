"""Text of strangers in errors and warnings: shown, and harmless for a terminal."""

import copy
import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from emonet import EmotionRecognizer, FaceDataset, create_detector
from emonet import errors as errors_module
from emonet.errors import EmonetError, EmonetWarning, PluginWarning
from emonet.pipeline.images import load_image

HOSTILE = "a\x1b[2J\x1b]0;title\x07\x9b\r\nemonet: all is well\u2028\u202eevil\u2066\udce9"
CLASSES = [
    kind
    for kind in vars(errors_module).values()
    if isinstance(kind, type) and issubclass(kind, EmonetError | EmonetWarning)
]


@pytest.mark.parametrize("kind", CLASSES)
def test_a_message_is_one_printable_line(kind: type[Exception]) -> None:
    error = kind(f"There is no {HOSTILE}")
    assert str(error).isprintable()
    assert str(error).startswith(r"There is no a\x1b[2J\x1b]0;title\x07\x9b\r\nemonet: all is well")
    assert str(kind(str(error))) == str(error), "a message within a message is escaped once"
    assert str(copy.copy(error)) == str(error)
    assert str(kind("ä 😀 \\n")) == "ä 😀 \\n"


def test_a_warning_is_escaped() -> None:
    with pytest.warns(PluginWarning) as caught:
        warnings.warn(HOSTILE, PluginWarning, stacklevel=1)
    assert str(caught[0].message).isprintable()


def edited(folder: Path, **values: object) -> Path:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))
    return folder


def provoke(case: str, folder: Path) -> None:
    """Raise an error about a hostile name."""
    if case == "image":
        (folder / "photo.jpg").write_bytes(b"no image")
        load_image(folder / "photo.jpg")
    elif case == "model":
        EmotionRecognizer.from_pretrained(folder)
    elif case == "component":
        create_detector(HOSTILE)
    elif case == "data":
        FaceDataset(np.zeros((1, 8, 8), np.uint8), np.zeros(1, np.int64), (HOSTILE, HOSTILE))
    else:
        EmotionRecognizer.from_pretrained("tiny").save_pretrained(folder)
        values = {"label": {"labels": [HOSTILE]}, "key": {HOSTILE: 1}}
        values["file"] = {"files": {HOSTILE: "0" * 64}}
        EmotionRecognizer.from_pretrained(edited(folder, **values[case]))


@pytest.mark.parametrize("case", ["image", "model", "label", "key", "file", "component", "data"])
def test_names_of_strangers_are_escaped(tmp_path: Path, case: str) -> None:
    folder = tmp_path / HOSTILE
    folder.mkdir()
    with pytest.raises(EmonetError) as caught:
        provoke(case, folder)
    assert str(caught.value).isprintable()
    assert r"\x1b[2J" in str(caught.value)
