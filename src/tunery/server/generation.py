"""
Answers from base and tuned models: generateContent, streamGenerateContent, countTokens, and PaLM's older text methods.

Tuned models support every method of base models. The original offered countTokens for base models only, but clients
call it on tuned ones too; and users of text-bison could not find out which of two ways to call their tuned model was
right.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from tunery.data.inputs import PromptContract
from tunery.data.outputs import Contracts
from tunery.errors import InvalidArgument, NotFound, TuneryError
from tunery.server.http import ApiRouter, JsonReply, Services, ServicesOf, caller_noted, event_stream, json_array
from tunery.server.security import CallerOf
from tunery.server.wire import generation as wire
from tunery.service import folder
from tunery.service.access import require_known, require_use, role_of
from tunery.service.answering import Answering, Reply
from tunery.service.answering_child import AnswerChunk, Counted, Question, Refused
from tunery.service.contracts import contracts_of, prompt_options
from tunery.types import AnswerForm, Caller, GranteeType, PromptDifference, SamplingSettings, TokenLogprob, Turn

T = TypeVar("T")

CONTRACT_HEADER = "x-tunery-prompt-contract"
CANCELLED_HEADER = "x-tunery-cancelled"  # of a model whose tuning was cancelled: at which step, and what answers
BASE_HEADER = "x-tunery-base-model"  # the open weights that answered, whatever name was requested
MAX_HEADER_CHARACTERS = 400

router = ApiRouter(tags=["generation"])
text_router = ApiRouter(tags=["text"])

Responses = dict[int | str, dict[str, Any]]
_BASE, _TUNED = "/models/{model_id:id}", "/tunedModels/{model_id:id}"
_ANSWER: Responses = {200: {"model": wire.GenerateContentOut}}
_TEXT: Responses = {200: {"model": wire.GenerateTextOut}}
_COUNT: Responses = {200: {"model": wire.CountTokensOut}}
_TEXT_COUNT: Responses = {200: {"model": wire.CountTextTokensOut}}


@dataclass(frozen=True, slots=True)
class Target:
    """A model that the caller may use: base and adapter as a question without turns, and the default settings."""

    name: str
    question: Question
    defaults: SamplingSettings
    contracts: Contracts | None = None  # of a tuned model
    wraps_plain_inputs: bool = False
    constrains_outputs: bool = False
    refuses_unlike_inputs: bool = False
    cancellation: str | None = None
    label_temperature: float = 1.0

    def own_form(self, turns: tuple[Turn, ...]) -> AnswerForm | None:
        """Return the default constraint on answers, which is labels for single questions as in tuning."""
        is_like_examples = len(turns) == 1 and turns[0].role == "user"
        return (
            self.contracts.output.own_form()
            if self.contracts and self.constrains_outputs and is_like_examples
            else None
        )

    def question_of(self, turns: tuple[Turn, ...], settings: SamplingSettings, candidate: int = 0) -> Question:
        """Return the question; each candidate uses a different seed."""
        form = settings.form and replace(settings.form, label_temperature=self.label_temperature)
        return replace(
            self.question, turns=turns, settings=replace(settings, seed=settings.seed + candidate, form=form)
        )


def _target_of(request: Request, services: ServicesOf, caller: CallerOf, model_id: str) -> Target:
    path, _, method = request.url.path.rpartition(":")
    version, kind = path.strip("/").split("/")[:2]
    is_tuned = kind == "tunedModels"
    target = (
        tuned_target(services, caller, model_id)
        if is_tuned
        else base_target(services, caller, model_id, method, version)
    )
    services.answering.require_room(caller.name)  # before the body is read
    return target


TargetOf = Annotated[Target, Depends(_target_of)]


@router.post(f"{_TUNED}:generateContent", name="GenerateContentTuned", responses=_ANSWER)
@router.post(f"{_BASE}:generateContent", name="GenerateContent", responses=_ANSWER)
async def generate(request: Request, services: ServicesOf, target: TargetOf, body: wire.GenerateContentIn) -> Response:
    """Answer with a model."""
    check = checked_call(request, target, wire.turns_of(body))
    finished = await finished_answers(request, services, _questions(target, body, check))
    usage = _usage(finished[0].prompt_tokens, sum(answer.output_tokens for answer in finished))
    out = wire.GenerateContentOut(
        candidates=[
            _candidate(index, answer, answer.logprobs, answer.output_tokens) for index, answer in enumerate(finished)
        ],
        usage_metadata=usage,
        model_version=target.name.removeprefix("models/"),
        prompt_contract=_contract_out(check),
    )
    return check.add_headers(JsonReply(out))


@router.post(f"{_TUNED}:streamGenerateContent", name="StreamGenerateContentTuned", responses=_ANSWER)
@router.post(f"{_BASE}:streamGenerateContent", name="StreamGenerateContent", responses=_ANSWER)
async def stream(
    request: Request, services: ServicesOf, target: TargetOf, body: wire.GenerateContentIn, alt: str = "json"
) -> Response:
    """Answer with a model, chunk by chunk: as server-sent events with `alt=sse`, else as one JSON array."""
    check = checked_call(request, target, wire.turns_of(body))
    chunks = _chunks(target, check, await answer_chunks(request, services, _questions(target, body, check)))
    return check.add_headers(event_stream(chunks) if alt == "sse" else json_array(chunks))


@router.post(f"{_TUNED}:countTokens", name="CountTokensTuned", responses=_COUNT)
@router.post(f"{_BASE}:countTokens", name="CountTokens", responses=_COUNT)
async def count(request: Request, services: ServicesOf, target: TargetOf, body: wire.CountTokensIn) -> Response:
    """Count the tokens of a prompt as a model reads it, chat template included."""
    asked = wire.counted_request(body)
    wire.refuse_unsupported(asked)
    question = target.question_of(wire.turns_of(asked), target.defaults)
    out = wire.CountTokensOut(total_tokens=await counted_tokens(request, services, question))
    return JsonReply(out, headers={BASE_HEADER: question.base_model})


@text_router.post(f"{_TUNED}:generateText", name="GenerateTextTuned", responses=_TEXT)
@text_router.post(f"{_BASE}:generateText", name="GenerateText", responses=_TEXT)
async def generate_text(
    request: Request, services: ServicesOf, target: TargetOf, body: wire.GenerateTextIn
) -> Response:
    """Answer a prompt with a model."""
    check = checked_call(request, target, wire.prompt_turns(body.prompt))
    form = wire.own_form(body, target.own_form(check.turns))
    settings = replace(wire.sampling_of(body, target.defaults), form=form)
    questions = [target.question_of(check.turns, settings, index) for index in range(wire.candidate_count(body))]
    finished = await finished_answers(request, services, questions)
    out = wire.GenerateTextOut(candidates=[wire.TextCompletionOut(output=answer.text) for answer in finished])
    return check.add_headers(JsonReply(out))


@text_router.post(f"{_BASE}:countTextTokens", name="CountTextTokens", responses=_TEXT_COUNT)
async def count_text(
    request: Request, services: ServicesOf, target: TargetOf, body: wire.CountTextTokensIn
) -> Response:
    """Count the tokens of a prompt."""
    question = target.question_of(wire.prompt_turns(body.prompt), target.defaults)
    out = wire.CountTextTokensOut(token_count=await counted_tokens(request, services, question))
    return JsonReply(out, headers={BASE_HEADER: question.base_model})


def _questions(target: Target, body: wire.GenerateContentIn, check: PromptCheck) -> list[Question]:
    wire.refuse_unsupported(body)
    config = body.generation_config or wire.GenerationConfigIn()
    outputs = None if target.contracts is None else target.contracts.output
    form = wire.form_of(config, outputs, target.own_form(check.turns))
    settings = replace(wire.sampling_of(config, target.defaults), form=form)
    return [target.question_of(check.turns, settings, index) for index in range(wire.candidate_count(config))]


async def _chunks(target: Target, check: PromptCheck, chunks: Chunks) -> AsyncIterator[wire.GenerateContentOut]:
    output_tokens: dict[int, int] = {}
    logprobs: dict[int, tuple[TokenLogprob, ...]] = defaultdict(tuple)
    async for index, chunk in chunks:
        output_tokens[index] = chunk.output_tokens
        logprobs[index] += chunk.logprobs
        yield wire.GenerateContentOut(
            candidates=[_candidate(index, chunk, logprobs[index])],
            usage_metadata=_usage(chunk.prompt_tokens, sum(output_tokens.values())),
            model_version=target.name.removeprefix("models/"),
            prompt_contract=_contract_out(check) if chunk.finish_reason else None,
        )


def _candidate(
    index: int, answer: FinishedAnswer | AnswerChunk, logprobs: Sequence[TokenLogprob], tokens: int | None = None
) -> wire.CandidateOut:
    """Return an answer or its next chunk; `logprobs` are those of the answer so far."""
    # without parts, the clients' `.text` raises, so an empty answer has an empty part
    return wire.CandidateOut(
        content=wire.ContentOut(parts=[wire.PartOut(text=answer.text)]),
        finish_reason=answer.finish_reason,
        index=index,
        token_count=tokens,
        label_probabilities=dict(answer.label_probabilities) or None,
        **wire.logprobs_of(answer.logprobs, logprobs if answer.finish_reason else ()),
    )


def _contract_out(check: PromptCheck) -> wire.PromptContractOut | None:
    if not check.differences:
        return None
    differences = [wire.PromptDifferenceOut(kind=found.kind, text=found.text) for found in check.differences]
    return wire.PromptContractOut(differences=differences, wrapped=check.was_wrapped or None)


def _usage(prompt_tokens: int, output_tokens: int) -> wire.UsageOut:
    return wire.UsageOut(
        prompt_token_count=prompt_tokens,
        candidates_token_count=output_tokens,
        total_token_count=prompt_tokens + output_tokens,
    )


def base_target(
    services: Services, caller: Caller, model_id: str, method: str = "generateContent", version: str = "v1beta"
) -> Target:
    """Return a base model to answer with; raises NotFound, FailedPrecondition if it is not on this machine."""
    require_known(caller)
    try:
        entry = services.catalog.resolve(model_id)
    except NotFound:
        raise NotFound(
            f"models/{model_id} is not found for API version {version}, or is not supported for {method}."
            " Call ListModels to see the list of available models and their supported methods."
            f" {services.catalog.known_names()} A tuned model is named tunedModels/ID."
        ) from None
    name = entry.alias_of or entry.name
    services.catalog.folder(name)
    return Target(f"models/{entry.name}", Question(name, ()), _defaults(SamplingSettings()))


def tuned_target(services: Services, caller: Caller, model_id: str) -> Target:
    """Return a tuned model to answer with; raises NotFound, PermissionDenied, FailedPrecondition if not ACTIVE."""
    require_known(caller)
    library = services.library
    plain_id, epoch = folder.split_epoch(model_id)
    model = library.find(plain_id)
    require_use(caller, model.name, library.sharing.of_model(plain_id))
    artifact = library.artifact(model)
    folder.epoch_folder(artifact[0], epoch)  # raises where that epoch was not kept
    chosen, rendering = epoch or model.chosen_epoch, model.rendering
    question = Question(model.base_model, (), adapter=artifact, epoch=chosen, rendering=rendering)
    own = SamplingSettings(temperature=model.temperature, top_p=model.top_p, top_k=model.top_k)
    options = prompt_options(library, model)
    return Target(
        f"tunedModels/{model_id}",
        question,
        _defaults(own),
        contracts_of(library, model),
        options.wraps_plain_inputs,
        options.constrains_outputs,
        options.refuses_unlike_inputs,
        model.cancellation(epoch),
        options.temperature_of(epoch or model.served_epoch),
    )


def target_named(services: Services, caller: Caller, name: str) -> Target:
    """
    Return the model with this name; raises InvalidArgument, NotFound, PermissionDenied.

    A plain name that could be one of Google's means the caller's own tuned model if there is one, else the default
    base.
    """
    if not name:
        raise InvalidArgument("model must be set.")
    *kinds, model_id = name.split("/")
    kind = kinds[-1] if kinds else ""
    if not set(kinds) <= {"models", "tunedModels"}:
        raise _no_model(services, name)
    is_base = kind == "models" or (
        not kind and _is_base(services, model_id) and not _has_own(services, caller, model_id)
    )
    try:
        return base_target(services, caller, model_id) if is_base else tuned_target(services, caller, model_id)
    except NotFound:
        raise _no_model(services, name) from None


def _is_base(services: Services, name: str) -> bool:
    try:
        services.catalog.resolve(name)
    except NotFound:
        return False
    return True


def _has_own(services: Services, caller: Caller, name: str) -> bool:
    """
    Return whether a name that stands for the default base also belongs to a tuned model shared with this caller
    personally.
    """
    if services.catalog.resolve(name).alias_of is None:
        return False
    shares = services.library.sharing.of_model(name)
    return role_of(caller, [share for share in shares if share.grantee_type is not GranteeType.EVERYONE]) is not None


def _no_model(services: Services, name: str) -> NotFound:
    return NotFound(
        f"The model {name!r} does not exist or you do not have access to it. {services.catalog.known_names()}"
        " A tuned model is named tunedModels/ID."
    )


def _defaults(settings: SamplingSettings) -> SamplingSettings:
    # a call without a seed wants random answers, if its temperature allows any
    return replace(settings, max_output_tokens=wire.DEFAULT_OUTPUT_TOKENS, seed=secrets.randbits(31))


@dataclass(frozen=True, slots=True)
class PromptCheck:
    """A call checked against the prompt contract: turns to answer, differences, whether the input was wrapped."""

    turns: tuple[Turn, ...]
    differences: tuple[PromptDifference, ...] = ()
    was_wrapped: bool = False
    has_contract: bool = False
    base_model: str = ""
    cancellation: str | None = None

    def add_headers(self, reply: Response) -> Response:
        """
        Return the reply with headers: the base that answered, "ok" or how the input differs from the examples, and
        where tuning was cancelled.
        """
        reply.headers[BASE_HEADER] = self.base_model
        if self.cancellation:
            reply.headers[CANCELLED_HEADER] = self.cancellation
        if self.has_contract:
            text = "; ".join(difference.text for difference in self.differences) or "ok"
            value = f"wrapped: {text}" if self.was_wrapped else text
            reply.headers[CONTRACT_HEADER] = value.encode("ascii", "backslashreplace").decode()[:MAX_HEADER_CHARACTERS]
        return reply


def checked_call(request: Request, target: Target, turns: Sequence[Turn]) -> PromptCheck:
    """
    Check the turns of a call against the model's prompt contract, and count the differences in the metrics.

    Raises InvalidArgument if there are any, unless they were mended, and the model refuses inputs unlike its examples.
    """
    contract = None if target.contracts is None else target.contracts.prompt
    check = checked(contract, turns, wraps=target.wraps_plain_inputs)
    check = replace(check, base_model=target.question.base_model, cancellation=target.cancellation)
    request.app.state.metrics.observe_prompt(difference.kind for difference in check.differences)
    if target.refuses_unlike_inputs and check.differences and not check.was_wrapped:
        found = "; ".join(difference.text for difference in check.differences)
        raise InvalidArgument(
            f"The input is unlike the examples of {target.name}: {found}. It refuses such inputs (refuseUnlikeInputs)."
        )
    return check


def checked(contract: PromptContract | None, turns: Sequence[Turn], *, wraps: bool = False) -> PromptCheck:
    """
    Check turns against a contract, None for a base model; `wraps` adds preamble and label to a plain input.

    A difference is only reported.
    """
    turns = tuple(turns)
    if contract is None:
        return PromptCheck(turns)
    if len(turns) != 1:
        text = "the model was tuned on single questions; this call has a system instruction or several turns"
        return PromptCheck(turns, (PromptDifference("TURNS", text),), has_contract=True)
    text, check = contract.checked(turns[0].text, wraps=wraps)
    return PromptCheck((replace(turns[0], text=text),), check.differences, check.was_wrapped, has_contract=True)


class ClientGone(TuneryError):
    """The client has closed the connection."""

    status, code = "CANCELLED", 1


@dataclass(frozen=True, slots=True)
class FinishedAnswer:
    """A finished answer."""

    text: str
    finish_reason: str
    prompt_tokens: int
    output_tokens: int
    label_probabilities: tuple[tuple[str, float], ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()


Chunks = AsyncIterator[tuple[int, AnswerChunk]]  # each with the index of its question


async def answer_chunks(request: Request, services: Services, questions: Sequence[Question]) -> Chunks:
    """
    Return the chunks of all answers as they come, once the first has arrived, so that an error before it is still an
    ordinary reply.

    Raises ClientGone, and the error with which the child refused.
    """
    chunks = _asked(services.answering, questions, caller_noted(request).name)
    first = await _while_connected(request, anext(chunks))

    async def all_chunks() -> Chunks:
        async with aclosing(chunks):
            yield first
            async for chunk in chunks:
                yield chunk

    return all_chunks()


async def finished_answers(request: Request, services: Services, questions: Sequence[Question]) -> list[FinishedAnswer]:
    """Return the answers to questions in order; raises the errors of `answer_chunks`."""
    return await _while_connected(request, _finished(services.answering, questions, caller_noted(request).name))


async def counted_tokens(request: Request, services: Services, question: Question) -> int:
    """Return the number of tokens of a question's prompt; raises the errors of `answer_chunks`."""
    return await _while_connected(request, _counted(services.answering, question, caller_noted(request).name))


