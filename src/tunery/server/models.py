"""
The methods of Google's ModelService: base models, and tuned models with their examples, operations and permissions.

A handler authorizes the caller, makes one call to `service/` and returns a message; the rules are in `service/`.
Guides choose a base by its methods and by words in its name, so the API names of old code keep both; their token limits
are those of the weights that really answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import Request
from pydantic import Field
from pydantic.alias_generators import to_snake
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tunery.engine.memory import Fit
from tunery.errors import InvalidArgument, NotFound, PermissionDenied, Unimplemented
from tunery.server.generation import BASE_HEADER
from tunery.server.http import ApiRouter, Flag, JsonReply, Services, ServicesOf, page_of
from tunery.server.security import CallerOf, needs
from tunery.server.shares import Places
from tunery.server.wire import tuning as wire
from tunery.server.wire.datasets import (
    EpochAnswersOut,
    EstimateOut,
    StoredExampleOut,
    StoredExamplesPage,
    estimate_out,
)
from tunery.server.wire.messages import Message
from tunery.service import tuning
from tunery.service.access import Action, Seen, Share, require_known, require_scope
from tunery.service.bases import needs_of
from tunery.service.contracts import contracts_of, prompt_options, set_prompt_options
from tunery.service.creation import Creation, CreationRequest
from tunery.service.library import Library
from tunery.service.tuning import MAX_PAGE_SIZE, ModelFilter, TuningRequest
from tunery.types import (
    Caller,
    CatalogEntry,
    Hyperparameters,
    SamplingSettings,
    SettingsKind,
    TunedModel,
    TuningExample,
)

bases_router = ApiRouter(tags=["models"])
router = ApiRouter(tags=["tunedModels"])
examples_router = ApiRouter(tags=["tunedModels (extension)"])
operations_router = ApiRouter(tags=["operations"])
permissions_router = ApiRouter(tags=["permissions"])

BASES_PAGE_SIZE = 50
DEFAULT_PAGE_SIZE = 10
EXAMPLES_PAGE_SIZE = 50
CREATIONS = Places("tuning jobs are being created", size=8, line=512)
ROWS = Places("rows are being read by a base", size=2, line=8)
MAX_RENDERED = 100  # a larger page would keep the answering child busy for too long

# The fields an update may change, with the value that clears each.
_CLEARED: Mapping[str, Any] = {
    "display_name": "",
    "description": "",
    "temperature": SamplingSettings().temperature,
    "top_p": SamplingSettings().top_p,
    "top_k": SamplingSettings().top_k,
    "reader_project_numbers": [],
    "wrap_plain_inputs": False,
    "constrain_to_training_outputs": True,
    "refuse_unlike_inputs": False,
    "examples_shared": False,
    "served_epoch": None,
}
_OPTIONS = ("wrap_plain_inputs", "constrain_to_training_outputs", "refuse_unlike_inputs")  # stored with the model
_TEXT_BISON = "text-bison"
_MODEL = "/tunedModels/{model_id:id}"
_OPERATION = f"{_MODEL}/operations/{{operation_id:id}}"
_PERMISSIONS = f"{_MODEL}/permissions"
_PERMISSION = f"{_PERMISSIONS}/{{permission_id:id}}"


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
    """Return an entry of the catalog as the API shows it; its settings apply to calls that set none."""
    defaults, needed = SamplingSettings(), needs_of(entry)
    return ModelOut(
        name=f"models/{entry.name}",
        version="001",
        display_name=entry.display_name,
        description=entry.description,
        input_token_limit=entry.input_token_limit,
        output_token_limit=entry.output_token_limit,
        supported_generation_methods=_methods(entry.name),
        temperature=defaults.temperature,
        max_temperature=2.0,
        top_p=defaults.top_p,
        top_k=defaults.top_k,
        base_weights=entry.alias_of or entry.name,
        licence=entry.licence,
        parameters=entry.parameters,
        is_present=entry.is_present,
        tuning_memory_bytes=None if needed is None else needed[0].bytes,
        fits=None if needed is None or needed[0].fit is None else needed[0].fit is Fit.YES,
    )


def _methods(name: str) -> list[str]:
    if name.startswith(_TEXT_BISON):
        return ["generateText", "countTextTokens", "createTunedTextModel"]
    return ["generateContent", "countTokens", "createTunedModel"]


@bases_router.get("/models", name="ListModels")
def list_bases(
    services: ServicesOf, caller: CallerOf, page_size: int | None = None, page_token: str | None = None
) -> ModelsPage:
    """List the base models, which can be queried and tuned."""
    require_known(caller)
    entries = services.catalog.entries()
    shown, next_page = page_of(entries, page_size, page_token, "models", default=BASES_PAGE_SIZE)
    return ModelsPage(models=[model_out(entry) for entry in shown] or None, next_page_token=next_page)


@bases_router.get("/models/{model_id:id}", name="GetModel")
def get_base(request: Request, services: ServicesOf, caller: CallerOf, model_id: str) -> ModelOut:
    """Return a base model."""
    require_known(caller)
    try:
        return model_out(services.catalog.resolve(model_id))
    except NotFound:
        raise NotFound(
            f"models/{model_id} is not found for API version {_version(request)}. {services.catalog.known_names()}"
        ) from None


@router.post(
    "/tunedModels",
    name="CreateTunedModel",
    responses={200: {"model": wire.OperationOut | EstimateOut}},
    dependencies=[needs(Action.CREATE)],
)
async def create(
    request: Request,
    services: ServicesOf,
    caller: CallerOf,
    body: wire.TunedModelIn,
    tuned_model_id: str | None = None,
    validate_only: Flag = False,
    extensions: Flag = False,
) -> Response | EstimateOut:
    """Queue a tuning task and return its operation immediately; with `validateOnly=true`, only estimate its cost."""
    order = _creation_request(body, str(caller.user_id), tuned_model_id)
    if validate_only:
        return await ROWS.run(caller.name, partial(_estimated, services, caller, order))
    create_now = partial(_created, services, caller, order, request.headers.get("idempotency-key"))
    model = await CREATIONS.run(caller.name, create_now)
    return _Created(wire.operation_out(model, _version(request), with_extensions=extensions), services.creation, model)


def _checked(services: Services, caller: Caller, order: CreationRequest) -> TuningRequest:
    if order.source_tuned_model is not None and order.base_model is None:  # a request with both is refused below
        services.library.sharing.require(caller, Action.READ, order.source_tuned_model.removeprefix("tunedModels/"))
    return services.creation.checked(order)


def _estimated(services: Services, caller: Caller, order: CreationRequest) -> EstimateOut:
    estimate = services.estimates.of(_checked(services, caller, order), order.examples, order.named)
    return estimate_out(estimate, services.creation.problems(order), order.examples)


def _wake_worker(services: Services) -> None:
    if services.worker is not None:
        services.worker.wake()


def _created(services: Services, caller: Caller, order: CreationRequest, idempotency_key: str | None) -> TunedModel:
    model = services.creation.create(_checked(services, caller, order), idempotency_key)
    _wake_worker(services)
    return model


@router.get("/tunedModels", name="ListTunedModels")
def list_(
    services: ServicesOf,
    caller: CallerOf,
    page_size: int | None = None,
    page_token: str | None = None,
    filter: str = "",  # the name of the query parameter
) -> wire.TunedModelsPage:
    """List the tuned models that the caller has a role on, newest first."""
    require_scope(caller, Action.LIST)
    size, list_key = tuning.page_size(page_size, DEFAULT_PAGE_SIZE), ("tunedModels", caller.user_id, filter)
    before = tuning.read_page_token(page_token, *list_key)
    rows, has_more = services.library.page(caller, ModelFilter.parse(filter), before=before, limit=size)
    ids = [model.id for _, model in rows]
    shares, scores = services.library.sharing.shares(caller, ids), services.library.scores(ids)
    return wire.TunedModelsPage(
        tuned_models=[_shared_out(wire.tuned_model_out(m, scores.get(m.id)), shares[m.id]) for _, m in rows] or None,
        next_page_token=tuning.page_token(rows[-1][0], *list_key) if has_more else None,
    )


@router.get(_MODEL, name="GetTunedModel")
def get(services: ServicesOf, caller: CallerOf, model_id: str) -> wire.TunedModelOut:
    """Return a tuned model."""
    services.library.sharing.require(caller, Action.READ, model_id)
    return _with_contracts(services.library, caller, services.library.find(model_id))


@router.patch(_MODEL, name="UpdateTunedModel", dependencies=[needs(Action.WRITE)])
def update(
    services: ServicesOf, caller: CallerOf, model_id: str, body: wire.TunedModelIn, update_mask: str | None = None
) -> wire.TunedModelOut:
    """Change the names and sampling defaults of a tuned model; its owner may also share its examples with readers."""
    library = services.library
    library.sharing.require(caller, Action.WRITE, model_id)
    changes = _changes(body, update_mask)
    if "examples_shared" in changes:
        library.sharing.require(caller, Action.OWN, model_id)
    _check_sampling(library.find(model_id), changes)
    options = {name: bool(changes.pop(name)) for name in _OPTIONS if changes.get(name) is not None}
    if "served_epoch" in changes:
        changes["chosen_epoch"] = changes.pop("served_epoch") or None
    model = library.update(model_id, **changes) if changes else library.find(model_id)
    if options:
        set_prompt_options(library, model, **options)
    return _with_contracts(library, caller, model)


@router.delete(_MODEL, name="DeleteTunedModel")
def delete(services: ServicesOf, caller: CallerOf, model_id: str) -> None:
    """Delete a tuned model with its data, curve and adapter; its running task and reports are stopped."""
    services.library.sharing.require(caller, Action.OWN, model_id)
    for reports in (services.evaluations, services.data_checks, services.data_curves):
        reports.cancel(services.library.find(model_id))
    services.library.delete(model_id)


def _with_contracts(library: Library, caller: Caller, model: TunedModel) -> wire.TunedModelOut:
    contracts, options = contracts_of(library, model), prompt_options(library, model)
    facts = {
        "prompt_contract": contracts.prompt.sentence(),
        "input_prefix": contracts.prompt.beginning or None,
        "output_contract": contracts.output.sentence(),
        "output_form": contracts.output.kind,
        "wrap_plain_inputs": options.wraps_plain_inputs or None,
        "refuse_unlike_inputs": options.refuses_unlike_inputs or None,
        "constrain_to_training_outputs": options.constrains_outputs if contracts.output.own_form() else None,
    }
    share = library.sharing.shares(caller, [model.id])[model.id]
    shown = wire.tuned_model_out(model, library.scores([model.id]).get(model.id))
    return _shared_out(shown.model_copy(update=facts), share)


def _shared_out(shown: wire.TunedModelOut, share: Share) -> wire.TunedModelOut:
    return shown.model_copy(update={"role": share.role, "owner": share.owner})


def _version(request: Request) -> str:
    return request.url.path.strip("/").partition("/")[0]


class _Created(JsonReply):
    """
    The reply to a creation.

    Records whether the client was still connected; if not, it will retry, and the retry has to find the model that was
    created.
    """

    def __init__(self, content: wire.OperationOut, creation: Creation, model: TunedModel) -> None:
        super().__init__(content, headers={BASE_HEADER: model.base_model})
        self._creation, self._model = creation, model

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        was_sent = False
        try:
            is_connected = not await Request(scope, receive).is_disconnected()
            await super().__call__(scope, receive, send)
            was_sent = is_connected
        finally:
            await run_in_threadpool(self._creation.answered, self._model, was_sent=was_sent)


def _creation_request(body: wire.TunedModelIn, user_id: str, model_id: str | None) -> CreationRequest:
    task, source = body.tuning_task, body.tuned_model_source
    if task is None:
        raise InvalidArgument("tuningTask must be set: it holds the training data.")
    data = task.training_data
    inner = data.examples if data is not None else None
    given = task.hyperparameters.model_dump(by_alias=False, exclude_none=True) if task.hyperparameters else {}
    kind = given.pop("settings", SettingsKind.PAGE)
    return CreationRequest(
        user_id=user_id,
        examples=[(example.text_input, example.output) for example in (inner.examples if inner else [])],
        hyperparameters=Hyperparameters(**given),
        named=given if kind == SettingsKind.AUTO else None,
        base_model=body.base_model,
        source_tuned_model=None if source is None else source.tuned_model,
        tuned_again_from=body.tuned_again_from,
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


def _changes(body: wire.TunedModelIn, mask: str | None) -> dict[str, Any]:
    """Return the columns to change: those in the mask, or without a mask those set in the body."""
    if mask is None or mask == "*":
        return {name: value for name in _CLEARED if (value := getattr(body, name)) is not None}
    names = [to_snake(path.strip()) for path in mask.split(",") if path.strip()]
    for name in names:
        if name not in _CLEARED:
            raise InvalidArgument(f"updateMask: {name} cannot be updated. These can: {', '.join(_CLEARED)}.")
    return {name: _CLEARED[name] if (value := getattr(body, name)) is None else value for name in names}


def _check_sampling(model: TunedModel, changes: Mapping[str, Any]) -> None:
    SamplingSettings(**{name: changes.get(name, getattr(model, name)) for name in ("temperature", "top_p", "top_k")})


@examples_router.get(f"{_MODEL}/examples", name="ListTunedModelExamples")
async def list_examples(
    services: ServicesOf,
    caller: CallerOf,
    model_id: str,
    page_size: int | None = None,
    page_token: str | None = None,
    held_out: Flag = False,
    rendered: Flag = False,
    fixed: Flag = False,
) -> StoredExamplesPage:
    """
    List the examples of a tuned model, or its held-out rows with `heldOut=true`.

    Only writers may do this, unless the owner shares them with readers. With `fixed=true`, the fixes of the newest data
    check are applied; only writers may see its findings.
    """
    wanted = _ExamplesWanted(model_id, page_size, page_token, held_out, rendered, fixed)
    listed = partial(_examples_page, services, caller, wanted)
    return await (ROWS.run(caller.name, listed) if rendered else run_in_threadpool(listed))


@examples_router.get(f"{_MODEL}/epochAnswers", name="ListEpochAnswers")
def list_epoch_answers(services: ServicesOf, caller: CallerOf, model_id: str) -> EpochAnswersOut:
    """List the answers to a few rows after each epoch, during tuning and afterwards; access is as for examples."""
    services.library.sharing.require(caller, Action.READ, model_id)
    model = services.library.find(model_id)
    _require_examples(services.library, caller, model, is_fixed=False)
    return EpochAnswersOut.model_validate(services.library.epoch_answers(model) or {})


@dataclass(frozen=True, slots=True)
class _ExamplesWanted:
    model_id: str
    page_size: int | None
    page_token: str | None
    is_held_out: bool
    is_rendered: bool
    is_fixed: bool


def _examples_page(services: Services, caller: Caller, wanted: _ExamplesWanted) -> StoredExamplesPage:
    services.library.sharing.require(caller, Action.READ, wanted.model_id)
    model = services.library.find(wanted.model_id)
    _require_examples(services.library, caller, model, is_fixed=wanted.is_fixed)
    if wanted.is_fixed and wanted.is_held_out:
        raise InvalidArgument("fixed and heldOut cannot be combined: held-out examples are not fixed.")
    list_key = ("examples", model.id, wanted.is_held_out, wanted.is_fixed)
    start = tuning.read_page_token(wanted.page_token, *list_key) or 0
    size = min(
        tuning.page_size(wanted.page_size, EXAMPLES_PAGE_SIZE), MAX_RENDERED if wanted.is_rendered else MAX_PAGE_SIZE
    )
    if wanted.is_fixed:
        fixed = services.data_checks.fixed_examples(model)
        shown, total = tuple(fixed[start : start + size]), len(fixed)
    else:
        shown, total = services.library.examples_page(model, wanted.is_held_out, start=start, limit=size)
    return StoredExamplesPage(
        examples=_examples_out(services, caller.name, model.base_model, shown, wanted.is_rendered) or None,
        total_size=total,
        next_page_token=tuning.page_token(start + size, *list_key) if total > start + size else None,
    )


def _require_examples(library: Library, caller: Caller, model: TunedModel, *, is_fixed: bool) -> None:
    if not library.sharing.may_see_examples(caller, model) or (
        is_fixed and not library.sharing.allows(caller, Action.WRITE, model.id)
    ):
        raise PermissionDenied(f"Only its owner and writers may see the examples of {model.name}.")


def _examples_out(
    services: Services, user: str, base_model: str, examples: tuple[TuningExample, ...], is_rendered: bool
) -> list[StoredExampleOut]:
    texts = (
        services.answering.render_rows(base_model, examples, user)
        if is_rendered and examples
        else [None] * len(examples)
    )
    return [
        StoredExampleOut(text_input=example.text_input, output=example.output, rendered=text)
        for example, text in zip(examples, texts, strict=True)
    ]


@operations_router.get(
    _OPERATION,
    name="GetOperation",
    responses={200: {"model": wire.OperationOut}, 304: {"description": "The caller already has the current version."}},
)
def get_operation(
    request: Request,
    services: ServicesOf,
    caller: CallerOf,
    model_id: str,
    operation_id: str,
    extensions: Flag = False,
) -> Response:
    """
    Return the operation that creates a tuned model; 304 if the caller already has the current version (If-None-Match).
    """
    seen = _seen(services.library, caller, Action.READ, model_id, operation_id)
    variant = _version(request), extensions
    if variant not in seen.made:  # many clients poll between two steps, and a long curve is slow to encode
        body = JsonReply(_operation_out(services, seen, *variant)).body
        seen.made[variant] = bytes(body), f'"{hashlib.sha256(body).hexdigest()[:24]}"'
    body, tag = seen.made[variant]
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"ETag": tag})
    return Response(body, media_type=JsonReply.media_type, headers={"ETag": tag})


@operations_router.get(f"{_MODEL}/operations", name="ListOperations")
def list_operations(
    request: Request,
    services: ServicesOf,
    caller: CallerOf,
    model_id: str,
    page_size: int | None = None,
    page_token: str | None = None,
    filter: str = "",  # noqa: ARG001  # part of Google's API, but there is only one operation to filter
    extensions: Flag = False,
) -> wire.OperationsPage:
    """List the operations of a tuned model, which is only the one that creates it."""
    seen = services.library.polling.get(caller, Action.READ, model_id)
    operation = _operation_out(services, seen, _version(request), extensions)
    shown, _ = page_of([operation], page_size, page_token, "operations", model_id, default=DEFAULT_PAGE_SIZE)
    return wire.OperationsPage(operations=shown or None, next_page_token=None)


@operations_router.get(f"{_MODEL}:log", name="GetTunedModelLog")
def log(services: ServicesOf, caller: CallerOf, model_id: str) -> wire.TaskLogOut:
    """Return the last lines logged by the task of a tuned model, at most 200 (extension)."""
    services.library.sharing.require(caller, Action.READ, model_id)
    return wire.TaskLogOut(lines=list(services.library.log(services.library.find(model_id))))


@operations_router.post(f"{_OPERATION}:cancel", name="CancelOperation")
def cancel(services: ServicesOf, caller: CallerOf, model_id: str, operation_id: str) -> None:
    """Request cancellation; what was tuned so far stays usable. A finished operation is left as it is."""
    _seen(services.library, caller, Action.WRITE, model_id, operation_id)
    services.library.request_cancel(model_id)
    _wake_worker(services)


@operations_router.post(f"{_MODEL}:cancel", name="CancelTunedModel")
def cancel_of_model(services: ServicesOf, caller: CallerOf, model_id: str) -> None:
    """Cancel the operation of a tuned model; google-genai's `tunings.cancel` posts here."""
    services.library.sharing.require(caller, Action.WRITE, model_id)
    services.library.request_cancel(model_id)
    _wake_worker(services)


