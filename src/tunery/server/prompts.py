"""
Structured prompts (extension): stored, listed, changed, deleted; imported from and exported to files of AI Studio.

A prompt is visible only to its owner. The rules are in `service/library.py`.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_snake
from starlette.responses import Response

from tunery.data.json_text import json_line
from tunery.data.prompts import PromptColumn, StructuredPrompt, structured_prompt
from tunery.data.tables import MAX_COLUMNS, MAX_ROWS, Cell, Row, csv_text
from tunery.errors import InvalidArgument
from tunery.server.http import ApiRouter, JsonReply, ServicesOf
from tunery.server.security import CallerOf, holds, needs
from tunery.server.shares import Places
from tunery.server.wire.messages import Incoming, Message, StrictIncoming, Timestamp
from tunery.service import tuning
from tunery.service.access import Action
from tunery.service.tuning import Prompt
from tunery.types import MAX_DATASET_BYTES

MAX_TUNING_CHARACTERS = 20_000
# Reading and writing 4 MiB takes 100 MB of memory for a moment.
DOCUMENTS = Places("structured prompts are being read or written", size=4, line=64)

Document = dict[str, Any]
DOCUMENT_FIELDS = ("preamble", "columns", "rows", "test_rows", "tuning")


class PromptColumnIn(StrictIncoming):
    """A column; `prefix` is put before each of its texts, such as "input:"."""

    prefix: str = ""
    is_input: bool = False


class PromptRowIn(StrictIncoming):
    """A row: one text per column, in order; missing texts are empty."""

    cells: list[str] = Field(default_factory=list, max_length=MAX_COLUMNS)


class PromptIn(StrictIncoming):
    """A prompt to store or change; output-only fields are ignored."""

    max_bytes = MAX_DATASET_BYTES

    name: str | None = None
    display_name: str | None = None
    preamble: str | None = None
    columns: list[PromptColumnIn] | None = Field(default=None, max_length=MAX_COLUMNS)
    rows: list[PromptRowIn] | None = Field(default=None, max_length=MAX_ROWS)
    test_rows: list[PromptRowIn] | None = Field(default=None, max_length=MAX_ROWS)
    tuning: dict[str, Any] | None = None
    row_count: Any = None
    create_time: Any = None
    update_time: Any = None


class PromptFileIn(Incoming):
    """An AI Studio file as stored in Google Drive, with any other fields."""

    model_config = ConfigDict(extra="allow")
    max_bytes = MAX_DATASET_BYTES


class PromptColumnOut(Message):
    """A column."""

    prefix: str
    is_input: bool


class PromptRowOut(Message):
    """A row: one text per column."""

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
    tuning: Annotated[
        dict[str, Any] | None, Field(description="Settings of the tuning page; stored without being read.")
    ]
    create_time: Timestamp
    update_time: Timestamp


class PromptsPage(Message):
    """A page of prompts."""

    prompts: list[PromptOut] | None
    next_page_token: str | None


def document_of(body: PromptIn) -> Document:
    """Return the parts of a document that are set in a body; raises InvalidArgument if `tuning` is too long."""
    if body.tuning is not None and len(json.dumps(body.tuning)) > MAX_TUNING_CHARACTERS:
        raise InvalidArgument(f"tuning takes at most {MAX_TUNING_CHARACTERS:,} characters as JSON.")
    parts: Document = {
        "preamble": body.preamble,
        "columns": None if body.columns is None else [column.model_dump(by_alias=False) for column in body.columns],
        "rows": None if body.rows is None else [row.cells for row in body.rows],
        "test_rows": None if body.test_rows is None else [row.cells for row in body.test_rows],
        "tuning": body.tuning,
    }
    return {name: value for name, value in parts.items() if value is not None}


def imported(prompt: StructuredPrompt) -> Document:
    """Return the document to store for a prompt from a file; cells that are not text become empty."""
    return {
        "preamble": prompt.preamble,
        "columns": [{"prefix": column.prefix, "is_input": column.is_input} for column in prompt.columns],
        "rows": [[_text(cell) for cell in row.cells] for row in prompt.rows],
    }


def structured_prompt_of(document: Document) -> StructuredPrompt:
    """Return a stored document as a value that can be turned into examples; rows without any text are left out."""
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
    """Return a prompt in the file format of AI Studio (public in LangChain.js, its MakerSuite hub)."""
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
        row_count=len(document.get("rows", ())) if prompt.row_count is None else prompt.row_count,
        rows=shown("rows"),
        test_rows=shown("test_rows"),
        tuning=document.get("tuning"),
        create_time=prompt.create_time,
        update_time=prompt.update_time,
    )


def _columns(document: Document) -> list[dict[str, Any]]:
    return list(document.get("columns", ()))


def _rows(document: Document, name: str) -> list[list[str]]:
    """Return rows, padded or truncated to the number of columns."""
    width = len(_columns(document))
    return [[*row[:width], *[""] * (width - len(row))] for row in document.get(name, ())]


def _text(cell: Cell) -> str:
    return cell if isinstance(cell, str) else ""


router = ApiRouter(tags=["prompts (extension)"])

DEFAULT_PAGE_SIZE = 50
UNNAMED = "Untitled prompt"
_PROMPT = "/prompts/{prompt_id:id}"


@router.post("/prompts", name="CreatePrompt", dependencies=[needs(Action.CREATE), holds(DOCUMENTS)])
def create(services: ServicesOf, caller: CallerOf, body: PromptIn) -> PromptOut:
    """Store a structured prompt."""
    return prompt_out(services.library.prompts.create(caller, body.display_name or UNNAMED, document_of(body)))


@router.post("/prompts:import", name="ImportPrompt", dependencies=[needs(Action.CREATE), holds(DOCUMENTS)])
def import_(services: ServicesOf, caller: CallerOf, body: PromptFileIn, display_name: str = UNNAMED) -> PromptOut:
    """Store the structured prompt of an AI Studio file; other kinds of files are refused."""
    found = structured_prompt(body.model_extra)
    if found is None:
        raise InvalidArgument("This is not a structured prompt file: it has no dataPrompt.")
    return prompt_out(services.library.prompts.create(caller, display_name, imported(found)))


@router.get("/prompts", name="ListPrompts", dependencies=[holds(DOCUMENTS)])
def list_(
    services: ServicesOf,
    caller: CallerOf,
    page_size: int | None = None,
    page_token: str | None = None,
    filter: str = "",  # the name of the query parameter
) -> PromptsPage:
    """List the caller's structured prompts, last changed first; `filter` contains words of their names."""
    size, list_key = tuning.page_size(page_size, DEFAULT_PAGE_SIZE), ("prompts", caller.user_id, filter)
    start = tuning.read_page_token(page_token, *list_key) or 0
    found, has_more = services.library.prompts.page(caller, filter, start=start, limit=size)
    return PromptsPage(
        prompts=[prompt_out(prompt, with_rows=False) for prompt in found] or None,
        next_page_token=tuning.page_token(start + len(found), *list_key) if has_more else None,
    )


