"""``emonet plugins``: every plugin, what it offers, and what is wrong with it."""

import json

import typer

from emonet.cli.new_plugin import new
from emonet.cli.options import Json
from emonet.registry import list_plugins

__all__ = ["app"]

app = typer.Typer()
app.command()(new)


@app.callback(invoke_without_command=True)
def plugins(context: typer.Context, as_json: Json = False) -> None:
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
