"""Options that several commands share."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from emonet.errors import ConfigError
from emonet.plugin import Json as JsonValue

__all__ = ["BackboneOption", "Data", "DetectorOption", "Json", "Model", "parse_settings"]

Data = Annotated[
    Path,
    typer.Option(help="FER-2013's CSV file (plain or .gz), or a folder of images by class."),
]
Model = Annotated[
    str | None,
    typer.Option(help="A bundled model, a model folder, or a Hub repository (org/name)."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
DetectorOption = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", help="A setting of the detector; repeatable."),
]
BackboneOption = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", help="A setting of the backbone; repeatable."),
]


def parse_settings(given: Iterable[str] | None) -> dict[str, JsonValue]:
    """Turn ``["upsample=2", "model_path=a.onnx"]`` into a component's configuration.

    A value is read as JSON where it is some, and as text where it is not.

    Raises:
        ConfigError: there is no ``=`` in one of them.
    """
    settings: dict[str, JsonValue] = {}
    for text in given or ():
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise ConfigError(f"A setting is written KEY=VALUE, got {text!r}")
        try:
            settings[key] = json.loads(value)
        except ValueError:
            settings[key] = value
    return settings
