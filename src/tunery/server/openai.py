"""
The same models for clients of OpenAI's API: chat/completions, completions and models, errors in that API's shape.

Model names are taken with or without `models/` and `tunedModels/`; a plain name is a base model's if there is one.
These clients send whatever they have as a bearer, so an API key is taken there too. What answers is `answers.py`.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from tunery.errors import InvalidArgument, NotFound, TuneryError, Unauthenticated
from tunery.server import generation
from tunery.server.generation import FinishedAnswer, Target, base_target, checked_call, tuned_target
from tunery.server.http import HTTP_STATUS, JsonReply, Services, body_of, described, reply_of, services_of
from tunery.server.monitoring import note_caller
from tunery.server.security import caller_of
from tunery.server.wire import openai as wire
from tunery.service.access import Action, require_known, require_scope
from tunery.service.answering_child import AnswerChunk, Question
from tunery.service.requests import MAX_PAGE_SIZE, ModelFilter
from tunery.types import Caller, State, TunedModel

PREFIXES = ("/v1beta/openai", "/openai/v1")

# HTTP status to `type` and `code` of an error (platform.openai.com/docs/guides/error-codes)
_ERRORS: dict[int, tuple[str, str | None]] = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "permission_denied"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
}

_log = logging.getLogger("tunery.server")


class _Route(APIRoute):
    """A route whose errors are of this API's shape."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except TuneryError as error:
                return _error_reply(error)
            except Exception as error:  # noqa: BLE001  # these clients read errors of this shape only
                _log.error("%s failed", self.name, exc_info=error)
                return _error_reply(TuneryError("Internal error encountered. The log of the server says more."))

        return handled


router = APIRouter(tags=["OpenAI style (extension)"], route_class=_Route)


def bearer_or_key(request: Request) -> Caller:
    """Return who calls; a bearer may be a token or an API key. Raises Unauthenticated if it is neither."""
    try:
        caller = caller_of(request)
    except Unauthenticated:
        bearer = request.headers.get("authorization", "").partition(" ")[2].strip()
        try:
            caller = services_of(request).accounts.caller_of_key(bearer)
        except InvalidArgument:
            raise Unauthenticated("Incorrect API key provided: it is neither a token nor an API key.") from None
    note_caller(request, caller)
    return caller


CallerOf = Annotated[Caller, Depends(bearer_or_key)]
ChatAsked = Annotated[wire.ChatCompletionIn, Depends(body_of(wire.ChatCompletionIn))]
TextAsked = Annotated[wire.CompletionIn, Depends(body_of(wire.CompletionIn))]


@router.post(
    "/chat/completions",
    name="CreateChatCompletion",
    **described(wire.ChatCompletionOut, body=wire.ChatCompletionIn),
)
async def chat(request: Request, caller: CallerOf, body: ChatAsked) -> Response:
    """Go on with a conversation: whole, or with `stream` as server-sent events."""
    wire.check_supported(body)
    target = await run_in_threadpool(_target, services_of(request), caller, body.model)
    settings, check = wire.settings_of(body, target.defaults), checked_call(request, target, wire.chat_turns(body))
    questions = [target.asked(check.turns, settings, place) for place in range(body.n)]
    reply = _Chat(target.name, body.n)
    if body.stream:
        return check.tell(await _streamed(request, reply, questions, has_usage=body.stream_options.include_usage))
    finished = await _finished(request, questions)
    choices = [reply.choice(place, answer) for place, answer in enumerate(finished)]
    out = wire.ChatCompletionOut(**reply.head, choices=choices, usage=_usage(finished, body.n))
    return check.tell(JsonReply(out.json_object()))


@router.post("/completions", name="CreateCompletion", **described(wire.CompletionOut, body=wire.CompletionIn))
async def complete(request: Request, caller: CallerOf, body: TextAsked) -> Response:
    """Answer prompts: whole, or with `stream` as server-sent events."""
    prompts = wire.prompts_turns(body)
    wire.check_supported(body, len(prompts))
    target = await run_in_threadpool(_target, services_of(request), caller, body.model)
    settings = wire.settings_of(body, target.defaults)
    checks = [checked_call(request, target, turns) for turns in prompts]
    worst = max(checks, key=lambda check: len(check.differences))  # one header speaks for all prompts
    questions = [target.asked(check.turns, settings, place) for check in checks for place in range(body.n)]
    reply = _Text(target.name, body.n)
    if body.stream:
        return worst.tell(await _streamed(request, reply, questions, has_usage=body.stream_options.include_usage))
    finished = await _finished(request, questions)
    choices = [reply.choice(place, answer) for place, answer in enumerate(finished)]
    out = wire.CompletionOut(**reply.head, choices=choices, usage=_usage(finished, body.n))
    return worst.tell(JsonReply(out.json_object()))


