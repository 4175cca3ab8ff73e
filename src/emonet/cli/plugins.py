"""``emonet plugins``: all plugins with their components and errors."""

import json
from typing import Annotated

import typer

from emonet.cli.new_plugin import new
from emonet.cli.options import AsJson
from emonet.cli.printing import print_table
from emonet.config import nearest
from emonet.errors import ComponentNotFoundError
from emonet.registry import list_plugins
from emonet.registry.catalog import Component, get_catalog
from emonet.registry.discovery import Kind

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
    from rich.text import Text

    rows = []
    for info in infos:
        parts = [f"{kind}: {', '.join(names)}" for kind, names in info.components.items() if names]
        detail = str(info.error) if info.error else "\n".join(parts)
        cells = (info.name, info.distribution, info.version, info.status, detail)
        # Fold long names instead of truncating them, so that users can copy them.
        rows.append([Text(cell, overflow="fold") for cell in cells])
    print_table(("plugin", "distribution", "version", "status", "components"), rows)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Name of a backbone, feature extractor or detector.")],
    as_json: AsJson = False,
) -> None:
    """Show a component's summary, plugin, and settings with their defaults."""
    for component in _components(name):
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


def _components(name: str) -> list[Component]:
    catalog = get_catalog()
    found = [catalog.get(kind, name) for kind in Kind if name in catalog.names(kind)]
    if not found:
        names = sorted(name for kind in Kind for name in catalog.names(kind))
        raise ComponentNotFoundError(
            f"No component {name!r} is installed.{nearest(name, names)} "
            f"Installed: {', '.join(names)}."
        )
    return found
