"""
Operations of tuned models: get, list, cancel. The operation is computed from the row of the task.

Clients poll in a bare loop, so a poll between two steps costs neither a row nor an encoding.
"""

from __future__ import annotations

import hashlib

from fastapi import APIRouter, Request
from starlette.responses import Response

from tunery.errors import NotFound, Unimplemented
from tunery.server.auth import CallerOf
from tunery.server.parameters import described, int_parameter, text_parameter
from tunery.server.replies import JsonReply
from tunery.server.services import services_of
from tunery.server.tuned_models import version_of, wants_extensions
from tunery.server.wire.operations import OperationOut, OperationsPage, TaskLogOut, operation_json
from tunery.service.access import Action
from tunery.service.library import Library, Seen
from tunery.service.requests import page_size, read_page_token
from tunery.types import Caller

router = APIRouter(tags=["operations"])

DEFAULT_PAGE_SIZE = 10


@router.get(
    "/tunedModels/{model_id:id}/operations/{operation_id:id}",
    name="GetOperation",
    **described(OperationOut, query=("extensions",)),
)
def get(request: Request, caller: CallerOf, model_id: str, operation_id: str) -> Response:
    """Return the operation that makes a tuned model; 304 if it is as the caller knows it (If-None-Match)."""
    seen = _seen(services_of(request).library, caller, Action.READ, model_id, operation_id)
    form = version_of(request), wants_extensions(request)
    if form not in seen.made:  # many ask between two steps, and a long curve takes long to write
        body = JsonReply(_json(seen, *form)).body
        seen.made[form] = bytes(body), f'"{hashlib.sha256(body).hexdigest()[:24]}"'
    body, tag = seen.made[form]
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"ETag": tag})
    return Response(body, media_type=JsonReply.media_type, headers={"ETag": tag})


@router.get(
    "/tunedModels/{model_id:id}/operations",
    name="ListOperations",
    **described(OperationsPage, query=("page_size", "page_token", "filter", "extensions")),
)
def list_(request: Request, caller: CallerOf, model_id: str) -> Response:
    """List the operations of a tuned model: the one that makes it."""
    seen = services_of(request).library.polling.get(caller, Action.READ, model_id)
    page_size(int_parameter(request, "page_size"), DEFAULT_PAGE_SIZE)
    if read_page_token(text_parameter(request, "page_token"), "operations", model_id) is not None:
        return JsonReply({})
    return JsonReply({"operations": [_json(seen, version_of(request), wants_extensions(request))]})


@router.get("/tunedModels/{model_id:id}:log", name="GetTunedModelLog", **described(TaskLogOut))
def log(request: Request, caller: CallerOf, model_id: str) -> Response:
    """Return what the task of a tuned model said last, at most 200 lines (extension)."""
    services = services_of(request)
    services.library.sharing.require(caller, Action.READ, model_id)
    known = services.worker.logs.get(services.library.find(model_id).task.id)
    return JsonReply(TaskLogOut(lines=list(known.lines) if known else []).json_object())


@router.post("/tunedModels/{model_id:id}/operations/{operation_id:id}:cancel", name="CancelOperation", **described())
def cancel(request: Request, caller: CallerOf, model_id: str, operation_id: str) -> Response:
    """Ask to cancel; what was tuned so far stays usable. Nothing happens to an operation that is done."""
    services = services_of(request)
    _seen(services.library, caller, Action.WRITE, model_id, operation_id)
    services.library.request_cancel(model_id)
    services.worker.wake()
    return JsonReply({})


@router.post("/tunedModels/{model_id:id}:cancel", name="CancelTunedModel", **described())
def cancel_of_model(request: Request, caller: CallerOf, model_id: str) -> Response:
    """Cancel the operation of a tuned model; google-genai's `tunings.cancel` posts here."""
    services = services_of(request)
    services.library.sharing.require(caller, Action.WRITE, model_id)
    services.library.request_cancel(model_id)
    services.worker.wake()
    return JsonReply({})


@router.delete("/tunedModels/{model_id:id}/operations/{operation_id:id}", name="DeleteOperation", **described())
def delete(request: Request, caller: CallerOf, model_id: str, operation_id: str) -> Response:
    """Refuse: an operation lives as long as its tuned model."""
    _seen(services_of(request).library, caller, Action.WRITE, model_id, operation_id)
    raise Unimplemented("Operations cannot be deleted; delete the tuned model.")


def _seen(library: Library, caller: Caller, action: Action, model_id: str, operation_id: str) -> Seen:
    seen = library.polling.get(caller, action, model_id)
    if seen.model.task.operation_id != operation_id:
        raise NotFound(f"Operation tunedModels/{model_id}/operations/{operation_id} does not exist.")
    return seen


def _json(seen: Seen, version: str, with_extensions: bool) -> dict[str, object]:
    return operation_json(seen.model, version, waiting_before=seen.waiting_before, with_extensions=with_extensions)
