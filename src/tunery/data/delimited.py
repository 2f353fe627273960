"""
Reads CSV and TSV: detects the delimiter from the whole file, parses quotes, and gives all rows the same width.

If two delimiters fit a file equally well, both readings are shown and the user has to name one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from tunery.data.columns import is_known_name
from tunery.data.headers import name_columns
from tunery.data.tables import (
    DecodedText,
    Row,
    Table,
    TableOptions,
    check_extent,
    printable,
    warning,
    without_formula_quotes,
)
from tunery.errors import DataProblem, InvalidArgument, Level, Reading

# In a tie, the character that is rarer in running text wins, since most sentences contain a comma.
DELIMITERS = ("\t", "|", ";", ",")

_SAMPLE_CHARACTERS = 1024 * 1024
_SAMPLE_RECORDS = 2_000
_LEAST_FIT = 0.5  # share of the records that must fit the width, unless the header has a usual name
_MAX_TITLES = 5  # lines with a single cell above the table, which say nothing about the delimiter
_QUESTION_FIT = 0.9
_QUESTION_DISTANCE = 0.1
_SHOWN_ROWS = 3
_SHOWN_CHARACTERS = 60
_EXCEL_HINT = re.compile(r"sep=(.)(?:\r\n|\n|\r|$)")
_NAMES = {"\t": "tab", ",": "comma", ";": "semicolon", " ": "space"}


def read_delimited(decoded: DecodedText, options: TableOptions) -> Table:
    """
    Return the table in `decoded`.

    Ragged rows and wrong quotes become problems of the table. Raises DatasetInvalid for too many rows.
    """
    text, delimiter = decoded.text, options.delimiter
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise InvalidArgument(f"The delimiter must be one character, not {delimiter!r}.")
    hint = _EXCEL_HINT.match(text)
    if hint is not None:  # Excel does not show this line, so it has no row number
        text, delimiter = text[hint.end() :], delimiter or hint[1]
    doubts: list[DataProblem] = []
    # a text that is split at another delimiter is not a database dump
    dialect = _dialect(text) if delimiter in (None, "\t") else _Dialect()
    text = dialect.before(text)
    if delimiter is None:
        delimiter, doubts = _find_delimiter(text)
    records, notes = parse_records(text, delimiter, first_line=2 if hint else 1)
    first = options.header_row or 1  # the rows above are not part of the table, whatever their shape
    above = [record for record in records if record.number < first]
    records = [
        replace(record, cells=list(map(dialect.after, record.cells))) for record in records if record.number >= first
    ]
    if _are_spaced(records, delimiter):
        records = [_unspaced(record) for record in records]
        message = f"Each {_NAMES.get(delimiter, delimiter)} is followed by a space, which was removed from the cells."
        notes.append(warning("spaced-cells", message))
    even = _even_rows(records, delimiter)
    notes += _dialect_notes(dialect, text, even)
    rows, unquoted = without_formula_quotes(even.rows)
    width = len(rows[0].cells) if rows else 0
    rows = [*(Row(record.number, _padded(record.cells, width)) for record in above), *rows]
    named = name_columns(rows, options.header, options.header_row)
    return Table(
        format="tsv" if delimiter == "\t" else "csv",
        columns=named.columns,
        rows=named.rows,
        problems=(*decoded.problems, *doubts, *notes, *unquoted, *even.problems, *named.problems),
        has_header=named.has_header,
        header_row=named.header_row,
        encoding=decoded.encoding,
        encoding_is_guessed=decoded.is_guessed,
        delimiter=delimiter or None,
        refused=even.refused,
    )


_LEAST_SPACED = 0.75  # share of the cells; a space before a quoted cell is not part of it


def _are_spaced(records: Sequence[Record], delimiter: str) -> bool:
    """Return whether cells are written as "a, b": usual names that begin with a space, and most cells below too."""
    names = records[0].cells[1:] if len(records) > 2 and delimiter not in ("\t", " ") else []
    if not any(map(is_known_name, names)) or not all(name.startswith(" ") for name in names):
        return False
    cells = [cell for record in records[1:] for cell in record.cells[1:] if cell]
    return sum(cell.startswith(" ") and cell[1:2] != " " for cell in cells) >= _LEAST_SPACED * len(cells)


def _unspaced(record: Record) -> Record:
    return replace(record, cells=[*record.cells[:1], *(cell.removeprefix(" ") for cell in record.cells[1:])])


@dataclass(frozen=True, slots=True)
class _Dialect:
    """A way of writing cells: replacements in the text before parsing, and in the cells afterwards."""

    before: Callable[[str], str] = str
    after: Callable[[str], str] = str
    kind: str = ""
    message: str = ""


_SINGLE_QUOTED = re.compile(r"'(?:[^']|'')+'([,;\t|])'(?:[^']|'')+'(?:\1|\r|\n|$)")
_CURLY_QUOTED = re.compile(r"[“„][^“”]*[”“][,;\t|][“„]")
_SWAPPED = str.maketrans("'\"", "\"'")
_ESCAPED_LINE_END = re.compile(r"\\\r?\n")
_LINE_END_INSIDE, _BACKSLASH = "\ue000", "\ue001"  # placeholders while records are parsed
_DATABASE_ESCAPES = {r"\n": "\n", r"\t": "\t", r"\r": "\r", _LINE_END_INSIDE: "\n", _BACKSLASH: "\\"}


def _dialect(text: str) -> _Dialect:
    if (quoted := _SINGLE_QUOTED.match(text)) and _is_whole(text.translate(_SWAPPED), quoted[1]):
        message = "The cells are in single quotes; the file was read that way."
        return _Dialect(lambda text: text.translate(_SWAPPED), lambda cell: cell.translate(_SWAPPED), "quotes", message)
    is_free = "\t" in text and not re.search(r'(?:^|[\t,;|])"|[\ue000\ue001]', text, re.MULTILINE)
    if is_free and _ESCAPED_LINE_END.search(text):
        message = "Line breaks in texts are escaped with a backslash, as databases do; the file was read that way."
        return _Dialect(_hide_escapes, _resolve_escapes, "backslash-escapes", message)
    return _Dialect()


def _is_whole(text: str, delimiter: str) -> bool:
    """Return whether all records can be read and have several cells."""
    return all(one.problem is None and len(one.cells) > 1 for one in records_of(text, delimiter, escape=False))


def _hide_escapes(text: str) -> str:
    return _ESCAPED_LINE_END.sub(_LINE_END_INSIDE, text.replace("\\\\", _BACKSLASH))


def _resolve_escapes(cell: str) -> str:
    return re.sub(r"\\[ntr]|[\ue000\ue001]", lambda match: _DATABASE_ESCAPES[match[0]], "" if cell == r"\N" else cell)


def _dialect_notes(dialect: _Dialect, text: str, even: _EvenRows) -> Iterator[DataProblem]:
    if dialect.kind:
        yield warning(dialect.kind, dialect.message)
    elif _CURLY_QUOTED.match(text):
        is_broken = bool(even.refused) or any(map(_has_open_curly, even.rows))
        message = "The cells are in curly quotes (“ ”), which are read as text; replace them with straight ones."
        yield DataProblem("curly-quotes", message, Level.ERROR if is_broken else Level.WARNING)
    elif (row := next((row for row in even.rows if _has_escapes(row)), None)) is not None and "\t" in text:
        message = "contains the two characters \\n, which databases write for a line break; they were kept."
        yield warning("backslash-escapes", message, row=row.number)


def _has_open_curly(row: Row) -> bool:
    texts = [cell.strip() for cell in row.cells if isinstance(cell, str)]
    return any(text.startswith(("“", "„")) and not text.endswith(("”", "“")) for text in texts)


def _has_escapes(row: Row) -> bool:
    return any(isinstance(cell, str) and re.search(r"(?<!\\)\\n(?![A-Za-z]*\\)", cell) for cell in row.cells)


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the file looks like when split at `delimiter`."""

    delimiter: str
    known_names: int  # usual names in the header, at most 2
    fit: float  # share of the records that fit the width of the table
    prose: float  # share of the separators that look like punctuation or a decimal comma
    first_rows: tuple[tuple[str, ...], ...]

    @property
    def score(self) -> float:
        return self.fit - self.prose / 2


