"""
Bytes of a file to a table: recognises the format by content and calls its reader.

The name of the file decides only what the content leaves open. It knows nothing of columns or examples.
"""

from __future__ import annotations

from pathlib import Path

from tunery.engine.data.delimited import read_delimited
from tunery.engine.data.json_records import read_json, read_jsonl
from tunery.engine.data.json_text import looks_like_json
from tunery.engine.data.tables import Table, TableOptions, invalid
from tunery.engine.data.text_encoding import decode
from tunery.errors import InvalidArgument, NotFound
from tunery.types import MAX_DATASET_BYTES

# Beginnings of files that people take for tables.
_OTHER_FORMATS = (
    (b"%PDF", "a PDF file"),
    (b"\x89PNG", "a picture (PNG)"),
    (b"\xff\xd8\xff", "a picture (JPEG)"),
    (b"GIF8", "a picture (GIF)"),
    (b"\x1f\x8b", "a gzip file; unpack it first"),
    (b"BZh", "a bzip2 file; unpack it first"),
    (b"\xfd7zXZ", "an xz file; unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd file; unpack it first"),
    (b"PAR1", "a Parquet file; save it as CSV or JSONL"),
    (b"SQLite format 3", "a SQLite database; export the table as CSV"),
    (b"{\\rtf", "an RTF document; save the table as CSV"),
)
_NOTHING = " \t\r\n,;|"  # blank lines and rows without any cell
_SAMPLE_CHARACTERS = 4096
_MAX_SHARE_OF_CONTROLS = 0.1  # a few are an accident of one cell, which is then named
_OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def read_table(path: str | Path, options: TableOptions, name: str | None = None) -> Table:
    """
    Read the file at `path`; `name` is what the user calls it.

    Raises NotFound, InvalidArgument when it cannot be opened, and DatasetInvalid when it is no table.
    """
    path = Path(path)
    data = _bytes(path)
    suffix = Path(name or path).suffix.lower()
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06", _OLE2)):
        _refuse_options("A workbook", encoding=options.encoding, delimiter=options.delimiter)
        from tunery.engine.data.workbooks import read_workbook

        return read_workbook(data, options)
    _refuse_other_formats(data)
    _refuse_options("A text file", sheet=options.sheet)
    decoded = decode(data, options.encoding)
    if not decoded.text.strip(_NOTHING):
        raise invalid("empty-file", "The file is empty.")
    _refuse_binary(decoded.text)
    form = None if options.delimiter else looks_like_json(decoded.text, suffix)
    if form is None:
        return read_delimited(decoded, options)
    _refuse_options("JSON", header=options.header)
    return read_jsonl(decoded) if form == "jsonl" else read_json(decoded)


def _bytes(path: Path) -> bytes:
    if not path.exists():
        raise NotFound(f"There is no file {str(path)!r}.")
    if not path.is_file():  # a device or a pipe might never end
        raise InvalidArgument(f"{str(path)!r} is not a file.")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_DATASET_BYTES + 1)
            size = len(data) if len(data) <= MAX_DATASET_BYTES else path.stat().st_size
    except OSError as error:
        raise InvalidArgument(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    if size > MAX_DATASET_BYTES:
        raise invalid(
            "too-large",
            f"The file has {size:,} bytes, limit {MAX_DATASET_BYTES:,}.",
            limit=MAX_DATASET_BYTES,
            actual=size,
        )
    return data


def _refuse_other_formats(data: bytes) -> None:
    for start, what in _OTHER_FORMATS:
        if data.startswith(start):
            raise invalid("not-a-table", f"This is {what}. CSV, TSV, XLSX, XLS, ODS, JSONL and JSON can be read.")


def _refuse_options(what: str, **given: object) -> None:
    """Say so when an option has no meaning for this format."""
    for name, value in given.items():
        if value is not None:
            raise InvalidArgument(f"{what} has no {name} that could be chosen.")


def _refuse_binary(text: str) -> None:
    sample = text[:_SAMPLE_CHARACTERS]
    controls = sum(character < " " and character not in "\t\n\r\f\v" for character in sample)
    if controls > _MAX_SHARE_OF_CONTROLS * len(sample):
        raise invalid("not-a-table", "This is not a text file. CSV, TSV, XLSX, XLS, ODS, JSONL and JSON can be read.")