@router.get(_PROMPT, name="GetPrompt", dependencies=[holds(DOCUMENTS)])
def get(services: ServicesOf, caller: CallerOf, prompt_id: str) -> PromptOut:
    """Return a structured prompt."""
    return prompt_out(services.library.prompts.get(caller, prompt_id))


@router.patch(_PROMPT, name="UpdatePrompt", dependencies=[needs(Action.CREATE), holds(DOCUMENTS)])
def update(
    services: ServicesOf,
    caller: CallerOf,
    prompt_id: str,
    body: PromptIn,
    update_mask: str = "*",
    if_update_time: datetime | None = None,
) -> PromptOut:
    """
    Change the parts of a structured prompt that are named in the mask or, without a mask, those in the body.

    With `ifUpdateTime`, the `updateTime` that the caller knows, nothing is changed if it was changed since.
    """
    name, document = body.display_name, document_of(body)
    if update_mask != "*":
        names = {to_snake(path.strip()) for path in update_mask.split(",") if path.strip()}
        if unknown := names - {"display_name", *DOCUMENT_FIELDS}:
            raise InvalidArgument(f"updateMask: {min(unknown)} cannot be updated.")
        document = {part: value for part, value in document.items() if part in names}
        name = name if "display_name" in names else None
    changed = services.library.prompts.update(
        caller, prompt_id, display_name=name, document=document, if_update_time=if_update_time
    )
    return prompt_out(changed)


@router.delete(_PROMPT, name="DeletePrompt")
def delete(services: ServicesOf, caller: CallerOf, prompt_id: str) -> None:
    """Delete a structured prompt."""
    services.library.prompts.delete(caller, prompt_id)


@router.get(_PROMPT + ":export", name="ExportPrompt", dependencies=[holds(DOCUMENTS)])
def export(services: ServicesOf, caller: CallerOf, prompt_id: str, format: str = "aistudio") -> Response:
    """Return a prompt as a file: `aistudio`, or its examples with preamble and prefixes as `csv` or `jsonl`."""
    document = services.library.prompts.get(caller, prompt_id).document
    match format:
        case "aistudio":
            return JsonReply(aistudio_file(document))
        case "csv":
            return Response(_csv(structured_prompt_of(document)), media_type="text/csv; charset=UTF-8")
        case "jsonl":
            return Response(_jsonl(structured_prompt_of(document)), media_type="application/jsonl; charset=UTF-8")
        case other:
            raise InvalidArgument(f"format must be aistudio, csv or jsonl, not {other!r}.")


def _csv(prompt: StructuredPrompt) -> str:
    table = prompt.table()
    return csv_text(table.columns, ([str(cell or "") for cell in row.cells] for row in table.rows))


def _jsonl(prompt: StructuredPrompt) -> str:
    table = prompt.table()
    records = ({name: cell or "" for name, cell in zip(table.columns, row.cells, strict=True)} for row in table.rows)
    return "".join(map(json_line, records))
