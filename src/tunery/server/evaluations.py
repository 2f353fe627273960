"""
tunedModels/{id}:evaluate and :evaluation (extension): whether tuning helped, asked for and read.

An evaluation takes minutes, so asking for it returns at once; who asked looks again until its state is not RUNNING.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from tunery.errors import InvalidArgument, NotFound
from tunery.server.auth import CallerOf
from tunery.server.body import body_of
from tunery.server.parameters import described
from tunery.server.replies import JsonReply
from tunery.server.services import Services, services_of
from tunery.server.wire.evaluations import EvaluateIn, EvaluationOut, EvaluationsPage, evaluation_out
from tunery.service.access import Action
from tunery.service.report_child import EvaluationWork
from tunery.service.reports import MAX_ROWS
from tunery.types import TunedModel, TuningExample

router = APIRouter(tags=["evaluations (extension)"])


@router.post(
    "/tunedModels/{model_id:id}:evaluate", name="EvaluateTunedModel", **described(EvaluationOut, body=EvaluateIn)
)
def evaluate(
    request: Request, caller: CallerOf, model_id: str, body: Annotated[EvaluateIn, Depends(body_of(EvaluateIn))]
) -> Response:
    """Have a tuned model evaluated on its held-out rows or on the examples sent; the reply comes at once."""
    services = services_of(request)
    services.library.sharing.require(caller, Action.WRITE, model_id)
    model = services.library.find(model_id)
    services.evaluations.ask(model, _work(services, model, body))
    return JsonReply(_found(services, model, with_rows=True).json_object())


@router.get("/tunedModels/{model_id:id}:evaluation", name="GetEvaluation", **described(EvaluationOut))
def evaluation(request: Request, caller: CallerOf, model_id: str) -> Response:
    """Return the newest evaluation; rows with their texts are shown to those who may write."""
    services = services_of(request)
    services.library.sharing.require(caller, Action.READ, model_id)
    model = services.library.find(model_id)
    return JsonReply(
        _found(services, model, with_rows=services.library.sharing.allows(caller, Action.WRITE, model_id)).json_object()
    )


@router.get("/tunedModels/{model_id:id}/evaluations", name="ListEvaluations", **described(EvaluationsPage))
def list_(request: Request, caller: CallerOf, model_id: str) -> Response:
    """List the newest evaluation, or nothing where there is none: for pages that only want to know."""
    services = services_of(request)
    services.library.sharing.require(caller, Action.READ, model_id)
    model = services.library.find(model_id)
    try:
        found = [_found(services, model, with_rows=services.library.sharing.allows(caller, Action.WRITE, model_id))]
    except NotFound:
        found = []
    return JsonReply(EvaluationsPage(evaluations=found or None).json_object())


def _work(services: Services, model: TunedModel, body: EvaluateIn) -> EvaluationWork:
    max_rows = MAX_ROWS if body.max_rows is None else body.max_rows
    if not 1 <= max_rows <= MAX_ROWS:
        raise InvalidArgument(f"maxRows must be between 1 and {MAX_ROWS}, not {max_rows}.")
    work = services.evaluations.held_out_work(model, max_rows=max_rows, seed=body.seed or 0)
    if body.examples is None:
        if body.recorded is not None:
            raise InvalidArgument("recorded goes with the examples that were answered.")
        return work
    rows = tuple(TuningExample(row.text_input, row.output) for row in body.examples.examples)
    recorded = body.recorded
    if recorded is not None and len(recorded.answers) != len(rows):
        raise InvalidArgument(f"recorded has {len(recorded.answers)} answers for {len(rows)} examples.")
    named = None if recorded is None else (recorded.title, tuple(recorded.answers))
    return EvaluationWork(rows, work.examples, body.source or "request", max_rows, work.seed, named)


def _found(services: Services, model: TunedModel, *, with_rows: bool) -> EvaluationOut:
    progress, document = services.evaluations.progress(model), services.evaluations.report(model)
    if progress is None and document is None:
        raise NotFound(f"{model.name} was not evaluated yet; POST to {model.name}:evaluate does it.")
    return evaluation_out(model.name, progress, document, with_rows=with_rows)
