"""
Asking models: generateContent, streamGenerateContent and countTokens on base and tuned models alike.

The original bound countTokens to base models only; clients call it on tuned ones too.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from tunery.data.inputs import PromptContract
from tunery.data.outputs import Contracts
from tunery.errors import NotFound, TuneryError
from tunery.server.http import JsonReply, Services, body_of, described, event_stream, json_array, services_of
from tunery.server.security import CallerOf
from tunery.server.wire.generation import (
    DEFAULT_OUTPUT_TOKENS,
    CandidateOut,
    ContentOut,
    CountTextTokensIn,
    CountTextTokensOut,
    CountTokensIn,
    CountTokensOut,
    GenerateContentIn,
    GenerateContentOut,
    GenerateTextIn,
    GenerateTextOut,
    GenerationConfigIn,
    PartOut,
    PromptContractOut,
    PromptDifferenceOut,
    TextCompletionOut,
    UsageOut,
    candidate_count,
    form_of,
    prompt_turns,
    refuse_unsupported,
    sampling_of,
    turns_of,
)
from tunery.service import folder
from tunery.service.access import require_known, require_use
from tunery.service.answering import Answering, Reply
from tunery.service.answering_child import AnswerChunk, Counted, Question, Refused
from tunery.service.library import contracts_of, wraps_plain_inputs
from tunery.types import Caller, PromptDifference, SamplingSettings, Turn

router = APIRouter(tags=["generation"])

Asked = Annotated[GenerateContentIn, Depends(body_of(GenerateContentIn))]
ToCount = Annotated[CountTokensIn, Depends(body_of(CountTokensIn))]


@router.post(
    "/models/{model_id:id}:generateContent",
    name="GenerateContent",
    **described(GenerateContentOut, body=GenerateContentIn),
)
async def generate(request: Request, caller: CallerOf, model_id: str, body: Asked) -> Response:
    """Answer with a base model."""
    return await _whole(request, await _base(request, caller, model_id), body)


@router.post(
    "/tunedModels/{model_id:id}:generateContent",
    name="GenerateContentTuned",
    **described(GenerateContentOut, body=GenerateContentIn),
)
async def generate_tuned(request: Request, caller: CallerOf, model_id: str, body: Asked) -> Response:
    """Answer with a tuned model."""
    return await _whole(request, await _tuned(request, caller, model_id), body)


@router.post(
    "/models/{model_id:id}:streamGenerateContent",
    name="StreamGenerateContent",
    **described(GenerateContentOut, body=GenerateContentIn, query=("alt",)),
)
async def stream(request: Request, caller: CallerOf, model_id: str, body: Asked) -> Response:
    """Answer with a base model, piece by piece: server-sent events with `alt=sse`, else one JSON array."""
    return await _streamed(request, await _base(request, caller, model_id), body)


@router.post(
    "/tunedModels/{model_id:id}:streamGenerateContent",
    name="StreamGenerateContentTuned",
    **described(GenerateContentOut, body=GenerateContentIn, query=("alt",)),
)
async def stream_tuned(request: Request, caller: CallerOf, model_id: str, body: Asked) -> Response:
    """Answer with a tuned model, piece by piece: server-sent events with `alt=sse`, else one JSON array."""
    return await _streamed(request, await _tuned(request, caller, model_id), body)


@router.post("/models/{model_id:id}:countTokens", name="CountTokens", **described(CountTokensOut, body=CountTokensIn))
async def count(request: Request, caller: CallerOf, model_id: str, body: ToCount) -> Response:
    """Count the tokens of a prompt as a base model reads it, its template included."""
    return await _counted(request, await _base(request, caller, model_id), body)


@router.post(
    "/tunedModels/{model_id:id}:countTokens", name="CountTokensTuned", **described(CountTokensOut, body=CountTokensIn)
)
async def count_tuned(request: Request, caller: CallerOf, model_id: str, body: ToCount) -> Response:
    """Count the tokens of a prompt as a tuned model reads it."""
    return await _counted(request, await _tuned(request, caller, model_id), body)


async def _base(request: Request, caller: Caller, model_id: str) -> Target:
    return await run_in_threadpool(base_target, services_of(request), caller, model_id)


async def _tuned(request: Request, caller: Caller, model_id: str) -> Target:
    return await run_in_threadpool(tuned_target, services_of(request), caller, model_id)


async def _whole(request: Request, target: Target, body: GenerateContentIn) -> Response:
    check = checked_call(request, target, turns_of(body))
    questions = _questions(target, body, check)
    finished = await while_connected(request, whole_answers(services_of(request).answering, questions))
    candidates = [
        _candidate(place, answer.text, answer.finish_reason, answer.output_tokens, answer.label_probabilities)
        for place, answer in enumerate(finished)
    ]
    usage = _usage(finished[0].prompt_tokens, sum(answer.output_tokens for answer in finished))
    out = GenerateContentOut(
        candidates=candidates, usage_metadata=usage, model_version=target.name, prompt_contract=_contract_out(check)
    )
    return check.tell(JsonReply(out.json_object()))


async def _streamed(request: Request, target: Target, body: GenerateContentIn) -> Response:
    check = checked_call(request, target, turns_of(body))
    pieces = streamed(services_of(request).answering, _questions(target, body, check))
    chunks = _chunks(target, check, await while_connected(request, with_first_piece(pieces)))
    return check.tell(event_stream(chunks) if request.query_params.get("alt") == "sse" else json_array(chunks))


async def _counted(request: Request, target: Target, body: CountTokensIn) -> Response:
    question = target.asked(turns_of(body), target.defaults)
    tokens = await counted_tokens(services_of(request).answering, question)
    return JsonReply(CountTokensOut(total_tokens=tokens).json_object())


def _questions(target: Target, body: GenerateContentIn, check: PromptCheck) -> list[Question]:
    refuse_unsupported(body)
    config = body.generation_config or GenerationConfigIn()
    outputs = None if target.contracts is None else target.contracts.output
    settings = replace(sampling_of(config, target.defaults), form=form_of(config, outputs))
    return [target.asked(check.turns, settings, place) for place in range(candidate_count(config))]


async def _chunks(
    target: Target, check: PromptCheck, pieces: AsyncIterator[tuple[int, AnswerChunk]]
) -> AsyncIterator[dict[str, Any]]:
    output_tokens: dict[int, int] = {}
    async for place, piece in pieces:
        output_tokens[place] = piece.output_tokens
        chunk = GenerateContentOut(
            candidates=[_candidate(place, piece.text, piece.finish_reason, None, piece.label_probabilities)],
            usage_metadata=_usage(piece.prompt_tokens, sum(output_tokens.values())),
            model_version=target.name,
            prompt_contract=_contract_out(check) if piece.finish_reason else None,
        )
        yield chunk.json_object()


def _candidate(
    place: int, text: str, finish_reason: str | None, tokens: int | None, labels: Sequence[tuple[str, float]]
) -> CandidateOut:
    # without parts the clients' `.text` raises, so an empty answer has an empty one
    return CandidateOut(
        content=ContentOut(parts=[PartOut(text=text)]),
        finish_reason=finish_reason,
        index=place,
        token_count=tokens,
        label_probabilities=dict(labels) or None,
    )


def _contract_out(check: PromptCheck) -> PromptContractOut | None:
    if not check.differences:
        return None
    differences = [PromptDifferenceOut(kind=found.kind, text=found.text) for found in check.differences]
    return PromptContractOut(differences=differences, wrapped=check.was_wrapped or None)


def _usage(prompt_tokens: int, output_tokens: int) -> UsageOut:
    return UsageOut(
        prompt_token_count=prompt_tokens,
        candidates_token_count=output_tokens,
        total_token_count=prompt_tokens + output_tokens,
    )


T = TypeVar("T")


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


async def streamed(answering: Answering, questions: Sequence[Question]) -> AsyncGenerator[tuple[int, AnswerChunk]]:
    """
    Ask, and yield the pieces of all answers as they come, each with the place of its question.

    Raises what the child refused with.
    """
    arrived: asyncio.Queue[tuple[int, Reply]] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    numbers: list[int] = []
    try:
        for place, question in enumerate(questions):
            numbers.append(await run_in_threadpool(answering.ask, question, _Listener(loop, arrived, place)))
        left = len(numbers)
        while left:
            place, answer = await arrived.get()
            if isinstance(answer, Refused):
                raise answer.error
            assert isinstance(answer, AnswerChunk)
            left -= answer.finish_reason is not None
            yield place, answer
    finally:
        for number in numbers:
            answering.drop(number)


async def whole_answers(answering: Answering, questions: Sequence[Question]) -> list[FinishedAnswer]:
    """Return the finished answers to some questions."""
    texts = [""] * len(questions)
    ends: list[AnswerChunk | None] = [None] * len(questions)
    async with aclosing(streamed(answering, questions)) as pieces:
        async for place, piece in pieces:
            texts[place] += piece.text
            ends[place] = piece
    return [
        FinishedAnswer(text, end.finish_reason or "STOP", end.prompt_tokens, end.output_tokens, end.label_probabilities)
        for text, end in zip(texts, ends, strict=True)
        if end is not None
    ]


async def counted_tokens(answering: Answering, question: Question) -> int:
    """Return how many tokens the prompt of a question has."""
    arrived: asyncio.Queue[tuple[int, Reply]] = asyncio.Queue()
    listener = _Listener(asyncio.get_running_loop(), arrived, 0)
    await run_in_threadpool(answering.count, question, listener)
    _, answer = await arrived.get()
    if isinstance(answer, Refused):
        raise answer.error
    assert isinstance(answer, Counted)
    return answer.tokens


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """Return what `work` returns; if the client goes away first, end it and raise ClientGone."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request))
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


