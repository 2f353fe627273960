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
from pydantic.alias_generators import to_snake
from starlette.responses import Response

from tunery.data.prompts import StructuredPrompt, structured_prompt
from tunery.errors import InvalidArgument
from tunery.server.auth import CallerOf
from tunery.server.body import body_of
from tunery.server.parameters import described, int_parameter, text_parameter
from tunery.server.replies import JsonReply
from tunery.server.services import services_of
from tunery.server.wire.prompts import (
    DOCUMENT_FIELDS,
    PromptFileIn,
    PromptIn,
    PromptOut,
    PromptsPage,
    aistudio_file,
    document_of,
    imported,
    prompt_out,
    structured_prompt_of,
)
from tunery.service.access import Action, require_scope
from tunery.service.requests import page_size, page_token, read_page_token

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
