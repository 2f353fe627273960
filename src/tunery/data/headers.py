"""
Finds the header of a table by the names in a row, and by whether the rows below look different.

Rows above a header are left out, and a guess that could be wrong becomes a warning.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from tunery.data.columns import INPUT_NAMES, OUTPUT_NAMES, Content, content_of, is_known_name, is_numbering, plain_name
from tunery.data.inputs import is_invisible, visible
from tunery.data.tables import BadCell, Cell, Row, check_extent, column_name, invalid, printable, warning
from tunery.errors import DataProblem, Level, Reading

_MAX_ROWS_ABOVE = 20
_ROWS_BELOW = 500  # number of rows compared with a header
_MAX_NAME_CHARACTERS = 40
_MAX_SHOWN_CHARACTERS = 40
_ROWS_SHOWN = 3
_MANY_WORDS = 4
_CERTAIN = 3
_USUAL_NAME = 2


@dataclass(frozen=True, slots=True)
class NamedRows:
    """Rows under named columns."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    has_header: bool
    positions: tuple[int, ...]  # of these columns in the file
    problems: tuple[DataProblem, ...] = ()
    header_row: int | None = None  # number of the header row


def name_columns(rows: Sequence[Row], header: bool | None = None, header_row: int | None = None) -> NamedRows:
    """
    Split off the header and the rows above it, and drop empty columns; all rows have the same width.

    With `header` and `header_row` None, guess; `header_row` 0 means that there is none. Columns without a name are
    called "column 3", by position. Raises DatasetInvalid if there is no row `header_row`.
    """
    check_extent(len(rows), len(rows[0].cells) if rows else 0)
    found = _Header.given(rows, header, header_row)
    above, rows = rows[: found.index or 0], rows[found.index or 0 :]
    width = len(rows[0].cells) if rows else 0
    positions = tuple(position for position in range(width) if any(row.cells[position] for row in rows))
    if len(positions) < width:
        rows = [Row(row.number, tuple(row.cells[position] for position in positions)) for row in rows]
    if not rows:
        return NamedRows((), (), bool(header), ())
    if found.index is None:
        names = tuple(f"column {position + 1}" for position in positions)
    else:
        names = tuple(
            (column_name(_name(text)) if isinstance(text, str) else "") or f"column {position + 1}"
            for position, text in zip(positions, rows[0].cells, strict=True)
        )
    problems = [_left_out(above)] if above else []
    if found.index is not None:
        rows, notes = _without_further_names(rows)
        problems += notes
    if found.is_guessed:
        problems.append(_guess(rows, found.index is not None))
    number = None if found.index is None else rows[0].number
    below = rows if found.index is None else rows[1:]
    return NamedRows(names, tuple(below), number is not None, positions, tuple(problems), number)


def _name(cell: str) -> str:
    return cell if cell.isascii() else "".join(letter for letter in cell if not is_invisible(letter))


# The last of the lines that survey programs write below the names: the third in Qualtrics, the second in SurveyMonkey.
_FURTHER_NAMES = {2: re.compile(r'\{"ImportId":.*\}'), 1: re.compile("(Open-Ended )?Response")}


def _without_further_names(rows: Sequence[Row]) -> tuple[Sequence[Row], list[DataProblem]]:
    """Leave out the extra column names that survey programs write below the header."""
    last = next((at for at, pattern in _FURTHER_NAMES.items() if _is_all(pattern, rows[at : at + 1])), 0)
    if not last:
        return rows, []
    first, end = rows[1].number, rows[last].number
    which = f"Row {first} holds" if last == 1 else f"Rows {first} to {end} hold"
    message = f"{which} more column names and {'was' if last == 1 else 'were'} left out: {_shown(rows[1])}."
    return [rows[0], *rows[last + 1 :]], [warning("left-out-rows", message)]


def _is_all(pattern: re.Pattern[str], rows: Sequence[Row]) -> bool:
    """Return whether there is such a row and it contains nothing else, at least twice."""
    filled = [cell.strip() if isinstance(cell, str) else "" for row in rows for cell in row.cells if _is_filled(cell)]
    return len(filled) > 1 and all(pattern.fullmatch(cell) for cell in filled)


