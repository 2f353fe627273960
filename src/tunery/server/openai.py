"""
The same models for clients of OpenAI's API: chat/completions, completions, models, and errors in that API's shape.

Model names may have the prefix `models/` or `tunedModels/`; a plain name means a base model if there is one with that
name. These clients send every credential as a bearer token, so API keys are accepted there too.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from tunery.data.json_text import one_line
from tunery.errors import NotFound, TuneryError
from tunery.server.decisions import DecisionRoute, decide
from tunery.server.generation import (
    FinishedAnswer,
    Target,
    answer_chunks,
    checked_call,
    finished_answers,
    target_named,
)
from tunery.server.http import (
    HTTP_STATUS,
    ApiRouter,
    JsonReply,
    Services,
    ServicesOf,
    reply_of,
)
from tunery.server.not_offered import why_not_found_by_openai
from tunery.server.security import BearerOrKey as CallerOf
from tunery.server.wire import openai as wire
from tunery.server.wire.messages import Message
from tunery.service.access import Action, require_known, require_scope
from tunery.service.answering_child import AnswerChunk
from tunery.service.tuning import MAX_PAGE_SIZE, ModelFilter
from tunery.types import Caller, State, TunedModel, Turn

OPENAI_PATHS = ("/v1beta/openai", "/openai/v1")
_ALL_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"]

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
    """A route whose errors have this API's shape."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except TuneryError as error:
                return _error_reply(error)
            except Exception as error:  # noqa: BLE001  # these clients can only read errors of this shape
                _log.error("%s failed", self.name, exc_info=error)
                return _error_reply(TuneryError("Internal error encountered. See the server log."))

        return handled


router = ApiRouter(tags=["OpenAI style (extension)"], route_class=_Route, is_googles=False)


@router.post("/chat/completions", name="CreateChatCompletion", responses={200: {"model": wire.ChatCompletionOut}})
async def chat(request: Request, services: ServicesOf, caller: CallerOf, body: wire.ChatCompletionIn) -> Response:
    """Continue a conversation, in one reply or, with `stream`, as server-sent events."""
    wire.check_supported(body)
    target = await run_in_threadpool(target_named, services, caller, body.model)
    return await _answered(request, services, target, body, [wire.chat_turns(body)], _Chat(target.name, body))


@router.post("/completions", name="CreateCompletion", responses={200: {"model": wire.CompletionOut}})
async def complete(request: Request, services: ServicesOf, caller: CallerOf, body: wire.CompletionIn) -> Response:
    """Answer prompts, in one reply or, with `stream`, as server-sent events."""
    prompts = wire.prompts_turns(body)
    wire.check_supported(body, len(prompts))
    target = await run_in_threadpool(target_named, services, caller, body.model)
    return await _answered(request, services, target, body, prompts, _Text(target.name, body))


class _OpenAIDecisionRoute(_Route, DecisionRoute):
    """Decisions: 422 with a `detail` list for fields that cannot be used, other errors in this API's shape."""


router.add_api_route(
    "/systemone",
    decide,
    methods=["POST"],
    name="CreateOpenAIDecision",
    responses={200: {"model": wire.DecisionOut}, 422: {"model": wire.UnprocessableOut}},
    route_class_override=_OpenAIDecisionRoute,
)


@router.get("/models", name="ListOpenAIModels")
def list_(services: ServicesOf, caller: CallerOf) -> wire.OpenAIModelsOut:
    """List the models that the caller may use: base models with weights on this machine, and tuned models."""
    require_known(caller)
    found = [_base_out(entry.name) for entry in services.catalog.entries() if entry.is_present]
    return wire.OpenAIModelsOut(data=found + [_tuned_out(model) for model in _tuned_models(services, caller)])


