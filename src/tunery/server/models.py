"""
Base models: list and get.

API names of old code are listed beside the bases they stand for.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from tunery.errors import NotFound
from tunery.server.auth import CallerOf
from tunery.server.parameters import described, int_parameter, text_parameter
from tunery.server.replies import JsonReply
from tunery.server.services import services_of
from tunery.server.wire.models import ModelOut, ModelsPage, model_out
from tunery.service.access import require_known
from tunery.service.requests import page_size, page_token, read_page_token

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