def _find_delimiter(text: str) -> tuple[str, list[DataProblem]]:
    """Return the delimiter that fits the file best ("" for a single column), and any doubts about it."""
    shapes = [shape for delimiter in DELIMITERS if (shape := _shape(text, delimiter)) is not None]
    if not shapes:
        return "", _unsplit_problems(text)
    best = max(shapes, key=lambda shape: (shape.known_names, shape.score))
    rivals = [
        shape
        for shape in shapes
        if shape.known_names == best.known_names
        and min(shape.fit, best.fit) >= _QUESTION_FIT
        and abs(shape.score - best.score) <= _QUESTION_DISTANCE
    ]
    if len(rivals) > 1:
        return best.delimiter, [_question([best, *(shape for shape in rivals if shape is not best)])]
    if best.prose == 1 and best.delimiter == "," and not best.known_names and _has_prose(best):
        message = "Every comma is followed by a space, as in sentences; each was read as the end of a cell."
        return best.delimiter, [warning("guessed-delimiter", message, option="delimiter")]
    return best.delimiter, []


_UNUSUAL = "^~:#=/\x01\x1f"
_COLUMNS_OF_BLANKS = re.compile(r"\S {2,}\S")


def _unsplit_problems(text: str) -> list[DataProblem]:
    """Return what probably separates the cells if none of the usual delimiters does."""
    lines = [line for line in text[:_SAMPLE_CHARACTERS].splitlines() if line.strip()][:_SAMPLE_RECORDS]
    for delimiter in _UNUSUAL if len(lines) > 1 else "":
        count, rows = Counter(line.count(delimiter) for line in lines).most_common(1)[0]
        if count and rows >= _QUESTION_FIT * len(lines):
            times = "once" if count == 1 else f"{count} times"
            message = f"No tab, comma, semicolon or bar separates cells, but each row contains {delimiter!r} {times}. "
            shown = tuple(tuple(printable(cell) for cell in line.split(delimiter)) for line in lines[:_SHOWN_ROWS])
            readings = (Reading(delimiter, shown),)
            return [DataProblem("no-delimiter", message + "Name the delimiter.", option="delimiter", readings=readings)]
    if len(lines) > 1 and sum(map(bool, map(_COLUMNS_OF_BLANKS.search, lines))) >= _QUESTION_FIT * len(lines):
        return [DataProblem("no-delimiter", "The columns seem to be separated by spaces; save the table as CSV.")]
    return []


