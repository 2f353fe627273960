"""
tunedModels/{id}:examine and :examination (extension): which of its own examples are doubtful, asked for and read.

It takes as long as reading all examples does, or several tunings, so asking returns at once; who asked looks again
until its state is not RUNNING.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from tunery.errors import NotFound
from tunery.server.auth import CallerOf
from tunery.server.body import body_of
from tunery.server.parameters import described
from tunery.server.replies import JsonReply
from tunery.server.services import Services, services_of
from tunery.server.wire.examinations import ExaminationOut, ExaminationsPage, ExamineIn, examination_out
from tunery.service.access import Action
from tunery.types import Caller

router = APIRouter(tags=["examinations (extension)"])


@router.post(
    "/tunedModels/{model_id:id}:examine", name="ExamineTunedModel", **described(ExaminationOut, body=ExamineIn)
)
def examine(
    request: Request, caller: CallerOf, model_id: str, body: Annotated[ExamineIn, Depends(body_of(ExamineIn))]
) -> Response:
    """Have the examples of a tuned model examined; the reply comes at once."""
    services = services_of(request)
    services.library.sharing.require(caller, Action.WRITE, model_id)
    services.examinations.ask(services.library.find(model_id), body.fold_count)
    return JsonReply(_required(services, caller, model_id).json_object())


@router.get("/tunedModels/{model_id:id}:examination", name="GetExamination", **described(ExaminationOut))
def examination(request: Request, caller: CallerOf, model_id: str) -> Response:
    """Return the newest examination; its findings, which show texts of rows, to those who may write."""
    services = services_of(request)
    services.library.sharing.require(caller, Action.READ, model_id)
    return JsonReply(_required(services, caller, model_id).json_object())


@router.get("/tunedModels/{model_id:id}/examinations", name="ListExaminations", **described(ExaminationsPage))
def list_(request: Request, caller: CallerOf, model_id: str) -> Response:
    """List the newest examination, or nothing where there is none: for pages that only want to know."""
    services = services_of(request)
    services.library.sharing.require(caller, Action.READ, model_id)
    newest = _newest(services, caller, model_id)
    return JsonReply(ExaminationsPage(examinations=[newest] if newest else None).json_object())


def _required(services: Services, caller: Caller, model_id: str) -> ExaminationOut:
    newest = _newest(services, caller, model_id)
    if newest is None:
        name = f"tunedModels/{model_id}"
        raise NotFound(f"{name} was not examined yet; POST to {name}:examine does it.")
    return newest


def _newest(services: Services, caller: Caller, model_id: str) -> ExaminationOut | None:
    model = services.library.find(model_id)
    progress, document = services.examinations.progress(model), services.examinations.report(model)
    if progress is None and document is None:
        return None
    may_see = services.library.sharing.allows(caller, Action.WRITE, model_id)
    return examination_out(model.name, progress, document, services.library.examples(model) if may_see else None)
