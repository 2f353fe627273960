"""
The older methods of the PaLM API: generateText and countTextTokens.

Tuned models of either family answer both, since users of text-bison could not find out which call was right.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from tunery.server import answers
from tunery.server.auth import CallerOf
from tunery.server.body import body_of
from tunery.server.parameters import described
from tunery.server.prompt_checks import checked_call
from tunery.server.questions import Target, base_target, tuned_target
from tunery.server.replies import JsonReply
from tunery.server.services import services_of
from tunery.server.wire.generation import (
    CountTextTokensIn,
    CountTextTokensOut,
    GenerateTextIn,
    GenerateTextOut,
    TextCompletionOut,
    candidate_count,
    prompt_turns,
    sampling_of,
)

router = APIRouter(tags=["text"])

Asked = Annotated[GenerateTextIn, Depends(body_of(GenerateTextIn))]
ToCount = Annotated[CountTextTokensIn, Depends(body_of(CountTextTokensIn))]


@router.post(
    "/models/{model_id:id}:generateText", name="GenerateText", **described(GenerateTextOut, body=GenerateTextIn)
)
async def generate(request: Request, caller: CallerOf, model_id: str, body: Asked) -> Response:
    """Answer a prompt with a base model."""
    target = await run_in_threadpool(base_target, services_of(request), caller, model_id, "generateText")
    return await _answered(request, target, body)


@router.post(
    "/tunedModels/{model_id:id}:generateText",
    name="GenerateTextTuned",
    **described(GenerateTextOut, body=GenerateTextIn),
)
async def generate_tuned(request: Request, caller: CallerOf, model_id: str, body: Asked) -> Response:
    """Answer a prompt with a tuned model."""
    target = await run_in_threadpool(tuned_target, services_of(request), caller, model_id)
    return await _answered(request, target, body)


@router.post(
    "/models/{model_id:id}:countTextTokens",
    name="CountTextTokens",
    **described(CountTextTokensOut, body=CountTextTokensIn),
)
async def count(request: Request, caller: CallerOf, model_id: str, body: ToCount) -> Response:
    """Count the tokens of a prompt."""
    target = await run_in_threadpool(base_target, services_of(request), caller, model_id, "countTextTokens")
    question = target.asked(prompt_turns(body.prompt), target.defaults)
    tokens = await answers.counted(services_of(request).answering, question)
    return JsonReply(CountTextTokensOut(token_count=tokens).json_object())


async def _answered(request: Request, target: Target, body: GenerateTextIn) -> Response:
    check, settings = checked_call(request, target, prompt_turns(body.prompt)), sampling_of(body, target.defaults)
    questions = [target.asked(check.turns, settings, place) for place in range(candidate_count(body))]
    finished = await answers.while_connected(request, answers.whole(services_of(request).answering, questions))
    out = GenerateTextOut(candidates=[TextCompletionOut(output=answer.text) for answer in finished])
    return check.tell(JsonReply(out.json_object()))