@operations_router.post(f"{_MODEL}:startNext", name="StartTunedModelNext")
def start_next(services: ServicesOf, caller: CallerOf, model_id: str) -> None:
    """Put a waiting tuning job before the other waiting jobs of the user who created it (extension)."""
    services.library.sharing.require(caller, Action.WRITE, model_id)
    services.library.start_next(services.library.find(model_id))


@operations_router.delete(_OPERATION, name="DeleteOperation")
def delete_operation(services: ServicesOf, caller: CallerOf, model_id: str, operation_id: str) -> None:
    """Refuse, because an operation exists as long as its tuned model."""
    _seen(services.library, caller, Action.WRITE, model_id, operation_id)
    raise Unimplemented("Operations cannot be deleted; delete the tuned model instead.")


def _seen(library: Library, caller: Caller, action: Action, model_id: str, operation_id: str) -> Seen:
    seen = library.polling.get(caller, action, model_id)
    if seen.model.task.operation_id != operation_id:
        raise NotFound(f"Operation tunedModels/{model_id}/operations/{operation_id} does not exist.")
    return seen


def _operation_out(services: Services, seen: Seen, version: str, with_extensions: bool) -> wire.OperationOut:
    return wire.operation_out(
        seen.model,
        version,
        waiting_before=seen.waiting_before,
        seconds_to_start=seen.seconds_to_start,
        seconds_left=services.estimates.left(seen.model) if with_extensions else None,
        usage=None if services.worker is None else services.worker.usage_of(seen.model.task.id),
        with_extensions=with_extensions,
    )


