"""
tunedModels: create, list, get, update, delete.

A handler says who calls, decodes, makes one call below and encodes; rules are in `service/`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic.alias_generators import to_snake
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tunery.errors import InvalidArgument, NotFound, Unimplemented
from tunery.server.http import JsonReply, Services, body_of, described, int_parameter, services_of, text_parameter
from tunery.server.security import CallerOf
from tunery.server.wire.tuning import (
    EstimateOut,
    OperationOut,
    OperationsPage,
    PermissionIn,
    PermissionOut,
    PermissionsPage,
    StoredExampleOut,
    StoredExamplesPage,
    TaskLogOut,
    TransferIn,
    TunedModelIn,
    TunedModelOut,
    TunedModelsPage,
    estimate_out,
    operation_json,
    permission_out,
    tuned_model_out,
)
from tunery.service.access import Action, Seen, require_scope
from tunery.service.creation import Creation, CreationRequest
from tunery.service.library import Library, contracts_of, set_wraps_plain_inputs, wraps_plain_inputs
from tunery.service.requests import ModelFilter, page_size, page_token, read_page_token
from tunery.types import Caller, Hyperparameters, SamplingSettings, TunedModel, TuningExample

router = APIRouter(tags=["tunedModels"])

DEFAULT_PAGE_SIZE = 10
UPDATABLE = (
    "display_name",
    "description",
    "temperature",
    "top_p",
    "top_k",
    "reader_project_numbers",
    "wrap_plain_inputs",
)
_CLEARED: Mapping[str, Any] = {
    "display_name": "",
    "description": "",
    "temperature": SamplingSettings().temperature,
    "top_p": SamplingSettings().top_p,
    "top_k": None,
    "reader_project_numbers": [],
    "wrap_plain_inputs": False,
}


@router.post(
    "/tunedModels",
    name="CreateTunedModel",
    **described(OperationOut | EstimateOut, body=TunedModelIn, query=("tuned_model_id", "validate_only", "extensions")),
)
def create(
    request: Request, caller: CallerOf, body: Annotated[TunedModelIn, Depends(body_of(TunedModelIn))]
) -> Response:
    """Queue a tuning task; the operation comes back at once. With `validateOnly=true` only say what it would take."""
    require_scope(caller, Action.CREATE)
    services = services_of(request)
    wanted = _creation_request(body, str(caller.user_id), text_parameter(request, "tuned_model_id"))
    if wanted.source_tuned_model is not None and wanted.base_model is None:  # both are refused below
        services.library.sharing.require(caller, Action.READ, wanted.source_tuned_model.removeprefix("tunedModels/"))
    checked = services.creation.checked(wanted)
    if text_parameter(request, "validate_only") == "true":
        problems = services.creation.problems(wanted)
        return JsonReply(estimate_out(services.estimates.of(checked, wanted.examples), problems).json_object())
    model = services.creation.create(checked, request.headers.get("idempotency-key"))
    services.worker.wake()
    operation = operation_json(model, version_of(request), with_extensions=wants_extensions(request))
    return _Created(operation, services.creation, model)


@router.get(
    "/tunedModels", name="ListTunedModels", **described(TunedModelsPage, query=("page_size", "page_token", "filter"))
)
def list_(request: Request, caller: CallerOf) -> Response:
    """List the tuned models that the caller has a role on, newest first."""
    require_scope(caller, Action.LIST)
    text = text_parameter(request, "filter") or ""
    size = page_size(int_parameter(request, "page_size"), DEFAULT_PAGE_SIZE)
    asked = ("tunedModels", caller.user_id, text)
    before = read_page_token(text_parameter(request, "page_token"), *asked)
    library = services_of(request).library
    rows = library.page(caller, ModelFilter.parse(text), before=before, limit=size + 1)
    page = TunedModelsPage(
        tuned_models=[tuned_model_out(model) for _, model in rows[:size]] or None,
        next_page_token=page_token(rows[size - 1][0], *asked) if len(rows) > size else None,
    )
    return JsonReply(page.json_object())


@router.get("/tunedModels/{model_id:id}", name="GetTunedModel", **described(TunedModelOut))
def get(request: Request, caller: CallerOf, model_id: str) -> Response:
    """Return a tuned model."""
    library = services_of(request).library
    library.sharing.require(caller, Action.READ, model_id)
    return JsonReply(_with_contracts(library, library.find(model_id)).json_object())


@router.patch(
    "/tunedModels/{model_id:id}",
    name="UpdateTunedModel",
    **described(TunedModelOut, body=TunedModelIn, query=("update_mask",)),
)
def update(
    request: Request, caller: CallerOf, model_id: str, body: Annotated[TunedModelIn, Depends(body_of(TunedModelIn))]
) -> Response:
    """Change names and answer defaults of a tuned model."""
    library = services_of(request).library
    library.sharing.require(caller, Action.WRITE, model_id)
    changes = _changes(body, text_parameter(request, "update_mask"))
    _check_sampling(library.find(model_id), changes)
    wraps = changes.pop("wrap_plain_inputs", None)
    model = library.update(model_id, **changes) if changes else library.find(model_id)
    if wraps is not None:
        set_wraps_plain_inputs(library, model, bool(wraps))
    return JsonReply(_with_contracts(library, model).json_object())


@router.delete("/tunedModels/{model_id:id}", name="DeleteTunedModel", **described())
def delete(request: Request, caller: CallerOf, model_id: str) -> Response:
    """Delete a tuned model with its data, curve and adapter; a task that is running stops, and what is found out."""
    services = services_of(request)
    services.library.sharing.require(caller, Action.OWN, model_id)
    for inquiries in (services.evaluations, services.examinations, services.data_curves):
        inquiries.cancel(services.library.find(model_id))
    services.library.delete(model_id)
    return JsonReply({})


def _with_contracts(library: Library, model: TunedModel) -> TunedModelOut:
    contracts = contracts_of(library, model)
    facts = {
        "prompt_contract": contracts.prompt.sentence(),
        "output_contract": contracts.output.sentence(),
        "output_form": contracts.output.kind,
        "wrap_plain_inputs": wraps_plain_inputs(library, model) or None,
    }
    return tuned_model_out(model).model_copy(update=facts)


def version_of(request: Request) -> str:
    """Return the version prefix of a request's path."""
    return request.url.path.strip("/").partition("/")[0]


