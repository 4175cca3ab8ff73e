"""Print text and tables on a terminal."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType


def print_line(text: str) -> None:
    """Print a text, wrapped at the width of the terminal."""
    from rich.console import Console

    Console().print(text, highlight=False)


def print_table(columns: Iterable[str], rows: Iterable[Iterable["RenderableType"]]) -> None:
    """Print a table; rich's Text keeps a cell in brackets from being read as markup."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