async def with_first_piece(pieces: AsyncGenerator[tuple[int, AnswerChunk]]) -> AsyncIterator[tuple[int, AnswerChunk]]:
    """Return the pieces once the first has come, so that an error before it is still an ordinary reply."""
    first = await anext(pieces)

    async def again() -> AsyncIterator[tuple[int, AnswerChunk]]:
        async with aclosing(pieces):
            yield first
            async for piece in pieces:
                yield piece

    return again()


class _Listener:
    """Hands what the child says from the thread that reads it to the loop that waits for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, arrived: asyncio.Queue[tuple[int, Reply]], place: int) -> None:
        self._loop, self._arrived, self._place = loop, arrived, place

    def __call__(self, answer: Reply) -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it everybody who waited
            self._loop.call_soon_threadsafe(self._arrived.put_nowait, (self._place, answer))


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


HEADER = "x-tunery-prompt-contract"
MAX_HEADER_CHARACTERS = 400


@dataclass(frozen=True, slots=True)
class PromptCheck:
    """What was found of a call: the turns to ask, what differs, whether the input was wrapped."""

    turns: tuple[Turn, ...]
    differences: tuple[PromptDifference, ...] = ()
    was_wrapped: bool = False
    has_contract: bool = False

    def tell(self, reply: Response) -> Response:
        """Return the reply with the header that says whether the input looks like the examples."""
        if self.has_contract:
            text = "; ".join(difference.text for difference in self.differences) or "ok"
            said = f"wrapped: {text}" if self.was_wrapped else text
            reply.headers[HEADER] = said.encode("ascii", "backslashreplace").decode()[:MAX_HEADER_CHARACTERS]
        return reply


def checked_call(request: Request, target: Target, turns: Sequence[Turn]) -> PromptCheck:
    """Check what a model is asked, as its settings say, and count what differs in the metrics."""
    contract = None if target.contracts is None else target.contracts.prompt
    check = checked(contract, turns, wraps=target.wraps_plain_inputs)
    request.app.state.metrics.observe_prompt(difference.kind for difference in check.differences)
    return check


def checked(contract: PromptContract | None, turns: Sequence[Turn], *, wraps: bool = False) -> PromptCheck:
    """Check what is asked against a contract, None for a base; `wraps` adds what a plain input lacks."""
    asked = tuple(turns)
    if contract is None:
        return PromptCheck(asked)
    if len(asked) != 1:
        text = "the model was tuned on single questions; this call has a system instruction or several turns"
        return PromptCheck(asked, (PromptDifference("TURNS", text),), has_contract=True)
    text, check = contract.checked(asked[0].text, wraps=wraps)
    return PromptCheck((replace(asked[0], text=text),), check.differences, check.was_wrapped, has_contract=True)


@dataclass(frozen=True, slots=True)
class Target:
    """A model that may be asked: the base in memory, the adapter beside it, and how it answers by default."""

    name: str
    question: Question  # without turns
    defaults: SamplingSettings
    contracts: Contracts | None = None  # of a tuned model
    wraps_plain_inputs: bool = False

    def asked(self, turns: tuple[Turn, ...], settings: SamplingSettings, candidate: int = 0) -> Question:
        """Return the question; further candidates are drawn with other seeds."""
        return replace(self.question, turns=turns, settings=replace(settings, seed=settings.seed + candidate))


def base_target(services: Services, caller: Caller, model_id: str, method: str = "generateContent") -> Target:
    """Return a base model to be asked; raises PermissionDenied, NotFound, FailedPrecondition if it is not here."""
    require_known(caller)
    try:
        entry = services.catalog.resolve(model_id)
    except NotFound:
        raise NotFound(
            f"models/{model_id} is not found for API version v1beta, or is not supported for {method}."
            " Call ListModels to see the list of available models and their supported methods."
        ) from None
    name = entry.alias_of or entry.name
    services.catalog.folder(name)
    return Target(f"models/{entry.name}", Question(name, ()), _defaults(SamplingSettings()))


def tuned_target(services: Services, caller: Caller, model_id: str) -> Target:
    """Return a tuned model to be asked; raises PermissionDenied, NotFound, FailedPrecondition if it is not ACTIVE."""
    require_known(caller)
    library = services.library
    plain_id, epoch = folder.split_epoch(model_id)
    model = library.find(plain_id)
    require_use(caller, model.name, library.sharing.of_model(plain_id))
    artifact = library.artifact(model)
    folder.epoch_folder(artifact[0], epoch)  # raises where that epoch was not kept
    question = Question(model.base_model, (), adapter=artifact, epoch=epoch)
    own = SamplingSettings(temperature=model.temperature, top_p=model.top_p, top_k=model.top_k)
    contracts, wraps = contracts_of(library, model), wraps_plain_inputs(library, model)
    return Target(f"tunedModels/{model_id}", question, _defaults(own), contracts, wraps)


def _defaults(settings: SamplingSettings) -> SamplingSettings:
    # a call that names no seed wants chance, where its temperature leaves any
    return replace(settings, max_output_tokens=DEFAULT_OUTPUT_TOKENS, seed=secrets.randbits(31))


text_router = APIRouter(tags=["text"])

TextAsked = Annotated[GenerateTextIn, Depends(body_of(GenerateTextIn))]
TextToCount = Annotated[CountTextTokensIn, Depends(body_of(CountTextTokensIn))]


@text_router.post(
    "/models/{model_id:id}:generateText", name="GenerateText", **described(GenerateTextOut, body=GenerateTextIn)
)
async def generate_text(request: Request, caller: CallerOf, model_id: str, body: TextAsked) -> Response:
    """Answer a prompt with a base model."""
    target = await run_in_threadpool(base_target, services_of(request), caller, model_id, "generateText")
    return await _text_answered(request, target, body)


@text_router.post(
    "/tunedModels/{model_id:id}:generateText",
    name="GenerateTextTuned",
    **described(GenerateTextOut, body=GenerateTextIn),
)
async def generate_text_tuned(request: Request, caller: CallerOf, model_id: str, body: TextAsked) -> Response:
    """Answer a prompt with a tuned model."""
    target = await run_in_threadpool(tuned_target, services_of(request), caller, model_id)
    return await _text_answered(request, target, body)


@text_router.post(
    "/models/{model_id:id}:countTextTokens",
    name="CountTextTokens",
    **described(CountTextTokensOut, body=CountTextTokensIn),
)
async def count_text(request: Request, caller: CallerOf, model_id: str, body: TextToCount) -> Response:
    """Count the tokens of a prompt."""
    target = await run_in_threadpool(base_target, services_of(request), caller, model_id, "countTextTokens")
    question = target.asked(prompt_turns(body.prompt), target.defaults)
    tokens = await counted_tokens(services_of(request).answering, question)
    return JsonReply(CountTextTokensOut(token_count=tokens).json_object())


async def _text_answered(request: Request, target: Target, body: GenerateTextIn) -> Response:
    check, settings = checked_call(request, target, prompt_turns(body.prompt)), sampling_of(body, target.defaults)
    questions = [target.asked(check.turns, settings, place) for place in range(candidate_count(body))]
    finished = await while_connected(request, whole_answers(services_of(request).answering, questions))
    out = GenerateTextOut(candidates=[TextCompletionOut(output=answer.text) for answer in finished])
    return check.tell(JsonReply(out.json_object()))