def wants_extensions(request: Request) -> bool:
    """Say whether an operation may have fields that Google's clients do not know (`extensions=true`)."""
    return text_parameter(request, "extensions") == "true"


class _Created(JsonReply):
    """The reply to a creation; notes whether its client was still there, since else the same request comes again."""

    def __init__(self, content: object, creation: Creation, model: TunedModel) -> None:
        super().__init__(content)
        self._creation, self._model = creation, model

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        was_sent = False
        try:
            is_there = not await Request(scope, receive).is_disconnected()
            await super().__call__(scope, receive, send)
            was_sent = is_there
        finally:
            await run_in_threadpool(self._creation.answered, self._model, was_sent=was_sent)


def _creation_request(body: TunedModelIn, user_id: str, model_id: str | None) -> CreationRequest:
    task, source = body.tuning_task, body.tuned_model_source
    if task is None:
        raise InvalidArgument("tuningTask must be set: it holds the training data.")
    data = task.training_data
    inner = data.examples if data is not None else None
    given = task.hyperparameters.model_dump(by_alias=False, exclude_none=True) if task.hyperparameters else {}
    return CreationRequest(
        user_id=user_id,
        examples=[(example.text_input, example.output) for example in (inner.examples if inner else [])],
        hyperparameters=Hyperparameters(**given),
        base_model=body.base_model,
        source_tuned_model=None if source is None else source.tuned_model,
        id=model_id,
        display_name=body.display_name,
        description=body.description or "",
        hold_out=task.hold_out or 0,
        seed=task.seed or 0,
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k,
        reader_project_numbers=body.reader_project_numbers or (),
        source=(task.data.source if task.data else None) or "request",
    )


def _changes(body: TunedModelIn, mask: str | None) -> dict[str, Any]:
    """Return the columns to change: those of the mask, or without one those that are in the body."""
    if mask is None or mask == "*":
        return {name: value for name in UPDATABLE if (value := getattr(body, name)) is not None}
    names = [to_snake(path.strip()) for path in mask.split(",") if path.strip()]
    for name in names:
        if name not in UPDATABLE:
            raise InvalidArgument(f"updateMask: {name} cannot be updated. These can: {', '.join(UPDATABLE)}.")
    return {name: _CLEARED[name] if (value := getattr(body, name)) is None else value for name in names}


