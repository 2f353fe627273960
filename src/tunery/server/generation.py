"""
Asking models: generateContent, streamGenerateContent and countTokens on base and tuned models alike.

The original bound countTokens to base models only; clients call it on tuned ones too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from tunery.server import answers
from tunery.server.auth import CallerOf
from tunery.server.body import body_of
from tunery.server.parameters import described
from tunery.server.prompt_checks import PromptCheck, checked_call
from tunery.server.questions import Target, base_target, tuned_target
from tunery.server.replies import JsonReply
from tunery.server.services import services_of
from tunery.server.streams import event_stream, json_array
from tunery.server.wire.forms import form_of
from tunery.server.wire.generation import (
    CandidateOut,
    ContentOut,
    CountTokensIn,
    CountTokensOut,
    GenerateContentIn,
    GenerateContentOut,
    GenerationConfigIn,
    PartOut,
    PromptContractOut,
    PromptDifferenceOut,
    UsageOut,
    candidate_count,
    refuse_unsupported,
    sampling_of,
    turns_of,
)
from tunery.service.answering_child import Question, Said
from tunery.types import Caller

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
    finished = await answers.while_connected(request, answers.whole(services_of(request).answering, questions))
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
    pieces = answers.said(services_of(request).answering, _questions(target, body, check))
    chunks = _chunks(target, check, await answers.while_connected(request, answers.with_first(pieces)))
    return check.tell(event_stream(chunks) if request.query_params.get("alt") == "sse" else json_array(chunks))


async def _counted(request: Request, target: Target, body: CountTokensIn) -> Response:
    question = target.asked(turns_of(body), target.defaults)
    tokens = await answers.counted(services_of(request).answering, question)
    return JsonReply(CountTokensOut(total_tokens=tokens).json_object())


def _questions(target: Target, body: GenerateContentIn, check: PromptCheck) -> list[Question]:
    refuse_unsupported(body)
    config = body.generation_config or GenerationConfigIn()
    outputs = None if target.contracts is None else target.contracts.output
    settings = replace(sampling_of(config, target.defaults), form=form_of(config, outputs))
    return [target.asked(check.turns, settings, place) for place in range(candidate_count(config))]


async def _chunks(
    target: Target, check: PromptCheck, pieces: AsyncIterator[tuple[int, Said]]
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