@router.get("/models", name="ListOpenAIModels", **described(wire.OpenAIModelsOut))
def list_(request: Request, caller: CallerOf) -> Response:
    """List the models that the caller may ask: base models whose weights are here, and tuned models."""
    require_known(caller)
    services = services_of(request)
    found = [_base_out(entry.name) for entry in services.catalog.entries() if entry.is_present]
    found += [_tuned_out(model) for model in _tuned_models(services, caller)]
    return JsonReply(wire.OpenAIModelsOut(data=found).json_object())


@router.get("/models/{name:path}", name="GetOpenAIModel", **described(wire.OpenAIModelOut))
def get(request: Request, caller: CallerOf, name: str) -> Response:
    """Return a model that the caller may ask."""
    services = services_of(request)
    target = _target(services, caller, name)
    is_tuned = target.question.adapter is not None
    out = _tuned_out(services.library.find(target.name.partition("/")[2])) if is_tuned else _base_out(target.name)
    return JsonReply(out.json_object())


@router.api_route("/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
def unknown(rest: str) -> Response:
    """Say in this API's shape that a path is not offered."""
    raise NotFound(f"There is no /{rest} here. Offered: chat/completions, completions, models.")


class _Reply:
    """What all parts of a reply begin with, and how many answers each prompt gets."""

    id_prefix = ""

    def __init__(self, model: str, answers_per_prompt: int) -> None:
        self.answers_per_prompt = answers_per_prompt
        self.head: dict[str, Any] = {
            "id": f"{self.id_prefix}-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": model,
        }


class _Chat(_Reply):
    """How answers of a conversation are written."""

    id_prefix = "chatcmpl"

    def choice(self, place: int, answer: FinishedAnswer) -> wire.ChatChoiceOut:
        message = wire.ChatMessageOut(content=answer.text)
        return wire.ChatChoiceOut(index=place, message=message, finish_reason=wire.finish_reason(answer.finish_reason))

    def chunks(self, place: int, piece: AnswerChunk, *, is_first: bool) -> list[dict[str, Any]]:
        """Return the chunks of a piece: the role alone comes first, the reason of the end alone comes last."""
        deltas = [wire.ChatDeltaOut(role="assistant", content="")] * is_first
        deltas += [wire.ChatDeltaOut(content=piece.text)] * bool(piece.text)
        made = [self._chunk(place, delta, None) for delta in deltas]
        if piece.finish_reason is not None:
            made.append(self._chunk(place, wire.ChatDeltaOut(), wire.finish_reason(piece.finish_reason)))
        return made

    def last(self, usage: wire.UsageOut) -> dict[str, Any]:
        return wire.ChatChunkOut(**self.head, choices=[], usage=usage).json_object()

    def _chunk(self, place: int, delta: wire.ChatDeltaOut, reason: str | None) -> dict[str, Any]:
        choice = wire.ChatChunkChoiceOut(index=place, delta=delta, finish_reason=reason)
        return wire.ChatChunkOut(**self.head, choices=[choice]).json_object()


class _Text(_Reply):
    """How answers to prompts are written."""

    id_prefix = "cmpl"

    def choice(self, place: int, answer: FinishedAnswer) -> wire.CompletionChoiceOut:
        reason = wire.finish_reason(answer.finish_reason)
        return wire.CompletionChoiceOut(index=place, text=answer.text, finish_reason=reason)

    def chunks(self, place: int, piece: AnswerChunk, *, is_first: bool) -> list[dict[str, Any]]:  # noqa: ARG002
        reason = None if piece.finish_reason is None else wire.finish_reason(piece.finish_reason)
        choice = wire.CompletionChoiceOut(index=place, text=piece.text, finish_reason=reason)
        return [wire.CompletionOut(**self.head, choices=[choice], usage=None).json_object()]

    def last(self, usage: wire.UsageOut) -> dict[str, Any]:
        return wire.CompletionOut(**self.head, choices=[], usage=usage).json_object()


async def _finished(request: Request, questions: list[Question]) -> list[FinishedAnswer]:
    return await generation.while_connected(
        request, generation.whole_answers(services_of(request).answering, questions)
    )


async def _streamed(request: Request, reply: _Chat | _Text, questions: list[Question], *, has_usage: bool) -> Response:
    said = generation.streamed(services_of(request).answering, questions)
    pieces = await generation.while_connected(request, generation.with_first_piece(said))
    events = _events(_chunks(reply, pieces, has_usage=has_usage))
    return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


async def _chunks(
    reply: _Chat | _Text, pieces: AsyncIterator[tuple[int, AnswerChunk]], *, has_usage: bool
) -> AsyncIterator[dict[str, Any]]:
    lasts: dict[int, AnswerChunk] = {}
    async for place, piece in pieces:
        for chunk in reply.chunks(place, piece, is_first=place not in lasts):
            yield chunk
        lasts[place] = piece
    if has_usage:
        prompts = sum(piece.prompt_tokens for place, piece in lasts.items() if place % reply.answers_per_prompt == 0)
        yield reply.last(wire.usage_out(prompts, sum(piece.output_tokens for piece in lasts.values())))


async def _events(chunks: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    """Yield server-sent events as these clients want them, `[DONE]` behind the last."""
    try:
        async for chunk in chunks:
            yield _event(chunk)
    except TuneryError as error:
        yield _event(_error_object(error))
    except Exception as error:  # noqa: BLE001  # the status has been sent; only an event can still say it
        _log.error("A stream broke off", exc_info=error)
        yield _event(_error_object(TuneryError("Internal error encountered.")))
    yield b"data: [DONE]\n\n"


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n\n"


def _target(services: Services, caller: Caller, name: str) -> Target:
    """Return the model that a name means, to be asked; raises InvalidArgument, NotFound, PermissionDenied."""
    if not name:
        raise InvalidArgument("model must be set.")
    kind, _, model_id = name.rpartition("/")
    if kind == "models" or (not kind and _is_base(services, model_id)):
        return base_target(services, caller, model_id)
    if kind == "tunedModels" or not kind:
        try:
            return tuned_target(services, caller, model_id)
        except NotFound:
            raise _no_model(name) from None
    raise _no_model(name)


def _is_base(services: Services, name: str) -> bool:
    try:
        services.catalog.resolve(name)
    except NotFound:
        return False
    return True


def _no_model(name: str) -> NotFound:
    return NotFound(f"The model {name!r} does not exist or you do not have access to it.")


def _tuned_models(services: Services, caller: Caller) -> list[TunedModel]:
    """Return the usable tuned models that a caller may ask, newest first."""
    wanted = [ModelFilter(is_everyone=True)]
    if _may_list(caller):
        wanted.insert(0, ModelFilter())
    pages = [services.library.page(caller, one, limit=MAX_PAGE_SIZE) for one in wanted]
    found = {number: model for page in pages for number, model in page if model.state is State.ACTIVE}
    return [found[number] for number in sorted(found, reverse=True)]


def _may_list(caller: Caller) -> bool:
    try:
        require_scope(caller, Action.LIST)
    except TuneryError:
        return False
    return True


def _base_out(name: str) -> wire.OpenAIModelOut:
    return wire.OpenAIModelOut(id=name.removeprefix("models/"), created=0, owned_by="base model")


def _tuned_out(model: TunedModel) -> wire.OpenAIModelOut:
    return wire.OpenAIModelOut(id=model.name, created=int(model.create_time.timestamp()), owned_by="tuned model")


def _usage(finished: list[FinishedAnswer], answers_per_prompt: int) -> wire.UsageOut:
    prompts = sum(answer.prompt_tokens for answer in finished[::answers_per_prompt])
    return wire.usage_out(prompts, sum(answer.output_tokens for answer in finished))


def _error_object(error: TuneryError) -> dict[str, Any]:
    status = HTTP_STATUS[error.status]
    kind, code = _ERRORS.get(status, ("server_error", error.status.lower()))
    return {"error": wire.OpenAIErrorOut(message=str(error), type=kind, code=code).json_object()}


def _error_reply(error: TuneryError) -> Response:
    status = HTTP_STATUS[error.status]
    if status == 500:
        _log.error("%s", error, exc_info=error)
    headers = {
        name: value for name, value in reply_of(error).headers.items() if name in ("retry-after", "www-authenticate")
    }
    return JsonReply(_error_object(error), status, headers)
