"""
What is found out about a sheet before it is read: how far it reaches, and which cells have no value.

The reader of workbooks lays a sheet out as a full rectangle and copies every text, and it shows a formula without
a stored value, or an error such as #N/A, as an empty cell. So `xlsx_scan` and `ods_scan` measure first.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from xml.parsers import expat

from tunery.engine.data.tables import MAX_CELLS, MAX_ROWS, invalid

# One long text in the table of shared strings can stand in every cell.
MAX_TEXT_CHARACTERS = 64 * 1024 * 1024

Attributes = dict[str, str]


@dataclass(slots=True)
class SheetScan:
    """Cells without a usable value, by row and column counted from 0: the formula or error that stands there."""

    formulas: set[tuple[int, int]] = field(default_factory=set)
    errors: dict[tuple[int, int], str] = field(default_factory=dict)
    cells: int = 0
    rows: int = 0
    columns: int = 0
    characters: int = 0

    def count(self, row: int, column: int, characters: int, times: int = 1) -> None:
        """Take a filled cell into account, last of a block of `times`. Raises DatasetInvalid over the limits."""
        self.rows, self.columns = max(self.rows, row + 1), max(self.columns, column + 1)
        self.cells += times
        self.characters += characters * times
        if self.rows > MAX_ROWS + 1:
            message = f"The sheet reaches to row {self.rows:,} or further, limit {MAX_ROWS + 1:,}."
            raise invalid("too-many-rows", message, limit=MAX_ROWS + 1, actual=self.rows)
        area = max(self.cells, self.rows * self.columns)
        if area > MAX_CELLS:
            message = f"The sheet spans {self.rows:,} rows and {self.columns:,} columns, limit {MAX_CELLS:,} cells."
            raise invalid("too-many-cells", message, limit=MAX_CELLS, actual=area)
        if self.characters > MAX_TEXT_CHARACTERS:
            message = f"The sheet holds more than {MAX_TEXT_CHARACTERS:,} characters."
            raise invalid("too-much-text", message, limit=MAX_TEXT_CHARACTERS, actual=self.characters)


def parse_xml(
    data: bytes,
    start: Callable[[str, Attributes], None] | None = None,
    end: Callable[[str], None] | None = None,
    text: Callable[[str], None] | None = None,
) -> None:
    """
    Parse XML; elements come with their local names, attributes with "namespace name".

    Raises DatasetInvalid when it is no XML. Document types are refused: entities can grow without bound.
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    if start is not None:
        parser.StartElementHandler = lambda name, attributes: start(local(name), attributes)
    if end is not None:
        parser.EndElementHandler = lambda name: end(local(name))
    if text is not None:
        parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = _refuse_document_type
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as error:  # LookupError: an encoding that does not exist
        raise invalid("damaged-workbook", "The workbook is damaged. Save it again.") from error


@functools.lru_cache(maxsize=256)  # a sheet has a million elements of five names
def local(name: str) -> str:
    """Return the name without its namespace."""
    return name.rpartition(" ")[2]


def _refuse_document_type(*_: object) -> None:
    raise ValueError("document type")