@router.get("/models/{name:any}", name="GetOpenAIModel")
def get(services: ServicesOf, caller: CallerOf, name: str) -> wire.OpenAIModelOut:
    """Return a model that the caller may use."""
    target = target_named(services, caller, name)
    is_tuned = target.question.adapter is not None
    return _tuned_out(services.library.find(target.name.partition("/")[2])) if is_tuned else _base_out(target.name)


@router.api_route("/{rest:any}", methods=_ALL_METHODS, include_in_schema=False)
def unknown(rest: str) -> Response:
    """Refuse other paths, and other methods of these paths, in this API's shape."""
    known = [route for route in router.routes if isinstance(route, APIRoute) and route.include_in_schema]
    methods = sorted(
        {verb for route in known if route.path_regex.fullmatch(f"/{rest}") for verb in route.methods or ()}
    )
    if not methods:
        raise NotFound(why_not_found_by_openai(rest))
    message = f"/{rest} takes {' or '.join(methods)} only."
    refusal = wire.OpenAIErrorOut(message=message, type="invalid_request_error", code=None)
    return JsonReply({"error": refusal.json_object()}, 405, {"Allow": ", ".join(methods)})


class _Reply:
    """The fields at the beginning of every part of a reply, and what was asked for."""

    id_prefix = ""

    def __init__(self, model: str, request: wire.ChatCompletionIn | wire.CompletionIn) -> None:
        self.answers_per_prompt = request.n
        self.has_logprobs = wire.top_logprobs(request) is not None
        self.head: dict[str, Any] = {
            "id": f"{self.id_prefix}-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": model.removeprefix("models/"),
        }


class _Chat(_Reply):
    """Answers in a conversation."""

    id_prefix = "chatcmpl"

    def whole(self, answers: list[FinishedAnswer], usage: wire.UsageOut) -> Message:
        choices = [
            wire.ChatChoiceOut(
                index=index,
                message=wire.ChatMessageOut(content=answer.text),
                logprobs=self._logprobs(answer),
                finish_reason=wire.finish_reason(answer.finish_reason),
            )
            for index, answer in enumerate(answers)
        ]
        return wire.ChatCompletionOut(**self.head, choices=choices, usage=usage)

    def chunks(self, index: int, chunk: AnswerChunk, *, is_first: bool) -> list[Message]:
        """
        Return the chunks to send for one of ours; the role comes first and the finish reason last, each in its own
        chunk.
        """
        made: list[Message] = []
        if is_first:
            made.append(self._chunk(index, wire.ChatDeltaOut(role="assistant", content=""), None))
        if chunk.text or chunk.logprobs:
            made.append(self._chunk(index, wire.ChatDeltaOut(content=chunk.text), None, self._logprobs(chunk)))
        if chunk.finish_reason is not None:
            made.append(self._chunk(index, wire.ChatDeltaOut(), wire.finish_reason(chunk.finish_reason)))
        return made

    def last(self, usage: wire.UsageOut) -> Message:
        return wire.ChatChunkOut(**self.head, choices=[], usage=usage)

    def _chunk(
        self, index: int, delta: wire.ChatDeltaOut, reason: str | None, logprobs: wire.ChatLogprobsOut | None = None
    ) -> wire.ChatChunkOut:
        choice = wire.ChatChunkChoiceOut(index=index, delta=delta, logprobs=logprobs, finish_reason=reason)
        return wire.ChatChunkOut(**self.head, choices=[choice])

    def _logprobs(self, answer: FinishedAnswer | AnswerChunk) -> wire.ChatLogprobsOut | None:
        return wire.chat_logprobs(answer.logprobs) if self.has_logprobs else None


