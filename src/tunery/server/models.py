"""
Base models on the wire (google/ai/generativelanguage/v1beta/model.proto): list and get.

Guides choose a base by its methods and by words in its name, so API names of old code keep both; their token limits are
those of the weights that answer.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tunery.engine.catalog import fits, memory_estimate
from tunery.errors import NotFound
from tunery.server.http import ApiRouter, ServicesOf, page_of
from tunery.server.security import CallerOf
from tunery.server.wire.messages import Message
from tunery.service.access import require_known
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
    base_weights: Annotated[str, Field(description="Extension: the open weights behind this name.")]
    licence: Annotated[str, Field(description="Extension: licence of these weights.")]
    parameters: Annotated[int | None, Field(description="Extension: number of weights.")]
    is_present: Annotated[bool, Field(description="Extension: whether the weights are on this machine.")]
    tuning_memory_bytes: Annotated[int | None, Field(description="Extension: approximate memory for tuning.")]
    fits: Annotated[bool | None, Field(description="Extension: whether tuning fits into the memory that is free now.")]


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
        fits=None if entry.parameters is None else fits(entry.parameters),
    )


def _methods(name: str) -> list[str]:
    if name == _TEXT_BISON:
        return ["generateText", "countTextTokens", "createTunedTextModel"]
    return ["generateContent", "countTokens", "createTunedModel"]


router = ApiRouter(tags=["models"])

DEFAULT_PAGE_SIZE = 50


@router.get("/models", name="ListModels")
def list_(
    services: ServicesOf, caller: CallerOf, page_size: int | None = None, page_token: str | None = None
) -> ModelsPage:
    """List the base models that answer and can be tuned."""
    require_known(caller)
    entries = services.catalog.entries()
    shown, next_page = page_of(entries, page_size, page_token, "models", default=DEFAULT_PAGE_SIZE)
    return ModelsPage(models=[model_out(entry) for entry in shown] or None, next_page_token=next_page)


@router.get("/models/{model_id:id}", name="GetModel")
def get(services: ServicesOf, caller: CallerOf, model_id: str) -> ModelOut:
    """Return a base model."""
    require_known(caller)
    try:
        return model_out(services.catalog.resolve(model_id))
    except NotFound:
        raise NotFound(f"models/{model_id} is not found for API version v1beta.") from None
