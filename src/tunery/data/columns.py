"""
Decides which columns are the input and the output, and whether the first row is a header.

A guess that could be wrong becomes a warning; columns named by the caller are never overruled.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tunery.data.tables import BadCell, Cell, Row, Table, check_extent, column_name, invalid, listed, warning
from tunery.errors import DataProblem, DatasetInvalid, Level


@dataclass(frozen=True, slots=True)
class Mapping:
    """Positions of the used columns; `is_guessed` if neither their names nor the caller decided."""

    inputs: tuple[int, ...]
    output: int
    ignored: tuple[int, ...]
    is_guessed: bool = False


def suggest(columns: Sequence[str]) -> Mapping | None:
    """Suggest the use of columns by their names, else by position; None for fewer than two."""
    if len(columns) < 2:
        return None
    plain = [plain_name(name) for name in columns]
    inputs, output = _known_inputs(plain), _first_known(plain, OUTPUT_NAMES)
    is_guessed = not inputs or output is None
    if not inputs:
        inputs = (next(position for position in range(len(columns)) if position != output),)
    if output is None:
        output = next(position for position in (*range(inputs[-1] + 1, len(columns)), 0, 1) if position not in inputs)
    return _mapping(columns, inputs, output, is_guessed)


def choose(table: Table, input_column: str | Sequence[str] | None = None, output_column: str | None = None) -> Mapping:
    """
    Return the columns to use: those named by the caller, the rest by `suggest`.

    Raises DatasetInvalid when there is no row, only one column, or no column of a given name.
    """
    is_broken = any(problem.level is Level.ERROR for problem in table.problems)
    if is_broken and (not table.rows or len(table.columns) < 2):
        raise DatasetInvalid("None of the rows can be read.")  # the problems of the table explain it
    if not table.columns or not table.rows:
        what = "There is only a header and no rows." if table.has_header and table.columns else "There are no rows."
        raise invalid("no-rows", f"{what} Each row needs an input and an output.")
    suggested = suggest(table.columns)
    if suggested is None:
        raise invalid(
            "one-column", f"There is only one column, {table.columns[0]!r}. An input and an output are needed."
        )
    inputs = None if input_column is None else _positions(table.columns, input_column)
    output = None if output_column is None else _positions(table.columns, output_column)[0]
    if inputs is None and output is None:
        mapping = suggested
    else:
        mapping = _complete(table.columns, suggested, inputs, output)
    _refuse_doubles(table.columns, mapping)
    return mapping


def mapping_notes(table: Table, mapping: Mapping) -> list[DataProblem]:
    """Return warnings about guessed and unused columns."""
    names = table.columns
    notes = []
    if mapping.is_guessed and len(names) > 2:
        inputs = " and ".join(repr(names[position]) for position in mapping.inputs)
        message = f"Using column {inputs} as input and {names[mapping.output]!r} as output, guessed by position."
        notes.append(warning("guessed-columns", message))
    if mapping.ignored:
        ignored = listed([names[position] for position in mapping.ignored])
        notes.append(warning("ignored-columns", f"Not used: {ignored}."))
    return notes


def _known_inputs(plain: Sequence[str]) -> tuple[int, ...]:
    if "instruction" in plain and "input" in plain:  # Alpaca: the instruction and what it is about
        return plain.index("instruction"), plain.index("input")
    position = _first_known(plain, INPUT_NAMES)
    return () if position is None else (position,)


def _first_known(plain: Sequence[str], names: Sequence[str]) -> int | None:
    return next((plain.index(name) for name in names if name in plain), None)


def _mapping(columns: Sequence[str], inputs: tuple[int, ...], output: int, is_guessed: bool) -> Mapping:
    used = {*inputs, output}
    ignored = tuple(position for position in range(len(columns)) if position not in used)
    return Mapping(inputs, output, ignored, is_guessed)


def _complete(
    columns: Sequence[str], suggested: Mapping, inputs: tuple[int, ...] | None, output: int | None
) -> Mapping:
    """Fill in what the caller left open without using a column twice."""
    if inputs is None:
        free = [position for position in suggested.inputs if position != output]
        inputs = tuple(free) or (next(position for position in range(len(columns)) if position != output),)
    if output is None:
        free = [position for position in (suggested.output, *range(len(columns))) if position not in inputs]
        if not free:
            raise invalid("no-output-column", "All columns are inputs; one must be the output.")
        output = free[0]
    if output in inputs:
        raise invalid("same-column", f"Column {columns[output]!r} cannot be both input and output.")
    return _mapping(columns, inputs, output, is_guessed=False)


def _positions(columns: Sequence[str], names: str | Sequence[str]) -> tuple[int, ...]:
    wanted = (names,) if isinstance(names, str) else tuple(names)
    missing = [name for name in wanted if _find(columns, name) is None]
    if missing or not wanted:
        asked = listed(missing) or "without a name"
        raise invalid("no-such-column", f"There is no column {asked}. Columns: {listed(columns)}.")
    return tuple(dict.fromkeys(position for name in wanted if (position := _find(columns, name)) is not None))


def _find(columns: Sequence[str], name: str) -> int | None:
    if name in columns:
        return columns.index(name)
    plain = [plain_name(column) for column in columns]
    return plain.index(plain_name(name)) if plain.count(plain_name(name)) == 1 else None


def _refuse_doubles(columns: Sequence[str], mapping: Mapping) -> None:
    for position in (*mapping.inputs, mapping.output):
        if columns.count(columns[position]) > 1:
            where = " and ".join(str(index) for index, name in enumerate(columns, start=1) if name == columns[position])
            raise invalid("double-column", f"Columns {where} are both named {columns[position]!r}. Rename one.")


# Names used by APIs and common data sets; earlier names win.
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
    """Rows under named columns."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    has_header: bool
    positions: tuple[int, ...]  # of these columns among those that were given
    problems: tuple[DataProblem, ...] = ()


def is_known_name(name: Cell) -> bool:
    """Return whether a header cell is a usual name for an input or an output."""
    return isinstance(name, str) and plain_name(name) in _KNOWN


def name_columns(rows: Sequence[Row], header: bool | None = None) -> NamedRows:
    """
    Split off the header and drop empty columns; all rows have the same width.

    With `header` None, guess. Columns without a name are called "column 3", by position.
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
    """Normalise a name for comparison: "Text input:" becomes "text_input"."""
    return re.sub(r"[\s\-]+", "_", name.strip().rstrip(":").casefold())


_KNOWN = frozenset((*INPUT_NAMES, *OUTPUT_NAMES))


def _guess_header(rows: Sequence[Row]) -> tuple[bool, bool]:
    """Return whether the first row is a header, and whether that is a guess."""
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
    """Return whether the first row looks like names: a few words, with texts several times longer below one of them."""
    if not rest or any(isinstance(cell, str) and len(cell.split()) > 3 for cell in first):
        return False
    for position, name in enumerate(first):
        lengths = [len(cell) for row in rest if isinstance(cell := row.cells[position], str)]
        if lengths and isinstance(name, str) and sum(lengths) / len(lengths) > 3 * len(name):
            return True
    return False


def _header_guess(row: int, has_header: bool) -> DataProblem:
    taken = "the column names" if has_header else "an example, not as column names"
    return warning("guessed-header", f"read as {taken}; this is a guess.", row=row)
