"""
prompts (extension): structured prompts of a user, kept, listed, changed, deleted; AI Studio's files in and out.

Each is seen by its owner alone. The rules are in `service/prompts.py`.
"""

from __future__ import annotations

import csv
import io
import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_snake
from starlette.responses import Response

from tunery.data.prompts import PromptColumn, StructuredPrompt, structured_prompt
from tunery.data.tables import MAX_COLUMNS, Cell, Row
from tunery.errors import InvalidArgument
from tunery.server.http import JsonReply, body_of, described, int_parameter, services_of, text_parameter
from tunery.server.security import CallerOf
from tunery.server.wire.messages import Incoming, Message, StrictIncoming, Timestamp
from tunery.service.access import Action, require_scope
from tunery.service.requests import Prompt, page_size, page_token, read_page_token

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


router = APIRouter(tags=["prompts (extension)"])

DEFAULT_PAGE_SIZE = 50
UNNAMED = "Untitled prompt"
_PROMPT = "/prompts/{prompt_id:id}"


@router.post("/prompts", name="CreatePrompt", **described(PromptOut, body=PromptIn))
def create(request: Request, caller: CallerOf, body: Annotated[PromptIn, Depends(body_of(PromptIn))]) -> Response:
    """Keep a structured prompt."""
    prompts = services_of(request).library.prompts
    return JsonReply(prompt_out(prompts.create(caller, body.display_name or UNNAMED, document_of(body))).json_object())


@router.post("/prompts:import", name="ImportPrompt", **described(PromptOut, body=PromptFileIn, query=("display_name",)))
def import_(
    request: Request, caller: CallerOf, body: Annotated[PromptFileIn, Depends(body_of(PromptFileIn))]
) -> Response:
    """Keep the structured prompt of an AI Studio file; other files are refused by name."""
    require_scope(caller, Action.CREATE)
    found = structured_prompt(body.model_extra)
    if found is None:
        raise InvalidArgument("This is not the file of a structured prompt: it has no dataPrompt.")
    prompts = services_of(request).library.prompts
    name = text_parameter(request, "display_name") or UNNAMED
    return JsonReply(prompt_out(prompts.create(caller, name, imported(found))).json_object())


@router.get("/prompts", name="ListPrompts", **described(PromptsPage, query=("page_size", "page_token", "filter")))
def list_(request: Request, caller: CallerOf) -> Response:
    """List the caller's structured prompts, changed last first; `filter` is words of their names."""
    prompts = services_of(request).library.prompts
    words = text_parameter(request, "filter") or ""
    size = page_size(int_parameter(request, "page_size"), DEFAULT_PAGE_SIZE)
    asked = ("prompts", caller.user_id, words)
    start = read_page_token(text_parameter(request, "page_token"), *asked) or 0
    found = prompts.page(caller, words, start=start, limit=size + 1)
    page = PromptsPage(
        prompts=[prompt_out(prompt, with_rows=False) for prompt in found[:size]] or None,
        next_page_token=page_token(start + size, *asked) if len(found) > size else None,
    )
    return JsonReply(page.json_object())


@router.get(_PROMPT, name="GetPrompt", **described(PromptOut))
def get(request: Request, caller: CallerOf, prompt_id: str) -> Response:
    """Return a structured prompt."""
    return JsonReply(prompt_out(services_of(request).library.prompts.get(caller, prompt_id)).json_object())


@router.patch(_PROMPT, name="UpdatePrompt", **described(PromptOut, body=PromptIn, query=("update_mask",)))
def update(
    request: Request, caller: CallerOf, prompt_id: str, body: Annotated[PromptIn, Depends(body_of(PromptIn))]
) -> Response:
    """Change the parts of a structured prompt that the mask names, or without one those that are in the body."""
    changes: dict[str, Any] = {"display_name": body.display_name, "document": document_of(body)}
    mask = text_parameter(request, "update_mask")
    if mask is not None and mask != "*":
        names = {to_snake(path.strip()) for path in mask.split(",") if path.strip()}
        if unknown := names - {"display_name", *DOCUMENT_FIELDS}:
            raise InvalidArgument(f"updateMask: {min(unknown)} cannot be updated.")
        changes["document"] = {name: value for name, value in changes["document"].items() if name in names}
        changes["display_name"] = body.display_name if "display_name" in names else None
    prompt = services_of(request).library.prompts.update(caller, prompt_id, **changes)
    return JsonReply(prompt_out(prompt).json_object())


@router.delete(_PROMPT, name="DeletePrompt", **described())
def delete(request: Request, caller: CallerOf, prompt_id: str) -> Response:
    """Delete a structured prompt."""
    services_of(request).library.prompts.delete(caller, prompt_id)
    return JsonReply({})


@router.get(_PROMPT + ":export", name="ExportPrompt", **described(query=("format",)))
def export(request: Request, caller: CallerOf, prompt_id: str) -> Response:
    """Return a prompt as a file: `aistudio`, or its examples with preamble and prefixes as `csv` or `jsonl`."""
    document = services_of(request).library.prompts.get(caller, prompt_id).document
    match text_parameter(request, "format") or "aistudio":
        case "aistudio":
            return JsonReply(aistudio_file(document))
        case "csv":
            return Response(_csv(structured_prompt_of(document)), media_type="text/csv; charset=UTF-8")
        case "jsonl":
            return Response(_jsonl(structured_prompt_of(document)), media_type="application/jsonl; charset=UTF-8")
        case other:
            raise InvalidArgument(f"format must be aistudio, csv or jsonl, not {other!r}.")


def _csv(prompt: StructuredPrompt) -> str:
    table, out = prompt.table(), io.StringIO()
    writer = csv.writer(out)
    writer.writerow(table.columns)
    writer.writerows([cell or "" for cell in row.cells] for row in table.rows)
    return out.getvalue()


def _jsonl(prompt: StructuredPrompt) -> str:
    table = prompt.table()
    records = ({name: cell or "" for name, cell in zip(table.columns, row.cells, strict=True)} for row in table.rows)
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
