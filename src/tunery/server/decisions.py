"""
Decisions: `POST /v1/systemone`, typed questions about a state, answered with a probability for every option.

The models, their access and their queue are those of generation. Fields that cannot be used get 422 and FastAPI's
`detail` list, as clients of the System One API expect; all other errors have the shape of the API they came through.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from tunery.data.decisions import Asked, asked_of_base, asked_of_tuned, read_questions
from tunery.errors import BodyInvalid, InvalidArgument
from tunery.server.generation import (
    FinishedAnswer,
    PromptCheck,
    Target,
    checked_call,
    finished_answers,
    target_named,
)
from tunery.server.http import ApiRouter, JsonReply, Services, ServicesOf
from tunery.server.security import BearerOrKey
from tunery.server.wire import openai as wire
from tunery.server.wire.generation import check_length
from tunery.service.answering_child import Question
from tunery.types import Turn

QUESTIONS_AT_ONCE = 16  # as many as are scored together; the rest of a request leaves room for other users


class DecisionRoute(APIRoute):
    """A route that answers 422 where fields of the body cannot be used."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except BodyInvalid as error:
                return JsonReply({"detail": error.detail}, 422)

        return handled


router = ApiRouter(tags=["decisions (extension)"], route_class=DecisionRoute, is_googles=False)


@router.post(
    "/systemone",
    name="CreateDecision",
    responses={200: {"model": wire.DecisionOut}, 422: {"model": wire.UnprocessableOut}},
)
async def decide(request: Request, services: ServicesOf, caller: BearerOrKey, body: wire.DecisionIn) -> Response:
    """Answer typed questions about a state with a base or a tuned model."""
    try:
        target = await run_in_threadpool(target_named, services, caller, body.model)
        checks, asked = _asked(request, target, body)
        answers = await _answered(request, services, _questions(target, checks, asked))
    except BodyInvalid:
        raise
    except InvalidArgument as error:  # the credentials are known to be good, so it is the body
        raise BodyInvalid(str(error), [{"loc": ["body"], "msg": str(error), "type": "value_error"}]) from None
    decided = {
        each.question.name: each.answer(dict(answer.label_probabilities))
        for each, answer in zip(asked, answers, strict=True)
    }
    usage = wire.DecisionUsageOut(input_tokens=sum(answer.prompt_tokens for answer in answers))
    return checks[0].add_headers(JsonReply(wire.DecisionOut(model=body.model, answers=decided, usage=usage)))


def _asked(request: Request, target: Target, body: wire.DecisionIn) -> tuple[list[PromptCheck], list[Asked]]:
    """Return what the model is asked for each question, and the texts checked like those of other calls."""
    outputs = None if target.contracts is None else target.contracts.output
    is_tuned = target.question.adapter is not None
    asked = [
        asked_of_tuned(body.state, each, outputs) if is_tuned else asked_of_base(body.state, each)
        for each in read_questions(body.questions)
    ]
    texts = {each.text: tuple(check_length([Turn("user", each.text)])) for each in asked}  # one if it is tuned
    checks = {text: checked_call(request, target, turns) for text, turns in texts.items()}
    return [checks[each.text] for each in asked], asked


def _questions(target: Target, checks: Sequence[PromptCheck], asked: Sequence[Asked]) -> list[Question]:
    settings = replace(target.defaults, temperature=0.0, max_output_tokens=1)
    return [
        target.question_of(check.turns, replace(settings, form=each.form))
        for check, each in zip(checks, asked, strict=True)
    ]


async def _answered(request: Request, services: Services, questions: Sequence[Question]) -> list[FinishedAnswer]:
    answers: list[FinishedAnswer] = []
    for start in range(0, len(questions), QUESTIONS_AT_ONCE):
        answers += await finished_answers(request, services, questions[start : start + QUESTIONS_AT_ONCE])
    return answers