class _Text(_Reply):
    """Answers to prompts."""

    id_prefix = "cmpl"

    def __init__(self, model: str, request: wire.CompletionIn) -> None:
        super().__init__(model, request)
        self._spelled: dict[int, bytes] = defaultdict(bytes)  # of each answer so far

    def whole(self, answers: list[FinishedAnswer], usage: wire.UsageOut) -> Message:
        choices = [self._choice(index, answer) for index, answer in enumerate(answers)]
        return wire.CompletionOut(**self.head, choices=choices, usage=usage)

    def chunks(self, index: int, chunk: AnswerChunk, *, is_first: bool) -> list[Message]:  # noqa: ARG002
        return [wire.CompletionOut(**self.head, choices=[self._choice(index, chunk)], usage=None)]

    def last(self, usage: wire.UsageOut) -> Message:
        return wire.CompletionOut(**self.head, choices=[], usage=usage)

    def _choice(self, index: int, answer: FinishedAnswer | AnswerChunk) -> wire.CompletionChoiceOut:
        reason = None if answer.finish_reason is None else wire.finish_reason(answer.finish_reason)
        logprobs = None
        if self.has_logprobs:
            logprobs = wire.completion_logprobs(answer.logprobs, self._spelled[index])
            self._spelled[index] += b"".join(each.spelling for each in answer.logprobs)
        return wire.CompletionChoiceOut(index=index, text=answer.text, logprobs=logprobs, finish_reason=reason)


async def _answered(
    request: Request,
    services: Services,
    target: Target,
    body: wire.ChatCompletionIn | wire.CompletionIn,
    prompts: list[tuple[Turn, ...]],
    reply: _Chat | _Text,
) -> Response:
    checks = [checked_call(request, target, turns) for turns in prompts]
    worst = max(checks, key=lambda check: len(check.differences))  # there is one header for all prompts
    asked = [(check, wire.settings_of(body, target.defaults, target.own_form(check.turns))) for check in checks]
    questions = [target.question_of(check.turns, each, index) for check, each in asked for index in range(body.n)]
    if body.stream:
        chunks = await answer_chunks(request, services, questions)
        events = _events(_chunks(reply, chunks, has_usage=body.stream_options.include_usage))
        return worst.add_headers(StreamingResponse(events, media_type="text/event-stream"))
    finished = await finished_answers(request, services, questions)
    usage = wire.usage_out(
        sum(answer.prompt_tokens for answer in finished[:: body.n]), sum(answer.output_tokens for answer in finished)
    )
    return worst.add_headers(JsonReply(reply.whole(finished, usage)))


async def _chunks(
    reply: _Chat | _Text, chunks: AsyncIterator[tuple[int, AnswerChunk]], *, has_usage: bool
) -> AsyncIterator[Message]:
    lasts: dict[int, AnswerChunk] = {}
    async for index, chunk in chunks:
        for part in reply.chunks(index, chunk, is_first=index not in lasts):
            yield part
        lasts[index] = chunk
    if has_usage:
        prompts = sum(chunk.prompt_tokens for index, chunk in lasts.items() if index % reply.answers_per_prompt == 0)
        yield reply.last(wire.usage_out(prompts, sum(chunk.output_tokens for chunk in lasts.values())))


async def _events(chunks: AsyncIterator[Message]) -> AsyncIterator[bytes]:
    """Yield server-sent events as these clients expect them, with `[DONE]` as the last one."""
    try:
        async for chunk in chunks:
            yield _event(chunk.to_json())
    except TuneryError as error:
        yield _event(json.dumps(_error_object(error), ensure_ascii=False))
    except Exception as error:  # noqa: BLE001  # the status line has been sent, so the error can only be an event
        _log.error("A stream broke off", exc_info=error)
        yield _event(json.dumps(_error_object(TuneryError("Internal error encountered."))))
    yield b"data: [DONE]\n\n"


def _event(data: str) -> bytes:
    return f"data: {one_line(data)}\n\n".encode()


def _tuned_models(services: Services, caller: Caller) -> list[TunedModel]:
    """Return the tuned models that a caller may use, newest first."""
    filters = [ModelFilter(is_everyone=True)]
    if _may_list(caller):
        filters.insert(0, ModelFilter())
    pages = [services.library.page(caller, one, limit=MAX_PAGE_SIZE, with_snapshots=False)[0] for one in filters]
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
