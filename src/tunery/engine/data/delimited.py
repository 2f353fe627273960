"""
CSV and TSV to a table: finds the delimiter and names the rows that are not as wide as the first one.

It knows nothing of encodings or of what the columns mean; quotes are `csv_records`' subject.
"""

from __future__ import annotations

import re
from itertools import islice

from tunery.engine.data.csv_records import Record, is_filled, parse_records, records_of
from tunery.engine.data.headers import is_known_name, name_columns
from tunery.engine.data.tables import Row, Table, TableOptions
from tunery.engine.data.text_encoding import DecodedText
from tunery.errors import InvalidArgument
from tunery.problems import DataProblem

# On a tie the one that is rarer in running text wins: a comma stands in most sentences.
DELIMITERS = ("\t", "|", ";", ",")

_SAMPLE_CHARACTERS = 256 * 1024
_SAMPLE_RECORDS = 200
_LEAST_SHARE = 0.5  # of the records must be as wide as the first, if no usual name is in the header
_EXCEL_HINT = re.compile(r"sep=(.)(?:\r\n|\n|\r|$)")


def read_delimited(decoded: DecodedText, options: TableOptions) -> Table:
    """
    Return the table in `decoded`.

    Ragged rows and wrong quotes become problems of the table. Raises DatasetInvalid when there are too many rows.
    """
    text, delimiter = decoded.text, options.delimiter
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise InvalidArgument(f"The delimiter must be one character, not {delimiter!r}.")
    hint = _EXCEL_HINT.match(text)
    if hint is not None:  # a line for Excel that Excel does not show, so it has no row number
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
    """Return the rows that are as wide as the first one, and a problem for each that is not."""
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