@permissions_router.post(_PERMISSIONS, name="CreatePermission", dependencies=[needs(Action.WRITE)])
def create_permission(
    services: ServicesOf, caller: CallerOf, model_id: str, body: wire.PermissionIn
) -> wire.PermissionOut:
    """Share a tuned model with a user, a group or everyone."""
    sharing = services.library.sharing
    # checked first, so that others learn nothing about the rest of their request
    sharing.require(caller, Action.WRITE, model_id)
    if body.grantee_type is None or body.role is None:
        raise InvalidArgument("grantee_type and role must be set.")
    return wire.permission_out(sharing.create(caller, model_id, body.grantee_type, body.email_address, body.role))


@permissions_router.get(_PERMISSIONS, name="ListPermissions")
def list_permissions(
    services: ServicesOf, caller: CallerOf, model_id: str, page_size: int | None = None, page_token: str | None = None
) -> wire.PermissionsPage:
    """List the permissions of a tuned model, oldest first."""
    known = services.library.sharing.require(caller, Action.READ, model_id)
    shown, next_page = page_of(known, page_size, page_token, "permissions", model_id, default=DEFAULT_PAGE_SIZE)
    return wire.PermissionsPage(
        permissions=[wire.permission_out(permission) for permission in shown] or None, next_page_token=next_page
    )


