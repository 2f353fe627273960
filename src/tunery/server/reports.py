"""
Reports about tuned models (extension): evaluation, data check and data curve.

A report takes minutes, so a POST starts it and returns immediately; clients poll until the state is no longer RUNNING.
Texts of rows are sent only to callers who may see the examples.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from tunery.errors import InvalidArgument, NotFound
from tunery.server.http import ApiRouter, Services, ServicesOf
from tunery.server.security import CallerOf, needs
from tunery.server.wire.reports import (
    DataCurveOut,
    DataCurvesPage,
    EvaluateIn,
    EvaluationOut,
    EvaluationsPage,
    ExaminationOut,
    ExaminationsPage,
    ExamineIn,
    data_check_out,
    data_curve_out,
    evaluation_out,
)
from tunery.service.access import Action
from tunery.service.report_child import EvaluationWork, FoldsWork
from tunery.service.reports import MAX_ROWS, Reports
from tunery.types import Caller, TunedModel, TuningExample

T = TypeVar("T")

evaluations_router = ApiRouter(tags=["evaluations (extension)"])
data_curves_router = ApiRouter(tags=["data curves (extension)"])
data_checks_router = ApiRouter(tags=["examinations (extension)"])
cancel_router = ApiRouter(tags=["inquiries (extension)"])


@evaluations_router.post(
    "/tunedModels/{model_id:id}:evaluate", name="EvaluateTunedModel", dependencies=[needs(Action.WRITE)]
)
def evaluate(services: ServicesOf, caller: CallerOf, model_id: str, body: EvaluateIn) -> EvaluationOut:
    """
    Start an evaluation of a tuned model on its held-out rows, by folds of all its rows, or on the examples in the
    request.
    """
    model = _model(services, caller, Action.WRITE, model_id)
    services.evaluations.ask(model, _evaluation_work(services, model, body))
    return _required_evaluation(services, caller, model)


@evaluations_router.get("/tunedModels/{model_id:id}:evaluation", name="GetEvaluation")
def get_evaluation(services: ServicesOf, caller: CallerOf, model_id: str) -> EvaluationOut:
    """Return the newest evaluation, with the texts of single rows only for callers who may see the examples."""
    return _required_evaluation(services, caller, _model(services, caller, Action.READ, model_id))


@evaluations_router.get("/tunedModels/{model_id:id}/evaluations", name="ListEvaluations")
def list_evaluations(services: ServicesOf, caller: CallerOf, model_id: str) -> EvaluationsPage:
    """List the newest evaluation; the list is empty if there is none."""
    newest = _newest_evaluation(services, caller, _model(services, caller, Action.READ, model_id))
    return EvaluationsPage(evaluations=[newest] if newest else None)


@data_checks_router.post(
    "/tunedModels/{model_id:id}:examine", name="ExamineTunedModel", dependencies=[needs(Action.WRITE)]
)
def check_data(services: ServicesOf, caller: CallerOf, model_id: str, body: ExamineIn) -> ExaminationOut:
    """Start a data check of the examples of a tuned model."""
    model = _model(services, caller, Action.WRITE, model_id)
    services.data_checks.ask(model, body.fold_count)
    return _required_data_check(services, caller, model)


@data_checks_router.get("/tunedModels/{model_id:id}:examination", name="GetExamination")
def get_data_check(services: ServicesOf, caller: CallerOf, model_id: str) -> ExaminationOut:
    """Return the newest data check, with its findings, which show texts of rows, only for callers who may write."""
    return _required_data_check(services, caller, _model(services, caller, Action.READ, model_id))


@data_checks_router.get("/tunedModels/{model_id:id}/examinations", name="ListExaminations")
def list_data_checks(services: ServicesOf, caller: CallerOf, model_id: str) -> ExaminationsPage:
    """List the newest data check; the list is empty if there is none."""
    newest = _newest_data_check(services, caller, _model(services, caller, Action.READ, model_id))
    return ExaminationsPage(examinations=[newest] if newest else None)


@data_curves_router.post("/tunedModels/{model_id:id}:dataCurve", name="DrawDataCurve")
def draw_data_curve(services: ServicesOf, caller: CallerOf, model_id: str) -> DataCurveOut:
    """Start drawing the data curve of a tuned model from its own rows."""
    model = _model(services, caller, Action.WRITE, model_id)
    services.data_curves.ask(model)
    return _required_data_curve(services, model)


@data_curves_router.get("/tunedModels/{model_id:id}:dataCurve", name="GetDataCurve")
def get_data_curve(services: ServicesOf, caller: CallerOf, model_id: str) -> DataCurveOut:
    """Return the newest data curve."""
    return _required_data_curve(services, _model(services, caller, Action.READ, model_id))


@data_curves_router.get("/tunedModels/{model_id:id}/dataCurves", name="ListDataCurves")
def list_data_curves(services: ServicesOf, caller: CallerOf, model_id: str) -> DataCurvesPage:
    """List the newest data curve; the list is empty if there is none."""
    newest = _newest_data_curve(services, _model(services, caller, Action.READ, model_id))
    return DataCurvesPage(data_curves=[newest] if newest else None)


@cancel_router.post("/tunedModels/{model_id:id}:cancelEvaluation", name="CancelEvaluation")
def cancel_evaluation(services: ServicesOf, caller: CallerOf, model_id: str) -> None:
    """Cancel the running or waiting evaluation; a finished one is left as it is."""
    _cancel(services, services.evaluations, caller, model_id)


@cancel_router.post("/tunedModels/{model_id:id}:cancelExamination", name="CancelExamination")
def cancel_data_check(services: ServicesOf, caller: CallerOf, model_id: str) -> None:
    """Cancel the running or waiting data check; a finished one is left as it is."""
    _cancel(services, services.data_checks, caller, model_id)


@cancel_router.post("/tunedModels/{model_id:id}:cancelDataCurve", name="CancelDataCurve")
def cancel_data_curve(services: ServicesOf, caller: CallerOf, model_id: str) -> None:
    """Cancel the running or waiting data curve; a finished one is left as it is."""
    _cancel(services, services.data_curves, caller, model_id)


def _model(services: Services, caller: Caller, action: Action, model_id: str) -> TunedModel:
    services.library.sharing.require(caller, action, model_id)
    return services.library.find(model_id)


def _cancel(services: Services, reports: Reports, caller: Caller, model_id: str) -> None:
    reports.cancel(_model(services, caller, Action.WRITE, model_id))


def _required(report: T | None, message: str) -> T:
    if report is None:
        raise NotFound(message)
    return report


def _required_evaluation(services: Services, caller: Caller, model: TunedModel) -> EvaluationOut:
    message = f"{model.name} has not been evaluated yet; POST to {model.name}:evaluate first."
    return _required(_newest_evaluation(services, caller, model), message)


def _newest_evaluation(services: Services, caller: Caller, model: TunedModel) -> EvaluationOut | None:
    newest = services.evaluations.newest(model)
    if newest is None:
        return None
    return evaluation_out(model.name, *newest, with_rows=services.library.sharing.may_see_examples(caller, model))


def _required_data_check(services: Services, caller: Caller, model: TunedModel) -> ExaminationOut:
    message = f"{model.name} has not been examined yet; POST to {model.name}:examine first."
    return _required(_newest_data_check(services, caller, model), message)


def _newest_data_check(services: Services, caller: Caller, model: TunedModel) -> ExaminationOut | None:
    newest = services.data_checks.newest(model)
    if newest is None:
        return None
    may_see_rows = services.library.sharing.allows(caller, Action.WRITE, model.id)
    rows = services.library.examples(model) if may_see_rows else None
    return data_check_out(model.name, *newest, rows)


def _required_data_curve(services: Services, model: TunedModel) -> DataCurveOut:
    message = f"{model.name} has no data curve yet; POST to {model.name}:dataCurve first."
    return _required(_newest_data_curve(services, model), message)


def _newest_data_curve(services: Services, model: TunedModel) -> DataCurveOut | None:
    newest = services.data_curves.newest(model)
    return None if newest is None else data_curve_out(model.name, *newest)


def _evaluation_work(services: Services, model: TunedModel, body: EvaluateIn) -> EvaluationWork | FoldsWork:
    max_rows = MAX_ROWS if body.max_rows is None else body.max_rows
    if not 1 <= max_rows <= MAX_ROWS:
        raise InvalidArgument(f"maxRows must be between 1 and {MAX_ROWS}, not {max_rows}.")
    work = services.evaluations.held_out_work(model, max_rows=max_rows, seed=body.seed or 0)
    if body.fold_count is not None:
        if body.examples is not None:
            raise InvalidArgument("foldCount evaluates on the model's own rows; leave out examples.")
        return services.evaluations.folds_work(model, body.fold_count, body.compare_settings)
    if body.compare_settings is not None:
        raise InvalidArgument("compareSettings needs foldCount: each fold is tuned with both settings.")
    if body.examples is None:
        if body.recorded is not None:
            raise InvalidArgument("recorded must be sent with the examples that were answered.")
        return work
    rows = tuple(TuningExample(row.text_input, row.output) for row in body.examples.examples)
    recorded = body.recorded
    if recorded is not None and len(recorded.answers) != len(rows):
        raise InvalidArgument(f"recorded has {len(recorded.answers)} answers for {len(rows)} examples.")
    named = None if recorded is None else (recorded.title, tuple(recorded.answers))
    return replace(work, rows=rows, source=body.source or "request", recorded=named, numbers=())