def _check_sampling(model: TunedModel, changes: Mapping[str, Any]) -> None:
    values = {name: changes.get(name, getattr(model, name)) for name in ("temperature", "top_p", "top_k")}
    SamplingSettings(**values)


examples_router = APIRouter(tags=["tunedModels (extension)"])

EXAMPLES_PAGE_SIZE = 50
MAX_RENDERED = 100  # a page of them takes the answering child's time


@examples_router.get(
    "/tunedModels/{model_id:id}/examples",
    name="ListTunedModelExamples",
    **described(StoredExamplesPage, query=("page_size", "page_token", "held_out", "rendered")),
)
def list_examples(request: Request, caller: CallerOf, model_id: str) -> Response:
    """List the examples of a tuned model; with `heldOut=true` those that were held out."""
    services = services_of(request)
    services.library.sharing.require(caller, Action.READ, model_id)
    model = services.library.find(model_id)
    is_held_out = text_parameter(request, "held_out") == "true"
    examples = services.library.examples(model)[is_held_out]
    size = page_size(int_parameter(request, "page_size"), EXAMPLES_PAGE_SIZE)
    asked = ("examples", model_id, is_held_out)
    start = read_page_token(text_parameter(request, "page_token"), *asked) or 0
    is_rendered = text_parameter(request, "rendered") == "true"
    shown = examples[start : start + (min(size, MAX_RENDERED) if is_rendered else size)]
    end = start + len(shown)
    page = StoredExamplesPage(
        examples=_out(services, model.base_model, shown, is_rendered) or None,
        total_size=len(examples),
        next_page_token=page_token(end, *asked) if len(examples) > end else None,
    )
    return JsonReply(page.json_object())


def _out(
    services: Services, base_model: str, examples: tuple[TuningExample, ...], is_rendered: bool
) -> list[StoredExampleOut]:
    texts = services.answering.render_rows(base_model, examples) if is_rendered and examples else [None] * len(examples)
    return [
        StoredExampleOut(text_input=example.text_input, output=example.output, rendered=text)
        for example, text in zip(examples, texts, strict=True)
    ]


operations_router = APIRouter(tags=["operations"])

OPERATIONS_PAGE_SIZE = 10


@operations_router.get(
    "/tunedModels/{model_id:id}/operations/{operation_id:id}",
    name="GetOperation",
    **described(OperationOut, query=("extensions",)),
)
def get_operation(request: Request, caller: CallerOf, model_id: str, operation_id: str) -> Response:
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


@operations_router.get(
    "/tunedModels/{model_id:id}/operations",
    name="ListOperations",
    **described(OperationsPage, query=("page_size", "page_token", "filter", "extensions")),
)
def list_operations(request: Request, caller: CallerOf, model_id: str) -> Response:
    """List the operations of a tuned model: the one that makes it."""
    seen = services_of(request).library.polling.get(caller, Action.READ, model_id)
    page_size(int_parameter(request, "page_size"), OPERATIONS_PAGE_SIZE)
    if read_page_token(text_parameter(request, "page_token"), "operations", model_id) is not None:
        return JsonReply({})
    return JsonReply({"operations": [_json(seen, version_of(request), wants_extensions(request))]})


@operations_router.get("/tunedModels/{model_id:id}:log", name="GetTunedModelLog", **described(TaskLogOut))
def log(request: Request, caller: CallerOf, model_id: str) -> Response:
    """Return what the task of a tuned model said last, at most 200 lines (extension)."""
    services = services_of(request)
    services.library.sharing.require(caller, Action.READ, model_id)
    known = services.worker.logs.get(services.library.find(model_id).task.id)
    return JsonReply(TaskLogOut(lines=list(known.lines) if known else []).json_object())


@operations_router.post(
    "/tunedModels/{model_id:id}/operations/{operation_id:id}:cancel", name="CancelOperation", **described()
)
def cancel(request: Request, caller: CallerOf, model_id: str, operation_id: str) -> Response:
    """Ask to cancel; what was tuned so far stays usable. Nothing happens to an operation that is done."""
    services = services_of(request)
    _seen(services.library, caller, Action.WRITE, model_id, operation_id)
    services.library.request_cancel(model_id)
    services.worker.wake()
    return JsonReply({})


@operations_router.post("/tunedModels/{model_id:id}:cancel", name="CancelTunedModel", **described())
def cancel_of_model(request: Request, caller: CallerOf, model_id: str) -> Response:
    """Cancel the operation of a tuned model; google-genai's `tunings.cancel` posts here."""
    services = services_of(request)
    services.library.sharing.require(caller, Action.WRITE, model_id)
    services.library.request_cancel(model_id)
    services.worker.wake()
    return JsonReply({})


