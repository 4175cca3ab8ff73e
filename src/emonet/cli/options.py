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
from emonet.data import FaceDataset, load_dataset, load_groups
from emonet.errors import ConfigError
from emonet.plugin import Json
from emonet.recognizer import EmotionRecognizer
from emonet.runtimes import Device, RuntimeName
from emonet.storage.card import require_license
from emonet.storage.folder import CONFIG_FILE, Dtype

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
Groups = Annotated[
    Path | None,
    typer.Option(
        help="For a folder of images: a CSV file with the column path and the column of the groups."
    ),
]
Detector = Annotated[
    str | None, typer.Option(help="A face detector to use instead of the model's own.")
]
MinScore = Annotated[
    float, typer.Option(help="Score threshold, 0..1: faces with a lower score get no label.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print only JSON.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", help="See 'emonet plugins show'; repeatable."),
]
WeightsDtype = Annotated[
    Dtype, typer.Option(help="Dtype of the saved weights: float32, or float16 for half the size.")
]
License = Annotated[
    str | None,
    typer.Option(help="Licence for the model card, such as mit or cc-by-4.0.", callback=_license),
]
Runtime = Annotated[
    RuntimeName | None,
    typer.Option(help="onnxruntime or keras; by default onnxruntime for networks with a graph."),
]
OnDevice = Annotated[
    Device, typer.Option("--device", help="Device of the networks: auto, cpu or cuda.")
]
BatchSize = Annotated[
    int, typer.Option("--batch-size", help="The most faces that a network computes at once.")
]
Views = Annotated[
    TestTimeAugmentation | None,
    typer.Option(
        "--test-time-augmentation",
        help="Average over views of each face: none, horizontal_flip (2 views), shift (10).",
    ),
]


def options_of(
    function: Callable[..., Any], *, without: Collection[str] = ()
) -> Callable[[Command], Command]:
    """Return a decorator that gives a command with ``**options`` a function's parameters."""
    shared = [
        parameter.replace(kind=Parameter.KEYWORD_ONLY)
        for parameter in signature(function).parameters.values()
        if parameter.name not in without
    ]

    def decorate(command: Command) -> Command:
        # Typer reads a command's options from its signature.
        command.__signature__ = Signature(shared)  # type: ignore[attr-defined]
        return command

    return decorate


def load_faces(data: Path, split: str, recognizer: EmotionRecognizer) -> FaceDataset:
    """Load a split for a recognizer, whose networks may need faces of several sizes.

    Faces of a CSV file keep their size, because resizing them twice would change them. Images of
    a folder have any size, so they are resized to the largest size that a network needs.
    """
    if data.is_dir():
        return load_dataset(data, split, face_size=recognizer.config.face_sizes[0])
    return load_dataset(data, split)


def load_group_column(
    data: Path, dataset: FaceDataset, column: str, groups: Path | None
) -> list[str]:
    """Return the group of each face, from a column of the data or of the file of groups."""
    if data.is_dir() and groups is None:
        raise ConfigError(
            f"{data} is a folder, which has no columns: pass --groups with a CSV file that has "
            f"the columns path and {column}"
        )
    if groups is not None and not data.is_dir():
        raise ConfigError(f"--groups is for a folder of images; {data} has columns of its own")
    return load_groups(groups or data, dataset, column)


def typed_command() -> str:
    """Return the command as typed, for the record of a model."""
    command = shlex.join(["emonet", *sys.argv[1:]])
    # A path may contain bytes that are not text; a record may not.
    return command.encode("utf-8", "backslashreplace").decode()


def parse_settings(given: Iterable[str] | None) -> dict[str, Json]:
    """Return the settings in ``["upsample=2", "model_path=a.onnx"]`` as a mapping.

    A value that is valid JSON is read as JSON, any other value as text.
    """
    settings: dict[str, Json] = {}
    for text in given or ():
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise ConfigError(f"Write settings as KEY=VALUE, got {text!r}")
        try:
            settings[key] = json.loads(value)
        except ValueError:
            settings[key] = value
    return settings