def _shape(text: str, delimiter: str) -> _Shape | None:
    sample = text[:_SAMPLE_CHARACTERS]
    records = list(islice(records_of(sample, delimiter, escape=False), _SAMPLE_RECORDS))
    if len(records) > 1 and len(sample) < len(text):
        records.pop()  # may have been cut off
    filled = [record for record in records if record.problem or is_filled(record.cells)]
    width = _table_width(filled)
    if width < 2:
        return None
    begin = next(place for place, record in enumerate(filled) if _width(record) >= 2)
    table = filled[begin:]
    known = min(2, sum(map(is_known_name, table[0].cells)))
    titles = min(begin, _MAX_TITLES, len(filled) // 3)
    fit = sum(_fit(record, width) for record in table) / (len(filled) - titles)
    if fit < _LEAST_FIT and not known:
        return None
    rows = tuple(tuple(printable(cell[:_SHOWN_CHARACTERS]) for cell in record.cells) for record in table[:_SHOWN_ROWS])
    return _Shape(delimiter, known, fit, _prose_share(sample, delimiter), rows)


def _table_width(records: Sequence[Record]) -> int:
    """
    Return the number of columns: that of the header if it has a usual name, else that of most rows.

    The first row with several cells is the header, or at least as wide; other rows are narrower only if cells at the
    end are missing.
    """
    widths = [_width(record) for record in records if _width(record) >= 2]
    if not widths:
        return 1
    header = next(record for record in records if _width(record) >= 2)
    most = Counter(widths[1:] or widths).most_common(1)[0][0]
    if any(map(is_known_name, header.cells)) and not _has_row_names(records, header):
        return max(widths[0], min(len(header.cells), most))
    return max(widths[0], most)


def _has_row_names(records: Sequence[Record], header: Record) -> bool:
    """Return whether the rows begin with a number that has no cell in the header, as in files written by R."""
    rows = [record.cells for record in records if record is not header and record.problem is None and record.cells]
    return bool(rows) and all(
        len(cells) == len(header.cells) + 1 and cells[0] == str(number) for number, cells in enumerate(rows, start=1)
    )


def _width(record: Record) -> int:
    """Return the number of cells without the empty ones at the end; 0 for a record that cannot be read."""
    return next((place for place in range(len(record.cells), 0, -1) if is_filled(record.cells[place - 1 : place])), 0)


def _fit(record: Record, width: int) -> float:
    if record.problem is not None or _width(record) > width or len(record.cells) < 2:
        return 0.0
    return 1.0 if len(record.cells) >= width else 0.8  # cells at the end are missing


def _prose_share(sample: str, delimiter: str) -> float:
    """Return the share of delimiters outside quotes that could belong to a sentence or a number, 0 to 1."""
    if delimiter not in ",;":
        return 0.0
    plain = re.sub('"[^"]*"', '""', sample)
    prose = re.compile(rf"{delimiter} (?=[^\s\"])" + (r"|(?<=\d),(?=\d)" if delimiter == "," else ""))
    return len(prose.findall(plain)) / max(1, plain.count(delimiter))


def _has_prose(shape: _Shape) -> bool:
    return any(cell.startswith(" ") for row in shape.first_rows for cell in row[1:])


def _question(shapes: Sequence[_Shape]) -> DataProblem:
    names = [_NAMES.get(shape.delimiter, repr(shape.delimiter)) for shape in shapes]
    rows = [" and ".join(map(repr, shape.first_rows[0][:2])) for shape in shapes]
    both = ", or ".join(f"{row} ({name})" for row, name in zip(rows, names, strict=True))
    message = f"The file can be split in two ways: the first row is {both}. Name the delimiter."
    readings = tuple(Reading(shape.delimiter, shape.first_rows) for shape in shapes)
    return DataProblem("ambiguous-delimiter", message, option="delimiter", readings=readings)


@dataclass(frozen=True, slots=True)
class _EvenRows:
    """Rows of the same width, and the rows that could not be read."""

    rows: list[Row]
    problems: list[DataProblem]
    refused: tuple[Row, ...]


def _even_rows(records: list[Record], delimiter: str) -> _EvenRows:
    """
    Give all rows the same width; a row that is too wide, or a piece of a row, becomes a problem.

    Single-cell lines above the table are kept for finding the header; comments among them are left out.
    """
    width = _table_width(records)
    header = next((record for record in records if _width(record) >= 2), None)
    most = Counter(len(record.cells) for record in records).most_common(1)[0][0] if records else 0
    rows: list[Row] = []
    ragged: list[Record] = []
    wrong: list[Record] = []
    short: list[int] = []
    comments: list[int] = []
    has_begun = False
    if header is not None and len(header.cells) < width and _has_row_names(records, header):
        records = [replace(one, cells=["", *one.cells]) if one is header else one for one in records]
    for record in records:
        has_begun |= len(record.cells) >= 2 or width < 2
        if record.problem is not None:
            wrong.append(record)
        elif not has_begun and record.cells[0].startswith("#"):
            comments.append(record.number)
        elif _width(record) > width or (has_begun and len(record.cells) < min(2, width)):
            ragged.append(record)
        elif record is header and len(record.cells) < width and most >= width:
            ragged.append(record)  # a title, or names with a delimiter in the text; there is no way to tell which
        else:
            rows.append(Row(record.number, _padded(record.cells, width)))
            if has_begun and len(record.cells) < width:
                short.append(record.number)
    problems = [*_comment_note(comments), *_short_note(short, width), *_quote_problems(wrong, len(records))]
    problems += _ragged_problems(ragged, len(records), width, delimiter)
    numbered = {(one.problem and one.problem.row) or one.number: tuple(one.cells) for one in (*wrong, *ragged)}
    return _EvenRows(rows, problems, tuple(Row(number, cells) for number, cells in numbered.items()))


def _padded(cells: list[str], width: int) -> tuple[str | None, ...]:
    return (*cells[:width], *[None] * (width - len(cells)))


def _comment_note(numbers: Sequence[int]) -> Iterator[DataProblem]:
    if numbers:
        which = f"Row {numbers[0]} begins" if len(numbers) == 1 else f"Rows {numbers[0]} to {numbers[-1]} begin"
        yield warning(
            "comment-rows", f"{which} with # and {'was' if len(numbers) == 1 else 'were'} skipped as a comment."
        )


def _short_note(numbers: Sequence[int], width: int) -> Iterator[DataProblem]:
    if numbers:
        which = f"Row {numbers[0]} has" if len(numbers) == 1 else f"{len(numbers):,} rows have"
        first = "" if len(numbers) == 1 else f" The first is row {numbers[0]}."
        message = f"{which} fewer than {width} cells; the missing ones at the end count as empty.{first}"
        yield warning("short-rows", message)


def _is_one_cause(affected: int, records: int) -> bool:
    """Return whether so many rows have the same problem that it is reported once for the whole file."""
    return affected > 3 and 3 * affected > records


def _quote_problems(wrong: Sequence[Record], records: int) -> Iterator[DataProblem]:
    problems = [record.problem for record in wrong if record.problem is not None]
    if not _is_one_cause(len(problems), records):
        yield from problems
        return
    is_given_up = problems[-1].kind == "too-many-quotes"
    which = f"At least {len(problems) - 1:,} rows" if is_given_up else f"{len(problems):,} of {records:,} rows"
    message = (
        f"{which} have a quote in the middle of a cell (first: row {problems[0].row}). "
        f"{'The rest of the file was not read. ' if is_given_up else ''}"
        "Double the quotes that are part of a text; if the cells end elsewhere, name the delimiter."
    )
    yield DataProblem("stray-quotes", message, actual=len(problems) - is_given_up, option="delimiter")


def _ragged_problems(ragged: Sequence[Record], records: int, width: int, delimiter: str) -> Iterator[DataProblem]:
    if not _is_one_cause(len(ragged), records):
        yield from (_ragged(record.number, len(record.cells), width, delimiter) for record in ragged)
        return
    name = _NAMES.get(delimiter, delimiter)
    wider = sum(len(record.cells) > width for record in ragged)
    if 2 * wider > len(ragged):
        cause = f"Put texts that contain a {name} in double quotes, or name another delimiter."
    else:
        cause = "Put texts with line breaks in double quotes."
    message = f"{len(ragged):,} of {records:,} rows do not have {width} cells (first: row {ragged[0].number}). {cause}"
    yield DataProblem("ragged-rows", message, limit=width, actual=len(ragged), option="delimiter" if wider else None)


def _ragged(number: int, actual: int, width: int, delimiter: str) -> DataProblem:
    advice = (
        f" Put a cell that contains a {_NAMES.get(delimiter, delimiter)} in double quotes." if actual > width else ""
    )
    message = f"{actual} {'cell' if actual == 1 else 'cells'}, expected {width}.{advice}"
    return DataProblem("ragged-row", message, row=number, limit=width, actual=actual)


# Parsing continues on the line after a wrong quote, which may mean scanning the rest of the file each time.
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
    """Parse doubled quotes; if that fails because quotes are escaped with backslashes, parse those."""
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
        message = (
            f"the quote opened in line {opened} is never closed. Close it, or double it if it is part of the text."
        )
        return DataProblem("unclosed-quote", message, row=opened)
    closed = line + _count_lines(text, record_start, error.closed_at)
    message = f"the quote opened in line {opened} closes in line {closed}, in the middle of a cell. "
    return DataProblem("stray-quote", message + "Double the quotes that are part of the text.", row=opened)


def _count_lines(text: str, start: int, stop: int) -> int:
    return text.count("\n", start, stop) + text.count("\r", start, stop) - text.count("\r\n", start, stop)


def is_filled(cells: list[str]) -> bool:
    """Return whether any cell contains more than whitespace."""
    return any(cell and not cell.isspace() for cell in cells)
