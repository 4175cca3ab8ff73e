"""``emonet plugins``: every plugin, what it offers, and what is wrong with it."""

import json
from typing import Annotated

import typer

from emonet.cli.new_plugin import new
from emonet.cli.options import AsJson
from emonet.config import nearest
from emonet.errors import ComponentNotFoundError
from emonet.registry import list_plugins
from emonet.registry.catalog import Component, get_catalog
from emonet.registry.discovery import Kind

__all__ = ["app"]

app = typer.Typer()
app.command()(new)


@app.callback(invoke_without_command=True)
def plugins(context: typer.Context, as_json: AsJson = False) -> None:
    """List the installed plugins with their components and errors."""
    if context.invoked_subcommand is not None:
        return
    infos = list_plugins()
    if as_json:
        print(json.dumps([info.to_dict() for info in infos]))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("plugin", "distribution", "version", "status", "components")
    for info in infos:
        parts = [f"{kind}: {', '.join(names)}" for kind, names in info.components.items() if names]
        detail = str(info.error) if info.error else "\n".join(parts)
        cells = (info.name, info.distribution, info.version, info.status, detail)
        # A name that is cut off can't be typed.
        table.add_row(*(Text(cell, overflow="fold") for cell in cells))
    Console().print(table)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Of a backbone, feature extractor or detector.")],
    as_json: AsJson = False,
) -> None:
    """Tell what a component is, and its settings with their defaults."""
    for component in _called(name):
        spec = component.spec
        if as_json:
            facts = {
                "name": spec.name,
                "kind": component.kind.value,
                "summary": spec.summary,
                "settings": dict(spec.defaults),
                "plugin": component.plugin.name,
                "distribution": component.plugin.distribution,
                "version": component.plugin.version,
            }
            print(json.dumps(facts))
        else:
            settings = [f"  {key}={json.dumps(value)}" for key, value in spec.defaults.items()]
            print("\n".join([str(component), f"  {spec.summary}", *settings]))


def _called(name: str) -> list[Component]:
    catalog = get_catalog()
    found = [catalog.get(kind, name) for kind in Kind if name in catalog.names(kind)]
    if not found:
        names = sorted(name for kind in Kind for name in catalog.names(kind))
        raise ComponentNotFoundError(
            f"No component {name!r} is installed.{nearest(name, names)} "
            f"Installed: {', '.join(names)}."
        )
    return found