@dataclass(frozen=True, slots=True)
class _Header:
    """The index of the header among the rows, None if there is none, and whether that is a guess."""

    index: int | None
    is_guessed: bool = False

    @classmethod
    def given(cls, rows: Sequence[Row], header: bool | None, header_row: int | None) -> _Header:
        if header_row is not None:
            return cls(_index_of(rows, header_row) if header_row else None)
        if not rows or header is False:
            return cls(None)
        guess = cls.guessed(rows)
        return cls(guess.index or 0) if header else guess

    @classmethod
    def guessed(cls, rows: Sequence[Row]) -> _Header:
        """Use a row of usual names not far below, else the first row that is not a title."""
        start = _title_rows(rows)
        first_rows = range(start, max(start + 1, min(_MAX_ROWS_ABOVE, len(rows) // 4)))
        named = next((at for at in first_rows if _has_both_names(rows[at].cells)), None)
        if named is None and _is_title_of_cells(rows, start):
            return cls(start + 1, is_guessed=True)
        likeness, is_certain = _likeness(rows, start if named is None else named)
        return cls((start if named is None else named) if likeness > 0 else None, not is_certain)


def _index_of(rows: Sequence[Row], number: int) -> int:
    index = next((index for index, row in enumerate(rows) if row.number == number), None)
    if index is None:
        last = rows[-1].number if rows else 0
        message = f"There is no row {number} to take the column names from; the last is row {last}."
        raise invalid("no-such-row", message, option="header_row")
    return index


def _title_rows(rows: Sequence[Row]) -> int:
    """Return how many rows are above the table: such rows fill one cell, or less than half of a wider table."""
    width = sum(any(map(_is_filled, cells)) for cells in zip(*(row.cells for row in rows), strict=True))
    for index, row in enumerate(rows[:_MAX_ROWS_ABOVE]):
        filled = sum(map(_is_filled, row.cells))
        if (filled > 1 and 2 * filled > width) or width < 2:
            return index
    return 0


def _is_title_of_cells(rows: Sequence[Row], index: int) -> bool:
    """Return whether a row is a title with a delimiter in its text, because the next row certainly looks like names."""
    if any(map(is_known_name, rows[index].cells)) or index + 2 >= len(rows) or _without_further_names(rows[index:])[1]:
        return False
    likeness, is_certain = _likeness(rows, index + 1)
    return is_certain and likeness >= _CERTAIN


def _is_filled(cell: Cell) -> bool:
    return isinstance(cell, BadCell) or bool(_same(cell))


def _has_both_names(cells: Sequence[Cell]) -> bool:
    names = [plain_name(cell) for cell in cells if isinstance(cell, str)]
    return any(name in INPUT_NAMES for name in names) and any(name in OUTPUT_NAMES for name in names)


def _likeness(rows: Sequence[Row], index: int) -> tuple[int, bool]:
    """Return how much more a row looks like names than like the rows below, and whether that is certain."""
    first, rest = rows[index].cells, rows[index + 1 : index + 1 + _ROWS_BELOW]
    below = [row.cells for row in rest if not _are_alike(row.cells, first)]  # an appended file repeats its header
    repeats = len(rest) - len(below)
    if _are_numbers_of_columns(first, below):
        return _CERTAIN, True
    if repeats and not _has_both_names(first) and (repeats > 1 or not below):
        return -_CERTAIN, True
    columns = [
        _evidence(cell, [text for cells in below if isinstance(text := cells[position], str) and text.strip()])
        for position, cell in enumerate(first)
    ]
    usual, least = sum(map(is_known_name, first)), min(columns, default=0)
    if least <= _LIKE_DATA and usual < 2:
        usual = 0
    likeness = sum(columns) + _USUAL_NAME * usual
    if likeness <= 0:
        return likeness, likeness <= -_USUAL_NAME
    return likeness, likeness >= (_CERTAIN if least < 0 or not usual else _USUAL_NAME) + 2 * (least < 0)


def _are_alike(cells: Sequence[Cell], other: Sequence[Cell]) -> bool:
    return all(_same(one) == _same(two) for one, two in zip(cells, other, strict=True))


def _same(cell: Cell) -> str:
    return visible(cell).strip().casefold() if isinstance(cell, str) else ""


def _are_numbers_of_columns(first: Sequence[Cell], below: Sequence[Sequence[Cell]]) -> bool:
    """Return whether the row is 0, 1, 2 above texts, which is how pandas names the columns of a list."""
    names = [cell.strip() if isinstance(cell, str) else "" for cell in first]
    names = names[1:] if names and not names[0] else names
    if names != [str(place) for place in range(len(names))] or not below:
        return False
    cells = [cell for row in below for cell in row[len(first) - len(names) :] if isinstance(cell, str)]
    return sum(_form(cell) == "number" for cell in cells) < len(cells) / 2


_AGAIN = -6  # the cell occurs again below, so it is a label
_SAME_FORM = -4  # a number above numbers
_OTHER_FORM = 5  # a word above numbers
_LIKE_DATA = -3  # a sentence above sentences


def _evidence(cell: Cell, below: Sequence[str]) -> int:
    """Return how much a cell looks like the name of its column: positive for a name, negative for data."""
    if isinstance(cell, BadCell):
        return _SAME_FORM
    text = visible(cell or "").strip()
    if not below:
        return 0 if text else -1
    if not text or text.startswith("Unnamed: "):
        return 3 if is_numbering(below) or text else -2
    if text.casefold() in {_same(other) for other in below}:
        return _AGAIN
    form, forms = _form(text), Counter(map(_form, below[:_ROWS_BELOW]))
    if form != "text":
        return _SAME_FORM if forms[form] > len(below) / 2 else -1
    if forms["text"] <= 0.2 * len(below):
        return _OTHER_FORM if len(below) >= 3 else 1
    return _evidence_of_texts(text, below)


def _evidence_of_texts(text: str, below: Sequence[str]) -> int:
    if content_of(below) is Content.LABELS:
        is_once = min(Counter(map(_same, below)).values()) == 1
        is_longer = _words(text) > max(map(_words, below))
        return (2 if is_once or len(below) < 10 else 3) + is_longer
    length = median(map(len, below))
    is_identifier = _IDENTIFIER.fullmatch(text) and sum(bool(_IDENTIFIER.fullmatch(other)) for other in below) == 0
    if _words(text) >= _MANY_WORDS and median(map(_words, below)) >= _MANY_WORDS:
        asks = "?" in text and sum("?" in other for other in below) < 0.2 * len(below)
        return _LIKE_DATA if len(text) > 0.7 * length and not asks else -1
    if len(text) > _MAX_NAME_CHARACTERS or "\n" in text:
        return -2
    return int(bool(is_identifier) or (length > 3 * len(text) and _words(text) < _MANY_WORDS))


_IDENTIFIER = re.compile(r"[a-z]+\d*(_[a-z\d]+)+|[a-z]+([A-Z][a-z]+)+")
_FORMS = (
    ("number", re.compile(r"[-+]?[\d.,]+ ?%?")),
    ("time", re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}\b.*|\d{1,2}:\d{2}.*")),
    ("address", re.compile(r"https?://\S+|\S+@\S+\.\w+")),
)
_WIDE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def _form(text: str) -> str:
    return next((name for name, pattern in _FORMS if pattern.fullmatch(text.strip())), "text")


def _words(text: str) -> int:
    """Return the number of words; two characters of a script without spaces count as one."""
    return max(len(text.split()), len(_WIDE.findall(text)) // 2)


def _left_out(rows: Sequence[Row]) -> DataProblem:
    first, last = rows[0].number, rows[-1].number
    which = f"Row {first} is" if first == last else f"Rows {first} to {last} are"
    be = "was" if first == last else "were"
    message = f"{which} above the column names and {be} left out: {_shown(rows[0])}."
    return warning("left-out-rows", message, option="header_row")


def _shown(row: Row) -> str:
    cells = [" ".join(cell.split()) for cell in row.cells if isinstance(cell, str) and cell.strip()]
    short = (
        text if len(text) <= _MAX_SHOWN_CHARACTERS else f"{text[: _MAX_SHOWN_CHARACTERS - 3]}..." for text in cells
    )
    return ", ".join(repr(column_name(text)) for text in short) or "no text"


def _guess(rows: Sequence[Row], has_header: bool) -> DataProblem:
    """Return a warning with both readings, the chosen one first."""
    taken, other = ("the column names", "an example") if has_header else ("an example", "the column names")
    number = rows[0].number
    readings = [Reading(str(number), _read(rows[1:])), Reading("0", _read(rows))]
    return DataProblem(
        "guessed-header",
        f"read as {taken}, but may be {other}: {_shown(rows[0])}.",
        Level.WARNING,
        row=number,
        option="header_row",
        readings=tuple(readings if has_header else reversed(readings)),
    )


def _read(rows: Sequence[Row]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        tuple(printable(cell) if isinstance(cell, str) else "" for cell in row.cells) for row in rows[:_ROWS_SHOWN]
    )
