"""``emonet plugins new``: a plugin that works, to be changed into one's own."""

from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from emonet.errors import ConfigError
from emonet.plugin import NAME_PATTERN
from emonet.registry.catalog import Kind, get_catalog

__all__ = ["new"]

#: emonet-NAME is a package's name, which models hold up to 64 characters of.
LONGEST = 57


def new(
    name: Annotated[str, typer.Argument(help="What the component will be called: acme_net.")],
    kind: Annotated[Kind, typer.Option(help="What it will be.")] = Kind.BACKBONE,
    out: Annotated[
        Path | None, typer.Option(help="The folder to make; by default emonet-NAME.")
    ] = None,
) -> None:
    """Write the project of a new plugin, with tests that pass."""
    if not NAME_PATTERN.fullmatch(name):
        raise ConfigError(
            f"A component name has small letters, digits and _, and starts with a letter: "
            f"acme_net. Received: {name!a}"
        )
    if name.endswith("_") or len(name) > LONGEST:
        raise ConfigError(
            f"A package is named after the component: its name ends with a letter or digit and has "
            f"{LONGEST} characters at most. Received: {name!r}"
        )
    package, distribution = f"emonet_{name}", f"emonet-{name.replace('_', '-')}"
    if name in get_catalog().names(kind) or find_spec(package):
        raise ConfigError(f"There is a plugin {name!r} already; choose another name")
    folder = out or Path(distribution)
    words = {
        "name": name,
        "kind": kind.words,
        "package": package,
        "distribution": distribution,
        "checks": f"{kind}_checks",
        "emonet": version("emonet"),
    }
    _write(
        folder,
        {
            "pyproject.toml": "pyproject.toml",
            "README.md": "README.md",
            f"src/{package}/__init__.py": f"{kind}.py",
            f"tests/test_{name}.py": "tests.py",
        },
        words,
    )
    print(f"{folder} holds a {words['kind']} that works. Install and test it:")
    print(f"  pip install -e '{folder}[test]'")
    print(f"  pytest {folder}")


def _write(folder: Path, contents: dict[str, str], words: dict[str, str]) -> None:
    """Write files from templates into a new folder.

    Raises:
        ConfigError: the folder is there already.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise ConfigError(f"{folder} exists already, and nothing was written") from None
    for path, template in contents.items():
        text = files("emonet.cli").joinpath("skeleton", f"{template}.in").read_text("utf-8")
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(Template(text).substitute(words), encoding="utf-8")