@permissions_router.get(_PERMISSION, name="GetPermission")
def get_permission(services: ServicesOf, caller: CallerOf, model_id: str, permission_id: str) -> wire.PermissionOut:
    """Return a permission."""
    return wire.permission_out(services.library.sharing.get(caller, model_id, permission_id))


@permissions_router.patch(_PERMISSION, name="UpdatePermission", dependencies=[needs(Action.WRITE)])
def update_permission(
    services: ServicesOf,
    caller: CallerOf,
    model_id: str,
    permission_id: str,
    body: wire.PermissionIn,
    update_mask: str = "role",
) -> wire.PermissionOut:
    """Change the role of a permission; nothing else about it can change."""
    sharing = services.library.sharing
    sharing.require(caller, Action.WRITE, model_id)
    if update_mask not in ("role", "*"):
        raise InvalidArgument("updateMask: only role can be updated.")
    if body.role is None:
        raise InvalidArgument("role must be set.")
    return wire.permission_out(sharing.change_role(caller, model_id, permission_id, body.role))


@permissions_router.delete(_PERMISSION, name="DeletePermission")
def delete_permission(services: ServicesOf, caller: CallerOf, model_id: str, permission_id: str) -> None:
    """Revoke a permission."""
    services.library.sharing.delete(caller, model_id, permission_id)


@permissions_router.post(f"{_MODEL}:transferOwnership", name="TransferOwnership", dependencies=[needs(Action.OWN)])
def transfer(services: ServicesOf, caller: CallerOf, model_id: str, body: wire.TransferIn) -> None:
    """Make another user the owner; the old owner stays a writer."""
    sharing = services.library.sharing
    sharing.require(caller, Action.OWN, model_id)
    if not body.email_address:
        raise InvalidArgument("email_address must be set.")
    sharing.transfer(caller, model_id, body.email_address)
