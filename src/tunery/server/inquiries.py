"""
tunedModels/{id}:cancelEvaluation, :cancelExamination and :cancelDataCurve (extension): end what takes minutes.

What inquiries have in common on the wire; asking and reading are in `evaluations.py`, `examinations.py` and
`data_curves.py`.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from tunery.server.auth import CallerOf
from tunery.server.parameters import described
from tunery.server.replies import JsonReply
from tunery.server.services import Services, services_of
from tunery.service.access import Action
from tunery.service.reports import Inquiries
from tunery.types import Caller

router = APIRouter(tags=["inquiries (extension)"])


@router.post("/tunedModels/{model_id:id}:cancelEvaluation", name="CancelEvaluation", **described())
def cancel_evaluation(request: Request, caller: CallerOf, model_id: str) -> Response:
    """End the evaluation that runs or waits; nothing happens to one that has ended."""
    services = services_of(request)
    return _cancelled(services, services.evaluations, caller, model_id)


@router.post("/tunedModels/{model_id:id}:cancelExamination", name="CancelExamination", **described())
def cancel_examination(request: Request, caller: CallerOf, model_id: str) -> Response:
    """End the examination that runs or waits; nothing happens to one that has ended."""
    services = services_of(request)
    return _cancelled(services, services.examinations, caller, model_id)


@router.post("/tunedModels/{model_id:id}:cancelDataCurve", name="CancelDataCurve", **described())
def cancel_data_curve(request: Request, caller: CallerOf, model_id: str) -> Response:
    """End the data curve that is being drawn; nothing happens to one that was."""
    services = services_of(request)
    return _cancelled(services, services.data_curves, caller, model_id)


def _cancelled(services: Services, inquiries: Inquiries, caller: Caller, model_id: str) -> Response:
    services.library.sharing.require(caller, Action.WRITE, model_id)
    inquiries.cancel(services.library.find(model_id))
    return JsonReply({})