async def _counted(answering: Answering, question: Question, user: str) -> int:
    arrived: asyncio.Queue[tuple[int, Reply]] = asyncio.Queue()
    listener = _Listener(asyncio.get_running_loop(), arrived, 0)
    number = await run_in_threadpool(answering.count, question, listener, user)
    try:
        _, reply = await arrived.get()
    finally:
        answering.drop(number)
    if isinstance(reply, Refused):
        raise reply.error
    assert isinstance(reply, Counted)
    return reply.tokens


async def _finished(answering: Answering, questions: Sequence[Question], user: str) -> list[FinishedAnswer]:
    chunks: list[list[AnswerChunk]] = [[] for _ in questions]
    async with aclosing(_asked(answering, questions, user)) as arriving:
        async for index, chunk in arriving:
            chunks[index].append(chunk)
    return [
        FinishedAnswer(
            "".join(chunk.text for chunk in parts),
            parts[-1].finish_reason or "STOP",
            parts[-1].prompt_tokens,
            parts[-1].output_tokens,
            parts[-1].label_probabilities,
            tuple(each for part in parts for each in part.logprobs),
        )
        for parts in chunks
    ]


async def _asked(
    answering: Answering, questions: Sequence[Question], user: str
) -> AsyncGenerator[tuple[int, AnswerChunk]]:
    """Yield the chunks of all answers; closing the generator frees the places of unfinished answers in the child."""
    arrived: asyncio.Queue[tuple[int, Reply]] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    numbers: list[int] = []
    answering.require_room(user, len(questions))
    try:
        for index, question in enumerate(questions):
            numbers.append(await run_in_threadpool(answering.ask, question, _Listener(loop, arrived, index), user))
        unfinished = len(numbers)
        while unfinished:
            index, reply = await arrived.get()
            if isinstance(reply, Refused):
                raise reply.error
            assert isinstance(reply, AnswerChunk)
            unfinished -= reply.finish_reason is not None
            yield index, reply
    finally:
        for number in numbers:
            answering.drop(number)


class _Listener:
    """Passes replies from the thread that reads them from the child to the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, arrived: asyncio.Queue[tuple[int, Reply]], index: int) -> None:
        self._loop, self._arrived, self._index = loop, arrived, index

    def __call__(self, reply: Reply) -> None:
        with suppress(RuntimeError):  # the loop has ended, and nobody is waiting any more
            self._loop.call_soon_threadsafe(self._arrived.put_nowait, (self._index, reply))


async def _while_connected(request: Request, work: Awaitable[T]) -> T:
    """Return what `work` returns; if the client disconnects first, cancel it and raise ClientGone."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientGone
    finally:
        for task in (working, leaving):
            task.cancel()
        with suppress(asyncio.CancelledError, TuneryError):
            await working


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
