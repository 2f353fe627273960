"""
Reads CSV and TSV: guesses the delimiter, parses quotes, and reports rows that are not as wide as the first one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from tunery.data.columns import is_known_name, name_columns
from tunery.data.tables import DecodedText, Row, Table, TableOptions, check_extent, warning
from tunery.errors import DataProblem, InvalidArgument

# On a tie the rarer one in running text wins: most sentences contain a comma.
DELIMITERS = ("\t", "|", ";", ",")

_SAMPLE_CHARACTERS = 256 * 1024
_SAMPLE_RECORDS = 200
_LEAST_SHARE = 0.5  # of the records must be as wide as the first, unless the header has a usual name
_EXCEL_HINT = re.compile(r"sep=(.)(?:\r\n|\n|\r|$)")


def read_delimited(decoded: DecodedText, options: TableOptions) -> Table:
    """
    Return the table in `decoded`.

    Ragged rows and wrong quotes become problems of the table. Raises DatasetInvalid for too many rows.
    """
    text, delimiter = decoded.text, options.delimiter
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise InvalidArgument(f"The delimiter must be one character, not {delimiter!r}.")
    hint = _EXCEL_HINT.match(text)
    if hint is not None:  # Excel hides this line, so it has no row number
        text, delimiter = text[hint.end() :], delimiter or hint[1]
    delimiter = delimiter or _guess_delimiter(text)
    records, notes = parse_records(text, delimiter, first_line=2 if hint else 1)
    rows, problems = _even_rows(records, delimiter)
    named = name_columns(rows, options.header)
    return Table(
        format="tsv" if delimiter == "\t" else "csv",
        columns=named.columns,
        rows=named.rows,
        problems=(*decoded.problems, *notes, *problems, *named.problems),
        has_header=named.has_header,
        encoding=decoded.encoding,
        encoding_is_guessed=decoded.is_guessed,
        delimiter=delimiter or None,
    )


def _guess_delimiter(text: str) -> str:
    """Return the delimiter under which most records are as wide as the first one, or "" for a single column."""
    best, best_score = "", (0, 0.0)
    for delimiter in DELIMITERS:
        score = _score(text, delimiter)
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _score(text: str, delimiter: str) -> tuple[int, float]:
    sample = text[:_SAMPLE_CHARACTERS]
    records = list(islice(records_of(sample, delimiter, escape=False), _SAMPLE_RECORDS))
    if len(records) > 1 and len(sample) < len(text):
        records.pop()  # may have been cut
    filled = [record for record in records if record.problem or is_filled(record.cells)]
    header = next((record.cells for record in filled if record.problem is None), [])
    if len(header) < 2:
        return 0, 0.0
    known = min(2, sum(map(is_known_name, header)))
    share = sum(len(record.cells) == len(header) for record in filled) / len(filled)
    return (known, share) if known or share >= _LEAST_SHARE else (0, 0.0)


def _even_rows(records: list[Record], delimiter: str) -> tuple[list[Row], list[DataProblem]]:
    """Return the rows as wide as the first one, and a problem for each other row."""
    width = next((len(record.cells) for record in records if record.problem is None), 0)
    rows, problems = [], []
    for record in records:
        cells = record.cells
        if record.problem is not None:
            problems.append(record.problem)
        elif len(cells) < width or is_filled(cells[width:]):
            problems.append(_ragged(record.number, len(cells), width, delimiter))
        else:
            rows.append(Row(record.number, tuple(cells[:width])))
    return rows, problems


def _ragged(number: int, actual: int, width: int, delimiter: str) -> DataProblem:
    name = {"\t": "tab", ",": "comma", ";": "semicolon"}.get(delimiter, delimiter)
    advice = f" Put a cell that contains a {name} in double quotes." if actual > width else ""
    message = f"{actual} {'cell' if actual == 1 else 'cells'}, expected {width}.{advice}"
    return DataProblem("ragged-row", message, row=number, limit=width, actual=actual)


# Parsing continues on the line after a wrong quote, which may scan the rest of the file each time.
_MAX_QUOTE_PROBLEMS = 100
_LINE_END = re.compile(r"\r\n|\n|\r")
_LINE_ENDS = re.compile(r"[\r\n]+")
_QUOTE = re.compile('"')
_BLANKS_AND_QUOTE = re.compile(' *"')
_QUOTES = re.compile('""|"')
_ESCAPED_OR_QUOTES = re.compile(r'\\.|""|"', re.DOTALL)
_ESCAPED = re.compile(r'\\(["\\])')


@dataclass(frozen=True, slots=True)
class Record:
    """The cells of one record, or the problem that made it unreadable; `number` counts records from 1."""

    number: int
    cells: list[str]
    problem: DataProblem | None = None


class _QuoteError(Exception):
    """A quoted cell that does not end correctly."""

    def __init__(self, opened_at: int, closed_at: int | None) -> None:
        super().__init__()
        self.opened_at = opened_at  # position in the text
        self.closed_at = closed_at  # None: never


def parse_records(text: str, delimiter: str, first_line: int) -> tuple[list[Record], list[DataProblem]]:
    """Parse doubled quotes; if that fails and backslashes before quotes explain it, parse those."""
    records = _bounded(records_of(text, delimiter, escape=False, first_line=first_line))
    if '\\"' in text and any(record.problem for record in records):
        escaped = _bounded(records_of(text, delimiter, escape=True, first_line=first_line))
        if not any(record.problem for record in escaped):
            return escaped, [
                warning(
                    "backslash-quotes", "Quotes inside cells are escaped with a backslash; the file was read that way."
                )
            ]
    return records, []


def _bounded(records: Iterator[Record]) -> list[Record]:
    """Collect the records that are not blank. Raises DatasetInvalid for too many."""
    kept, wrong_quotes = [], 0
    for record in records:
        if record.problem is None and not is_filled(record.cells):
            continue
        kept.append(record)
        wrong_quotes += record.problem is not None
        if wrong_quotes >= _MAX_QUOTE_PROBLEMS:
            message = f"{wrong_quotes} wrong quotes. The rest of the file was not read."
            kept.append(Record(record.number, [], DataProblem("too-many-quotes", message)))
            break
        check_extent(len(kept), len(record.cells))
    return kept


def records_of(text: str, delimiter: str, *, escape: bool, first_line: int = 1) -> Iterator[Record]:
    """Yield the records of `text`. Empty lines are counted but left out."""
    position, line, number = 0, first_line, 0
    while position < len(text):
        blank = _LINE_ENDS.match(text, position)
        if blank is not None:
            lines = _count_lines(text, position, blank.end())
            position, line, number = blank.end(), line + lines, number + lines
            continue
        number += 1
        end = _LINE_END.search(text, position)
        stop, following = end.span() if end else (len(text), len(text))
        if text.find('"', position, stop) < 0:
            content = text[position:stop]
            yield Record(number, content.split(delimiter) if delimiter else [content])
            position, line = following, line + 1
            continue
        try:
            cells, after = _quoted_record(text, position, delimiter, escape)
        except _QuoteError as error:
            yield Record(number, [], _quote_problem(text, position, line, error))
            position, line = following, line + 1
        else:
            yield Record(number, cells)
            position, line = after, line + _count_lines(text, position, after)


def _quoted_record(text: str, position: int, delimiter: str, escape: bool) -> tuple[list[str], int]:
    """Return the cells of the record at `position` and where the next record begins. Raises _QuoteError."""
    cell_end = re.compile(f"[{re.escape(delimiter)}\r\n]")
    blanks_and_quote = _QUOTE if delimiter == " " else _BLANKS_AND_QUOTE
    cells: list[str] = []
    while True:
        opening = blanks_and_quote.match(text, position)
        if opening is None:
            end = cell_end.search(text, position)
            stop = end.start() if end else len(text)
            cells.append(text[position:stop])
        else:
            cell, stop = _quoted_cell(text, opening.end(), delimiter, escape)
            cells.append(cell)
        if delimiter and text.startswith(delimiter, stop):
            position = stop + 1
            continue
        line_end = _LINE_END.match(text, stop)
        return cells, line_end.end() if line_end else stop


def _quoted_cell(text: str, start: int, delimiter: str, escape: bool) -> tuple[str, int]:
    close = _closing_quote(text, start, escape)
    if close is None:
        raise _QuoteError(start, None)
    stop = close + 1
    while delimiter != " " and text.startswith(" ", stop):
        stop += 1
    if stop < len(text) and text[stop] not in (delimiter, "\r", "\n"):
        raise _QuoteError(start, close)
    cell = text[start:close].replace('""', '"')
    return _ESCAPED.sub(r"\1", cell) if escape else cell, stop


def _closing_quote(text: str, start: int, escape: bool) -> int | None:
    skipped = _ESCAPED_OR_QUOTES if escape else _QUOTES
    for match in skipped.finditer(text, start):
        if match[0] == '"':
            return match.start()
    return None


def _quote_problem(text: str, record_start: int, line: int, error: _QuoteError) -> DataProblem:
    opened = line + _count_lines(text, record_start, error.opened_at)
    if error.closed_at is None:
        message = f"the quote opened in line {opened} never closes. Close it, or double it if it is part of the text."
        return DataProblem("unclosed-quote", message, row=opened)
    closed = line + _count_lines(text, record_start, error.closed_at)
    message = f"the quote opened in line {opened} closes in line {closed}, in the middle of a cell. "
    return DataProblem("stray-quote", message + "Double the quotes that are part of the text.", row=opened)


def _count_lines(text: str, start: int, stop: int) -> int:
    return text.count("\n", start, stop) + text.count("\r", start, stop) - text.count("\r\n", start, stop)


def is_filled(cells: list[str]) -> bool:
    """Return whether any cell holds more than blanks."""
    return any(cell and not cell.isspace() for cell in cells)
