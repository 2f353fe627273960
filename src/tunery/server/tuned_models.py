"""
tunedModels: create, list, get, update, delete.

A handler says who calls, decodes, makes one call below and encodes; rules are in `service/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic.alias_generators import to_snake
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tunery.errors import InvalidArgument
from tunery.server.auth import CallerOf
from tunery.server.body import body_of
from tunery.server.parameters import described, int_parameter, text_parameter
from tunery.server.replies import JsonReply
from tunery.server.services import services_of
from tunery.server.wire.estimates import EstimateOut, estimate_out
from tunery.server.wire.operations import OperationOut, operation_json
from tunery.server.wire.tuned_models import TunedModelIn, TunedModelOut, TunedModelsPage, tuned_model_out
from tunery.service.access import Action, require_scope
from tunery.service.creation import Creation, Wish
from tunery.service.library import Library, contracts_of, set_wraps_plain_inputs, wraps_plain_inputs
from tunery.service.requests import ModelFilter, page_size, page_token, read_page_token
from tunery.types import Hyperparameters, SamplingSettings, TunedModel

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
    wish = _wish(body, str(caller.user_id), text_parameter(request, "tuned_model_id"))
    if wish.source_tuned_model is not None and wish.base_model is None:  # both are refused below
        services.library.sharing.require(caller, Action.READ, wish.source_tuned_model.removeprefix("tunedModels/"))
    checked = services.creation.checked(wish)
    if text_parameter(request, "validate_only") == "true":
        problems = services.creation.problems(wish)
        return JsonReply(estimate_out(services.estimates.of(checked, wish.examples), problems).json_object())
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


def _wish(body: TunedModelIn, user_id: str, model_id: str | None) -> Wish:
    task, source = body.tuning_task, body.tuned_model_source
    if task is None:
        raise InvalidArgument("tuningTask must be set: it holds the training data.")
    data = task.training_data
    inner = data.examples if data is not None else None
    given = task.hyperparameters.model_dump(by_alias=False, exclude_none=True) if task.hyperparameters else {}
    return Wish(
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
