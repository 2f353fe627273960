"""
Structured prompts on the wire (extension): a preamble, columns with a prefix each, rows of texts.

Conversion from and to what is kept happens here, and to the files of AI Studio, whose prompts these are. A page that
makes a tuned model keeps its other settings beside the rows (`tuning`); nothing looks into them.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from tunery.data.prompts import PromptColumn, StructuredPrompt
from tunery.data.tables import MAX_COLUMNS, Cell, Row
from tunery.errors import InvalidArgument
from tunery.server.wire.base import Incoming, Message, StrictIncoming, Timestamp
from tunery.service.requests import Prompt

MAX_TUNING_CHARACTERS = 20_000

Document = dict[str, Any]
DOCUMENT_FIELDS = ("preamble", "columns", "rows", "test_rows", "tuning")


class PromptColumnIn(StrictIncoming):
    """A column; `prefix` stands before each of its texts, such as "input:"."""

    prefix: str = ""
    is_input: bool = False


class PromptRowIn(StrictIncoming):
    """A row: a text for each column, in their order; what is missing is empty."""

    cells: Annotated[list[str], Field(max_length=MAX_COLUMNS)] = Field(default_factory=list)


class PromptIn(StrictIncoming):
    """A prompt to be kept or changed; output-only fields are read over."""

    name: str | None = None
    display_name: str | None = None
    preamble: str | None = None
    columns: Annotated[list[PromptColumnIn] | None, Field(max_length=MAX_COLUMNS)] = None
    rows: list[PromptRowIn] | None = None
    test_rows: list[PromptRowIn] | None = None
    tuning: dict[str, Any] | None = None
    row_count: Any = None
    create_time: Any = None
    update_time: Any = None


class PromptFileIn(Incoming):
    """A file of AI Studio as it lies in Google Drive, whatever else stands in it."""

    model_config = ConfigDict(extra="allow")


class PromptColumnOut(Message):
    """A column."""

    prefix: str
    is_input: bool


class PromptRowOut(Message):
    """A row: a text for each column."""

    cells: list[str]


class PromptOut(Message):
    """A structured prompt; lists leave out `rows` and `testRows`."""

    name: str
    display_name: str
    preamble: str
    columns: list[PromptColumnOut]
    row_count: int
    rows: list[PromptRowOut] | None
    test_rows: list[PromptRowOut] | None
    tuning: Annotated[dict[str, Any] | None, Field(description="Settings of the page that tunes; kept as they came.")]
    create_time: Timestamp
    update_time: Timestamp


class PromptsPage(Message):
    """A page of prompts."""

    prompts: list[PromptOut] | None
    next_page_token: str | None


def document_of(body: PromptIn) -> Document:
    """Return the parts of a document that a body has; raises InvalidArgument for settings that are too long."""
    if body.tuning is not None and len(json.dumps(body.tuning)) > MAX_TUNING_CHARACTERS:
        raise InvalidArgument(f"tuning may have {MAX_TUNING_CHARACTERS:,} characters as JSON.")
    parts: Document = {
        "preamble": body.preamble,
        "columns": None if body.columns is None else [column.model_dump(by_alias=False) for column in body.columns],
        "rows": None if body.rows is None else [row.cells for row in body.rows],
        "test_rows": None if body.test_rows is None else [row.cells for row in body.test_rows],
        "tuning": body.tuning,
    }
    return {name: value for name, value in parts.items() if value is not None}


def imported(prompt: StructuredPrompt) -> Document:
    """Return a prompt that was read from a file as it is kept; a cell that is no text is left empty."""
    return {
        "preamble": prompt.preamble,
        "columns": [{"prefix": column.prefix, "is_input": column.is_input} for column in prompt.columns],
        "rows": [[_text(cell) for cell in row.cells] for row in prompt.rows],
    }


def structured_prompt_of(document: Document) -> StructuredPrompt:
    """Return what is kept as the value that makes examples; rows without any text are left out."""
    columns = tuple(
        PromptColumn(f"c{place}", column["prefix"], column["is_input"])
        for place, column in enumerate(_columns(document))
    )
    rows = enumerate(_rows(document, "rows"), start=1)
    cells = ((number, tuple(text or None for text in row)) for number, row in rows)
    return StructuredPrompt(
        document.get("preamble", ""), columns, tuple(Row(number, row) for number, row in cells if any(row))
    )


def aistudio_file(document: Document) -> dict[str, Any]:
    """Return a prompt as AI Studio keeps structured prompts in files (public in LangChain.js, its MakerSuite hub)."""
    columns = _columns(document)

    def bindings(row: list[str]) -> dict[str, str]:
        return {f"c{place}": text for place, text in enumerate(row) if text}

    rows = [
        {"rowId": f"r{place}", "columnBindings": bindings(row)} for place, row in enumerate(_rows(document, "rows"))
    ]
    return {
        "dataPrompt": {
            "preamble": document.get("preamble", ""),
            "columns": [
                {"columnId": f"c{place}", "displayName": column["prefix"], "isInput": column["is_input"]}
                for place, column in enumerate(columns)
            ],
            "rows": rows,
            "rowsUsed": [row["rowId"] for row in rows],
        },
        "runSettings": {},
        "testExamples": [
            {"testExampleId": f"t{place}", "inputBindings": bindings(row)}
            for place, row in enumerate(_rows(document, "test_rows"))
        ],
    }


def prompt_out(prompt: Prompt, *, with_rows: bool = True) -> PromptOut:
    """Return a prompt as the API shows it."""
    document = prompt.document

    def shown(name: str) -> list[PromptRowOut] | None:
        return [PromptRowOut(cells=row) for row in _rows(document, name)] if with_rows else None

    return PromptOut(
        name=f"prompts/{prompt.id}",
        display_name=prompt.display_name,
        preamble=document.get("preamble", ""),
        columns=[PromptColumnOut(**column) for column in _columns(document)],
        row_count=len(document.get("rows", ())),
        rows=shown("rows"),
        test_rows=shown("test_rows"),
        tuning=document.get("tuning"),
        create_time=prompt.create_time,
        update_time=prompt.update_time,
    )


def _columns(document: Document) -> list[dict[str, Any]]:
    return list(document.get("columns", ()))


def _rows(document: Document, name: str) -> list[list[str]]:
    """Return rows as wide as there are columns."""
    width = len(_columns(document))
    return [[*row[:width], *[""] * (width - len(row))] for row in document.get(name, ())]


def _text(cell: Cell) -> str:
    return cell if isinstance(cell, str) else ""
