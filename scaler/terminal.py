"""What commands say: tables and progress for a person, JSON for a machine. Results go to stdout, remarks to stderr."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a machine to read.")]

out = Console(soft_wrap=not sys.stdout.isatty(), highlight=False)
err = Console(stderr=True, soft_wrap=not sys.stderr.isatty(), highlight=False)


def print_json(value: Any) -> None:
    """Print plain data as JSON on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], note: str = "") -> None:
    """Print a table: words to the left, numbers to the right."""
    cells = [[_text(value) for value in row] for row in rows]
    table = Table(title=title, title_justify="left", title_style="bold", box=None)
    table.caption, table.caption_justify = note or None, "left"
    for index, column in enumerate(columns):
        numeric = bool(cells) and all(row[index][:1].isdigit() or row[index][:1] in "-+" for row in cells)
        table.add_column(column, justify="right" if numeric else "left", no_wrap=index == 0)
    for row in cells:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(table)


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.2f}"
        case _:
            return str(value)
