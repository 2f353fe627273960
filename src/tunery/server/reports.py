"""
tunedModels/{id}:evaluate and :evaluation (extension): whether tuning helped, asked for and read.

An evaluation takes minutes, so asking for it returns at once; who asked looks again until its state is not RUNNING.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from tunery.errors import InvalidArgument, NotFound
from tunery.server.http import JsonReply, Services, body_of, described, services_of
from tunery.server.security import CallerOf
from tunery.server.wire.reports import (
    DataCurveOut,
    DataCurvesPage,
    EvaluateIn,
    EvaluationOut,
    EvaluationsPage,
    ExaminationOut,
    ExaminationsPage,
    ExamineIn,
    data_curve_out,
    evaluation_out,
    examination_out,
)
from tunery.service.access import Action
from tunery.service.report_child import EvaluationWork
from tunery.service.reports import MAX_ROWS, Inquiries
from tunery.types import Caller, TunedModel, TuningExample

evaluations_router = APIRouter(tags=["evaluations (extension)"])


@evaluations_router.post(
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


@evaluations_router.get("/tunedModels/{model_id:id}:evaluation", name="GetEvaluation", **described(EvaluationOut))
def evaluation(request: Request, caller: CallerOf, model_id: str) -> Response:
    """Return the newest evaluation; rows with their texts are shown to those who may write."""
    services = services_of(request)
    services.library.sharing.require(caller, Action.READ, model_id)
    model = services.library.find(model_id)
    return JsonReply(
        _found(services, model, with_rows=services.library.sharing.allows(caller, Action.WRITE, model_id)).json_object()
    )


@evaluations_router.get("/tunedModels/{model_id:id}/evaluations", name="ListEvaluations", **described(EvaluationsPage))
def list_evaluations(request: Request, caller: CallerOf, model_id: str) -> Response:
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
            raise InvalidArgument("recorded must be sent with the examples that were answered.")
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
        raise NotFound(f"{model.name} has not been evaluated yet; POST to {model.name}:evaluate first.")
    return evaluation_out(model.name, progress, document, with_rows=with_rows)


data_curves_router = APIRouter(tags=["data curves (extension)"])


@data_curves_router.post("/tunedModels/{model_id:id}:dataCurve", name="DrawDataCurve", **described(DataCurveOut))
def draw_data_curve(request: Request, caller: CallerOf, model_id: str) -> Response:
    """Have the data curve of a tuned model drawn from its own rows; the reply comes at once."""
    services = services_of(request)
    services.library.sharing.require(caller, Action.WRITE, model_id)
    services.data_curves.ask(services.library.find(model_id))
    return JsonReply(_required_curve(services, model_id).json_object())


@data_curves_router.get("/tunedModels/{model_id:id}:dataCurve", name="GetDataCurve", **described(DataCurveOut))
def get_data_curve(request: Request, caller: CallerOf, model_id: str) -> Response:
    """Return the newest data curve."""
    services = services_of(request)
    services.library.sharing.require(caller, Action.READ, model_id)
    return JsonReply(_required_curve(services, model_id).json_object())


@data_curves_router.get("/tunedModels/{model_id:id}/dataCurves", name="ListDataCurves", **described(DataCurvesPage))
def list_data_curves(request: Request, caller: CallerOf, model_id: str) -> Response:
    """List the newest data curve, or nothing where there is none: for pages that only want to know."""
    services = services_of(request)
    services.library.sharing.require(caller, Action.READ, model_id)
    newest = _newest_curve(services, model_id)
    return JsonReply(DataCurvesPage(data_curves=[newest] if newest else None).json_object())


def _required_curve(services: Services, model_id: str) -> DataCurveOut:
    newest = _newest_curve(services, model_id)
    if newest is None:
        name = f"tunedModels/{model_id}"
        raise NotFound(f"{name} has no data curve yet; POST to {name}:dataCurve first.")
    return newest


def _newest_curve(services: Services, model_id: str) -> DataCurveOut | None:
    model = services.library.find(model_id)
    progress, document = services.data_curves.progress(model), services.data_curves.report(model)
    if progress is None and document is None:
        return None
    return data_curve_out(model.name, progress, document)


examinations_router = APIRouter(tags=["examinations (extension)"])


@examinations_router.post(
    "/tunedModels/{model_id:id}:examine", name="ExamineTunedModel", **described(ExaminationOut, body=ExamineIn)
)
def examine(
    request: Request, caller: CallerOf, model_id: str, body: Annotated[ExamineIn, Depends(body_of(ExamineIn))]
) -> Response:
    """Have the examples of a tuned model examined; the reply comes at once."""
    services = services_of(request)
    services.library.sharing.require(caller, Action.WRITE, model_id)
    services.examinations.ask(services.library.find(model_id), body.fold_count)
    return JsonReply(_required_examination(services, caller, model_id).json_object())


@examinations_router.get("/tunedModels/{model_id:id}:examination", name="GetExamination", **described(ExaminationOut))
def examination(request: Request, caller: CallerOf, model_id: str) -> Response:
    """Return the newest examination; its findings, which show texts of rows, to those who may write."""
    services = services_of(request)
    services.library.sharing.require(caller, Action.READ, model_id)
    return JsonReply(_required_examination(services, caller, model_id).json_object())


@examinations_router.get(
    "/tunedModels/{model_id:id}/examinations", name="ListExaminations", **described(ExaminationsPage)
)
def list_examinations(request: Request, caller: CallerOf, model_id: str) -> Response:
    """List the newest examination, or nothing where there is none: for pages that only want to know."""
    services = services_of(request)
    services.library.sharing.require(caller, Action.READ, model_id)
    newest = _newest_examination(services, caller, model_id)
    return JsonReply(ExaminationsPage(examinations=[newest] if newest else None).json_object())


def _required_examination(services: Services, caller: Caller, model_id: str) -> ExaminationOut:
    newest = _newest_examination(services, caller, model_id)
    if newest is None:
        name = f"tunedModels/{model_id}"
        raise NotFound(f"{name} has not been examined yet; POST to {name}:examine first.")
    return newest


def _newest_examination(services: Services, caller: Caller, model_id: str) -> ExaminationOut | None:
    model = services.library.find(model_id)
    progress, document = services.examinations.progress(model), services.examinations.report(model)
    if progress is None and document is None:
        return None
    may_see = services.library.sharing.allows(caller, Action.WRITE, model_id)
    return examination_out(model.name, progress, document, services.library.examples(model) if may_see else None)


inquiries_router = APIRouter(tags=["inquiries (extension)"])


@inquiries_router.post("/tunedModels/{model_id:id}:cancelEvaluation", name="CancelEvaluation", **described())
def cancel_evaluation(request: Request, caller: CallerOf, model_id: str) -> Response:
    """End the evaluation that runs or waits; nothing happens to one that has ended."""
    services = services_of(request)
    return _cancelled(services, services.evaluations, caller, model_id)


@inquiries_router.post("/tunedModels/{model_id:id}:cancelExamination", name="CancelExamination", **described())
def cancel_examination(request: Request, caller: CallerOf, model_id: str) -> Response:
    """End the examination that runs or waits; nothing happens to one that has ended."""
    services = services_of(request)
    return _cancelled(services, services.examinations, caller, model_id)


@inquiries_router.post("/tunedModels/{model_id:id}:cancelDataCurve", name="CancelDataCurve", **described())
def cancel_data_curve(request: Request, caller: CallerOf, model_id: str) -> Response:
    """End the data curve that is being drawn; nothing happens to one that was."""
    services = services_of(request)
    return _cancelled(services, services.data_curves, caller, model_id)


def _cancelled(services: Services, inquiries: Inquiries, caller: Caller, model_id: str) -> Response:
    services.library.sharing.require(caller, Action.WRITE, model_id)
    inquiries.cancel(services.library.find(model_id))
    return JsonReply({})
