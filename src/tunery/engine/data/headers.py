"""
Whether the first row is a header, and what the columns are called.

It knows names and forms of cells, not what a column is used for (`columns`). A guess that could be wrong is said in
a warning.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tunery.engine.data.tables import BadCell, Cell, Row, check_extent, column_name, warning
from tunery.problems import DataProblem

# Names of the APIs and of common data sets; earlier names win.
# fmt: off
INPUT_NAMES = (
    "text_input", "textinput", "input_text", "inputs", "input", "prompt", "question", "query", "user",
    "instruction", "instructions", "text", "message", "sentence", "utterance", "review", "comment", "ticket",
    "title", "source", "content", "document", "body", "frage", "eingabe",
)
OUTPUT_NAMES = (
    "output", "output_text", "outputs", "completion", "answer", "response", "reply", "assistant", "label",
    "labels", "target", "category", "class", "intent", "sentiment", "tag", "topic", "result", "summary",
    "headline", "translation", "expected", "expected_output", "antwort", "ausgabe", "kategorie",
)
# fmt: on

_MAX_HEADER_CHARACTERS = 40
_NUMBER = re.compile(r"[-+]?[\d.,]+%?")


@dataclass(frozen=True, slots=True)
class NamedRows:
    """Rows under the names of their columns."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    has_header: bool
    positions: tuple[int, ...]  # of these columns among those that were given
    problems: tuple[DataProblem, ...] = ()


def is_known_name(name: Cell) -> bool:
    """Whether a header cell is one of the usual names for an input or an output."""
    return isinstance(name, str) and plain_name(name) in _KNOWN


def name_columns(rows: Sequence[Row], header: bool | None = None) -> NamedRows:
    """
    Split the header off and drop columns in which nothing stands; all rows have the same width.

    `header` None: found out. Columns without a name are called "column 3", by their position.
    """
    check_extent(len(rows), len(rows[0].cells) if rows else 0)
    positions = tuple(
        position for position in range(len(rows[0].cells) if rows else 0) if any(row.cells[position] for row in rows)
    )
    if len(positions) < len(rows[0].cells if rows else ()):
        rows = [Row(row.number, tuple(row.cells[position] for position in positions)) for row in rows]
    if not rows:
        return NamedRows((), (), bool(header), ())
    has_header, is_guessed = (header, False) if header is not None else _guess_header(rows)
    names = tuple(
        (column_name(text) if has_header and isinstance(text, str) else "") or f"column {position + 1}"
        for position, text in zip(positions, rows[0].cells, strict=True)
    )
    problems = (_header_guess(rows[0].number, has_header),) if is_guessed else ()
    return NamedRows(names, tuple(rows[1:] if has_header else rows), has_header, positions, problems)


def plain_name(name: str) -> str:
    """Return the name as names are compared: "Text input:" is "text_input"."""
    return re.sub(r"[\s\-]+", "_", name.strip().rstrip(":").casefold())


_KNOWN = frozenset((*INPUT_NAMES, *OUTPUT_NAMES))


def _guess_header(rows: Sequence[Row]) -> tuple[bool, bool]:
    """Return whether the first row is a header, and whether that could be wrong."""
    first, rest = rows[0].cells, rows[1:]
    if any(map(is_known_name, first)) and not any(_is_long_or_number(cell) for cell in first):
        return True, False
    if any(_is_long_or_number(cell) or cell in (None, "") for cell in first):
        return False, False
    for position, name in enumerate(first):
        below = [row.cells[position] for row in rest]
        if name in below:  # a label
            return False, False
        if below and all(isinstance(cell, str) and _NUMBER.fullmatch(cell) for cell in below):
            return True, True
    return _is_much_shorter(first, rest), True


def _is_long_or_number(cell: Cell) -> bool:
    if not isinstance(cell, str):
        return isinstance(cell, BadCell)
    return len(cell) > _MAX_HEADER_CHARACTERS or "\n" in cell or _NUMBER.fullmatch(cell.strip()) is not None


def _is_much_shorter(first: Sequence[Cell], rest: Sequence[Row]) -> bool:
    """Names are one or two words; in at least one column the texts below them are several times longer."""
    if not rest or any(isinstance(cell, str) and len(cell.split()) > 3 for cell in first):
        return False
    for position, name in enumerate(first):
        lengths = [len(cell) for row in rest if isinstance(cell := row.cells[position], str)]
        if lengths and isinstance(name, str) and sum(lengths) / len(lengths) > 3 * len(name):
            return True
    return False


def _header_guess(row: int, has_header: bool) -> DataProblem:
    taken = "the names of the columns" if has_header else "an example, not as names of columns"
    return warning("guessed-header", f"taken as {taken}, which is a guess.", row=row)
