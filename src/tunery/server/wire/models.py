"""
Base models on the wire (google/ai/generativelanguage/v1beta/model.proto).

Guides choose a base by its methods and the words in its name, so API names carry what they carried in the original;
the token limits are those of the weights that answer.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tunery.engine.catalog import memory_estimate
from tunery.server.wire.base import Message
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
