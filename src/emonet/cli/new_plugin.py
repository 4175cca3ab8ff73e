"""``emonet plugins new``: create the project of a working plugin."""

from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from emonet.errors import ConfigError
from emonet.plugin import NAME_PATTERN
from emonet.registry.catalog import Kind, get_catalog
from emonet.support.versions import emonet_version

#: A model stores up to 64 characters of the package's name, which is emonet-NAME.
MAX_LENGTH = 57


def new(
    name: Annotated[str, typer.Argument(help="Name of the component, such as acme_net.")],
    kind: Annotated[Kind, typer.Option(help="Kind of the component.")] = Kind.BACKBONE,
    out: Annotated[
        Path | None, typer.Option(help="Folder to create; by default emonet-NAME.")
    ] = None,
) -> None:
    """Create the project of a new plugin, with tests that pass."""
    if not NAME_PATTERN.fullmatch(name):
        raise ConfigError(
            f"A component name must have lower-case letters, digits and _, and start with a "
            f"letter, such as acme_net; got {name!a}"
        )
    if name.endswith("_") or len(name) > MAX_LENGTH:
        raise ConfigError(
            f"The component name is part of the package name, so it must end with a letter or "
            f"digit and have at most {MAX_LENGTH} characters, got {name!r}"
        )
    package, distribution = f"emonet_{name}", f"emonet-{name.replace('_', '-')}"
    if name in get_catalog().names(kind) or find_spec(package):
        raise ConfigError(f"A plugin {name!r} exists already. Choose another name")
    folder = out or Path(distribution)
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise ConfigError(f"{folder} exists already. Choose another folder") from None
    words = {
        "name": name,
        "kind": kind.words,
        "package": package,
        "distribution": distribution,
        "checks": f"{kind}_checks",
        "emonet": emonet_version(),
    }
    templates = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"src/{package}/__init__.py": f"{kind}.py",
        f"tests/test_{name}.py": "tests.py",
    }
    for path, template in templates.items():
        text = files("emonet.cli").joinpath("skeleton", f"{template}.in").read_text("utf-8")
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(Template(text).substitute(words), encoding="utf-8")
    print(f"Created a working {kind.words} in {folder}. Install and test it:")
    print(f"  pip install -e '{folder}[test]'")
    print(f"  pytest {folder}")
