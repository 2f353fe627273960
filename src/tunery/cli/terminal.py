"""
Where the commands write: results to standard output, everything else to standard error.

Knows what the two streams can show (a terminal or a pipe, its width, its characters); nothing of what is written.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

import typer

MAX_COLUMNS = 100  # longer lines are harder to read
PIPE_COLUMNS = 80


def result(text: str) -> None:
    """Write a line of the result to standard output."""
    typer.echo(text)


def piece(text: str) -> None:
    """Write a part of the result to standard output, at once."""
    typer.echo(harmless(text) if sys.stdout.isatty() else text, nl=False)
    sys.stdout.flush()


def say(text: str = "") -> None:
    """Write a line for the user, not part of the result, to standard error."""
    sys.stdout.flush()  # both streams may be one terminal
    typer.echo(harmless(text), err=True)


def say_at_once(text: str) -> None:
    """Write a line for the user from a signal handler, where buffered streams may be in the middle of a write."""
    start = "\n" if sys.stderr.isatty() else ""  # behind the ^C that a terminal shows
    os.write(sys.stderr.fileno(), f"{start}{text}\n".encode())


def harmless(text: str) -> str:
    """Return text without the characters by which a file, or a model, could steer the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def ask(question: str, *, default: bool) -> bool:
    """Return the answer to a question of yes or no; only to be called when `can_ask`."""
    return typer.confirm(question, default=default, err=True)


def can_ask() -> bool:
    """Say whether somebody is there to answer."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def columns(stream: TextIO | None = None) -> int:
    """Return how many columns to use on a stream, standard error if none is given."""
    if not (stream or sys.stderr).isatty():
        return PIPE_COLUMNS
    return min(shutil.get_terminal_size().columns, MAX_COLUMNS)


def can_show(characters: str, stream: TextIO | None = None) -> bool:
    """Say whether the encoding of a stream, standard error if none is given, has these characters."""
    try:
        characters.encode((stream or sys.stderr).encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def shortened(text: str, width: int) -> str:
    """Return a text as one line of at most `width` columns."""
    from rich.cells import cell_len, set_cell_size

    line = " ".join(harmless(text).split())
    return line if cell_len(line) <= width else set_cell_size(line, max(width - 3, 0)).rstrip() + "..."


def facts(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Return lines of a name and what is known under it, aligned; longer texts go on below where they began."""
    filled = [(name, text) for name, text in pairs if text]
    width = max((len(name) for name, _ in filled), default=0)
    room = max(columns() - width - 2, 20)
    lines = []
    for name, text in filled:
        first, *rest = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
        lines += [f"{name:<{width}}  {first}", *(" " * (width + 2) + line for line in rest)]
    return lines


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """Return the lines of a table; the columns in `right` are aligned to the right."""
    from rich.cells import cell_len

    lines = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(cell_len(line[column]) for line in lines) for column in range(len(header))]

    def drawn(line: Sequence[str]) -> str:
        blanks = [" " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True)]
        cells = [blank + cell if column in right else cell + blank for column, (cell, blank) in _numbered(line, blanks)]
        return "  ".join(cells).rstrip()

    return [drawn(line) for line in lines]


def _numbered(line: Sequence[str], blanks: Sequence[str]) -> Iterator[tuple[int, tuple[str, str]]]:
    return enumerate(zip(line, blanks, strict=True))