@operations_router.delete(
    "/tunedModels/{model_id:id}/operations/{operation_id:id}", name="DeleteOperation", **described()
)
def delete_operation(request: Request, caller: CallerOf, model_id: str, operation_id: str) -> Response:
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


permissions_router = APIRouter(tags=["permissions"])

PERMISSIONS_PAGE_SIZE = 10
_PERMISSIONS = "/tunedModels/{model_id:id}/permissions"
_PERMISSION = f"{_PERMISSIONS}/{{permission_id:id}}"


@permissions_router.post(_PERMISSIONS, name="CreatePermission", **described(PermissionOut, body=PermissionIn))
def create_permission(
    request: Request, caller: CallerOf, model_id: str, body: Annotated[PermissionIn, Depends(body_of(PermissionIn))]
) -> Response:
    """Share a tuned model with a user, a group or everyone."""
    sharing = services_of(request).library.sharing
    sharing.require(caller, Action.WRITE, model_id)  # who may not is not told what else is wrong
    if body.grantee_type is None or body.role is None:
        raise InvalidArgument("grantee_type and role must be set.")
    permission = sharing.create(caller, model_id, body.grantee_type, body.email_address, body.role)
    return JsonReply(permission_out(permission).json_object())


@permissions_router.get(
    _PERMISSIONS, name="ListPermissions", **described(PermissionsPage, query=("page_size", "page_token"))
)
def list_permissions(request: Request, caller: CallerOf, model_id: str) -> Response:
    """List the permissions of a tuned model, the oldest first."""
    known = services_of(request).library.sharing.require(caller, Action.READ, model_id)
    size = page_size(int_parameter(request, "page_size"), PERMISSIONS_PAGE_SIZE)
    start = read_page_token(text_parameter(request, "page_token"), "permissions", model_id) or 0
    shown = known[start : start + size]
    page = PermissionsPage(
        permissions=[permission_out(permission) for permission in shown] or None,
        next_page_token=page_token(start + size, "permissions", model_id) if len(known) > start + size else None,
    )
    return JsonReply(page.json_object())


@permissions_router.get(_PERMISSION, name="GetPermission", **described(PermissionOut))
def get_permission(request: Request, caller: CallerOf, model_id: str, permission_id: str) -> Response:
    """Return a permission."""
    permission = services_of(request).library.sharing.get(caller, model_id, permission_id)
    return JsonReply(permission_out(permission).json_object())


@permissions_router.patch(
    _PERMISSION, name="UpdatePermission", **described(PermissionOut, body=PermissionIn, query=("update_mask",))
)
def update_permission(
    request: Request,
    caller: CallerOf,
    model_id: str,
    permission_id: str,
    body: Annotated[PermissionIn, Depends(body_of(PermissionIn))],
) -> Response:
    """Change the role of a permission; nothing else of it can change."""
    sharing = services_of(request).library.sharing
    sharing.require(caller, Action.WRITE, model_id)
    if (text_parameter(request, "update_mask") or "role") not in ("role", "*"):
        raise InvalidArgument("updateMask: only role can be updated.")
    if body.role is None:
        raise InvalidArgument("role must be set.")
    permission = sharing.change_role(caller, model_id, permission_id, body.role)
    return JsonReply(permission_out(permission).json_object())


@permissions_router.delete(_PERMISSION, name="DeletePermission", **described())
def delete_permission(request: Request, caller: CallerOf, model_id: str, permission_id: str) -> Response:
    """Take a permission back."""
    services_of(request).library.sharing.delete(caller, model_id, permission_id)
    return JsonReply({})


@permissions_router.post(
    "/tunedModels/{model_id:id}:transferOwnership", name="TransferOwnership", **described(body=TransferIn)
)
def transfer(
    request: Request, caller: CallerOf, model_id: str, body: Annotated[TransferIn, Depends(body_of(TransferIn))]
) -> Response:
    """Make another user the owner; the old owner stays a writer."""
    sharing = services_of(request).library.sharing
    sharing.require(caller, Action.OWN, model_id)
    if not body.email_address:
        raise InvalidArgument("email_address must be set.")
    sharing.transfer(caller, model_id, body.email_address)
    return JsonReply({})
