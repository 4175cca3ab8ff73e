"""Options that several commands share."""

import json
import shlex
import sys
from collections.abc import Callable, Collection, Iterable
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from emonet.config import TestTimeAugmentation
from emonet.data import FaceDataset, load_dataset
from emonet.errors import ConfigError
from emonet.network.runtimes import RuntimeName
from emonet.plugin import Json
from emonet.recognizer import EmotionRecognizer
from emonet.storage.card import require_license
from emonet.storage.folder import CONFIG_FILE, Dtype

__all__ = [
    "AsJson",
    "Data",
    "License",
    "Model",
    "NewModel",
    "Runtime",
    "Settings",
    "Views",
    "WeightsDtype",
    "load_faces",
    "options_of",
    "parse_settings",
    "typed_command",
]

Command = TypeVar("Command", bound=Callable[..., Any])


def _without_model(folder: Path) -> Path:
    if (folder / CONFIG_FILE).exists():
        raise ConfigError(f"{folder} holds a model already: choose another folder")
    return folder


def _license(license: str | None) -> str | None:
    require_license(license)
    return license


Data = Annotated[
    Path,
    typer.Option(help="FER-2013's CSV file (plain or .gz), or a folder of images by class."),
]
Model = Annotated[
    str | None,
    typer.Option(help="A bundled model, a model folder, or a Hub repository (org/name)."),
]
NewModel = Annotated[Path, typer.Option(help="The model folder to write.", callback=_without_model)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", help="See 'emonet plugins show'; repeatable."),
]
WeightsDtype = Annotated[
    Dtype, typer.Option(help="Of the saved weights: float32, or float16 for half the size.")
]
License = Annotated[
    str | None,
    typer.Option(help="Of the weights, for the model card: mit, cc-by-4.0 ...", callback=_license),
]
Runtime = Annotated[
    RuntimeName | None,
    typer.Option(help="What runs the networks: onnxruntime where the model has graphs, or keras."),
]
Views = Annotated[
    TestTimeAugmentation | None,
    typer.Option(
        "--test-time-augmentation",
        help="Average over views of each face: none, mirror (2) or shift (10).",
    ),
]


def options_of(
    function: Callable[..., Any], *, without: Collection[str] = ()
) -> Callable[[Command], Command]:
    """Give a command that takes ``**options`` the parameters of a function, so typed once.

    Args:
        function: whose parameters are meant.
        without: the names of those that the command does not have.
    """
    shared = [
        parameter.replace(kind=Parameter.KEYWORD_ONLY)
        for parameter in signature(function).parameters.values()
        if parameter.name not in without
    ]

    def decorate(command: Command) -> Command:
        # What typer reads a command's options from.
        command.__signature__ = Signature(shared)  # type: ignore[attr-defined]
        return command

    return decorate


def load_faces(data: Path, split: str, recognizer: EmotionRecognizer) -> FaceDataset:
    """Load a split for a recognizer, whose networks may need faces of several sizes.

    A CSV file's faces stay as they are: enlarged and shrunk again they would be others. The
    images of a folder have any sizes, so they get the largest that a network needs.
    """
    if data.is_dir():
        return load_dataset(data, split, face_size=recognizer.config.face_sizes[0])
    return load_dataset(data, split)


def typed_command() -> str:
    """Return the command as it was typed, for the records of what it makes."""
    typed = shlex.join(["emonet", *sys.argv[1:]])
    # A path need not be text, a record is.
    return typed.encode("utf-8", "backslashreplace").decode()


def parse_settings(given: Iterable[str] | None) -> dict[str, Json]:
    """Turn ``["upsample=2", "model_path=a.onnx"]`` into a component's configuration.

    A value is read as JSON where it is some, and as text where it is not.

    Raises:
        ConfigError: there is no ``=`` in one of them.
    """
    settings: dict[str, Json] = {}
    for text in given or ():
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise ConfigError(f"A setting is written KEY=VALUE, got {text!r}")
        try:
            settings[key] = json.loads(value)
        except ValueError:
            settings[key] = value
    return settings
