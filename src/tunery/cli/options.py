"""
How options and arguments of commands are declared: one sentence of help, which names the default.

Also the options that several commands share. Knows typer; nothing of what the commands do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def option(text: str, default: object, *names: str, metavar: str | None = None) -> Any:
    """Declare an option; `default` is said in the help, `names` only where they do not follow from the parameter."""
    return typer.Option(*names, help=f"{text} (default: {default})", show_default=False, metavar=metavar)


def argument(text: str, metavar: str) -> Any:
    """Declare an argument."""
    return typer.Argument(help=text, metavar=metavar, show_default=False)


DataFile = Annotated[Path, argument("CSV, TSV, XLSX, XLS, ODS, JSONL or JSON with an input and an output.", "FILE")]
InputColumn = Annotated[
    list[str] | None, option("Column with the input; may be repeated.", "found by its name", metavar="COLUMN")
]
OutputColumn = Annotated[str | None, option("Column with the output.", "found by its name", metavar="COLUMN")]
TunedModelName = Annotated[str, argument("Id or display name of a tuned model.", "MODEL")]
ServerAddress = Annotated[
    str | None,
    option(
        "Server to work with, as TUNERY_SERVER; its token in TUNERY_TOKEN.", "data folder", "--server", metavar="URL"
    ),
]
Json = Annotated[bool, option("Print one JSON document.", "text", "--json")]
Yes = Annotated[bool, option("Do not ask.", "ask on a terminal", "--yes", "-y")]
