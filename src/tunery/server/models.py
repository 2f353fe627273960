"""
Base models: list and get.

API names of old code are listed beside the bases they stand for.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from tunery.engine.catalog import memory_estimate
from tunery.errors import NotFound
from tunery.server.http import JsonReply, described, int_parameter, services_of, text_parameter
from tunery.server.security import CallerOf
from tunery.server.wire.messages import Message
from tunery.service.access import require_known
from tunery.service.requests import page_size, page_token, read_page_token
from tunery.types import CatalogEntry

_TEXT_BISON = "text-bison-001"


class ModelOut(Message):
    """A base model."""

    name: str
    version: str
    display_name: str
    description: str
    input_token_limit: int
    output_token_limit: int
    supported_generation_methods: list[str]
    temperature: float
    max_temperature: float
    top_p: float
    top_k: int | None
    base_weights: Annotated[str, Field(description="Extension: the open weights that answer to this name.")]
    licence: Annotated[str, Field(description="Extension: of these weights.")]
    parameters: Annotated[int | None, Field(description="Extension: how many numbers they are.")]
    is_present: Annotated[bool, Field(description="Extension: they are on this machine.")]
    tuning_memory_bytes: Annotated[int | None, Field(description="Extension: about what tuning takes.")]


class ModelsPage(Message):
    """A page of base models."""

    models: list[ModelOut] | None
    next_page_token: str | None


def model_out(entry: CatalogEntry) -> ModelOut:
    """Return an entry of the catalog as the API shows it."""
    return ModelOut(
        name=f"models/{entry.name}",
        version="001",
        display_name=entry.display_name,
        description=entry.description,
        input_token_limit=entry.input_token_limit,
        output_token_limit=entry.output_token_limit,
        supported_generation_methods=_methods(entry.name),
        temperature=0.0,
        max_temperature=2.0,
        top_p=1.0,
        top_k=None,
        base_weights=entry.alias_of or entry.name,
        licence=entry.licence,
        parameters=entry.parameters,
        is_present=entry.is_present,
        tuning_memory_bytes=None if entry.parameters is None else memory_estimate(entry.parameters),
    )


def _methods(name: str) -> list[str]:
    if name == _TEXT_BISON:
        return ["generateText", "countTextTokens", "createTunedTextModel"]
    return ["generateContent", "countTokens", "createTunedModel"]


router = APIRouter(tags=["models"])

DEFAULT_PAGE_SIZE = 50


@router.get("/models", name="ListModels", **described(ModelsPage, query=("page_size", "page_token")))
def list_(request: Request, caller: CallerOf) -> Response:
    """List the base models that can be asked and tuned."""
    require_known(caller)
    size = page_size(int_parameter(request, "page_size"), DEFAULT_PAGE_SIZE)
    start = read_page_token(text_parameter(request, "page_token"), "models") or 0
    entries = services_of(request).catalog.entries()
    page = ModelsPage(
        models=[model_out(entry) for entry in entries[start : start + size]] or None,
        next_page_token=page_token(start + size, "models") if len(entries) > start + size else None,
    )
    return JsonReply(page.json_object())


@router.get("/models/{model_id:id}", name="GetModel", **described(ModelOut))
def get(request: Request, caller: CallerOf, model_id: str) -> Response:
    """Return a base model."""
    require_known(caller)
    try:
        entry = services_of(request).catalog.resolve(model_id)
    except NotFound:
        raise NotFound(f"models/{model_id} is not found for API version v1beta.") from None
    return JsonReply(model_out(entry).json_object())
