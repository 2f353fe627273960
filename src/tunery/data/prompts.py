"""
Reads structured prompts of Google AI Studio (formerly MakerSuite) into a table of examples.

Such a file has a preamble, columns with a prefix each ("input:"), and rows. The model's input is the preamble and a
line "prefix value" for each input column; later calls must use the same format. AI Studio's other prompts (freeform,
chat) contain no examples and are refused with an error that names their kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from tunery.data.tables import BadCell, Cell, Row, Table, check_extent, column_name, invalid

# The names that the object with the rows has had over the years; the types are public in LangChain.js (MakerSuite hub).
_STRUCTURED = ("dataPrompt", "structuredPrompt", "multimodalDataPrompt")
_OTHERS = {
    "textPrompt": "a freeform prompt",
    "freeformPrompt": "a freeform prompt",
    "multimodalFreeformPrompt": "a freeform prompt",
    "multiturnPrompt": "a chat prompt",
    "chunkedPrompt": "a chat prompt",
}


@dataclass(frozen=True, slots=True)
class PromptColumn:
    """A column of a structured prompt; `prefix` precedes each of its values, such as "input:"."""

    id: str
    prefix: str
    is_input: bool


@dataclass(frozen=True, slots=True)
class StructuredPrompt:
    """A preamble, columns, and rows of cells in column order; rows without text are left out."""

    preamble: str
    columns: tuple[PromptColumn, ...]
    rows: tuple[Row, ...]

    def text_input(self, row: Row) -> Cell:
        """Return the model's input for a row; None if no input column has text."""
        cells = [(column, cell) for column, cell in zip(self.columns, row.cells, strict=True) if column.is_input]
        for _, cell in cells:
            if isinstance(cell, BadCell):
                return cell
        lines = [f"{column.prefix} {cell}".strip() for column, cell in cells if cell]
        return "\n".join([*([self.preamble] if self.preamble else []), *lines]) if lines else None

    def table(self) -> Table:
        """Return the examples: `text_input` and `output`, or one column per prefix if there are several outputs."""
        outputs = [place for place, column in enumerate(self.columns) if not column.is_input]
        prefixes = [self.columns[place].prefix for place in outputs] if len(outputs) > 1 else ["output"]
        names = _distinct(["text_input", *map(_plain, prefixes)])
        rows = tuple(
            Row(row.number, (self.text_input(row), *(row.cells[place] for place in outputs))) for row in self.rows
        )
        return Table("aistudio", names, rows)


def structured_prompt(value: object) -> StructuredPrompt | None:
    """
    Return the structured prompt in the JSON of a file, None if it is not a prompt of AI Studio.

    Raises DatasetInvalid for other kinds of prompts and if there is no input or no output column.
    """
    if not isinstance(value, Mapping):
        return None
    prompt = next((value[name] for name in _STRUCTURED if isinstance(value.get(name), Mapping)), None)
    if prompt is None:
        _refuse_others(value)
        return None
    columns = tuple(_columns(_listed(prompt, "columns")))
    if len({column.is_input for column in columns}) < 2:
        raise invalid("wrong-json", "The structured prompt needs an input column and an output column.")
    given = _listed(prompt, "rows")
    check_extent(len(given), len(columns))
    rows = [Row(number, _cells(row, columns)) for number, row in enumerate(given, start=1)]
    filled = tuple(row for row in rows if any(row.cells))
    return StructuredPrompt(_preamble(value, prompt), columns, filled)


def _refuse_others(value: Mapping[str, Any]) -> None:
    for name, what in _OTHERS.items():
        if isinstance(value.get(name), Mapping):
            message = f"This is {what} of AI Studio; only structured prompts hold rows of inputs and outputs."
            raise invalid("wrong-json", message)


def _listed(prompt: Mapping[str, Any], name: str) -> list[Any]:
    found = prompt.get(name) or []
    if not isinstance(found, list):
        raise invalid("wrong-json", f"The {name} of the structured prompt are not a list.")
    return found


def _columns(given: Iterable[object]) -> Iterable[PromptColumn]:
    for number, column in enumerate(given, start=1):
        if not isinstance(column, Mapping) or not isinstance(id := column.get("columnId", column.get("id")), str):
            raise invalid("wrong-json", f"Column {number} of the structured prompt has no columnId.")
        prefix = column.get("displayName")
        yield PromptColumn(id, prefix.strip() if isinstance(prefix, str) else "", column.get("isInput") is True)


def _cells(row: object, columns: Iterable[PromptColumn]) -> tuple[Cell, ...]:
    bindings = row.get("columnBindings") if isinstance(row, Mapping) else None
    if not isinstance(bindings, Mapping):
        return tuple(BadCell("wrong-record", "the row has no columnBindings.") for _ in columns)
    return tuple(_cell(bindings.get(column.id)) for column in columns)


def _cell(value: object) -> Cell:
    """Return the text of a cell or of its parts; a blank cell is None."""
    if isinstance(value, Mapping):
        parts = value.get("parts", [value])
        listed = parts if isinstance(parts, list) else []
        texts = [part["text"] for part in listed if isinstance(part, Mapping) and isinstance(part.get("text"), str)]
        value = "".join(texts) if texts and len(texts) == len(listed) else value
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    return str(value) if isinstance(value, str) else BadCell("not-text", "something other than text.")


def _preamble(value: Mapping[str, Any], prompt: Mapping[str, Any]) -> str:
    """Return the preamble; newer files may store it as the system instruction."""
    texts = (_cell(prompt.get("preamble")), _cell(value.get("systemInstruction") or None))
    return next((text.strip() for text in texts if isinstance(text, str)), "")


def _plain(prefix: str) -> str:
    return column_name(prefix.removesuffix(":")) or "output"


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    """Number repeated names: "output", "output 2"."""
    found: list[str] = []
    for name in names:
        numbered = (f"{name} {number}" for number in count(2))
        found.append(name if name not in found else next(other for other in numbered if other not in found))
    return tuple(found)
