"""
tunedModels/{id}:dataCurve (extension): what more rows would bring, asked for with POST and read with GET.

It tunes several times, so asking returns at once; who asked looks again until its state is not RUNNING.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from tunery.errors import NotFound
from tunery.server.auth import CallerOf
from tunery.server.parameters import described
from tunery.server.replies import JsonReply
from tunery.server.services import Services, services_of
from tunery.server.wire.data_curves import DataCurveOut, DataCurvesPage, data_curve_out
from tunery.service.access import Action

router = APIRouter(tags=["data curves (extension)"])


@router.post("/tunedModels/{model_id:id}:dataCurve", name="DrawDataCurve", **described(DataCurveOut))
def draw(request: Request, caller: CallerOf, model_id: str) -> Response:
    """Have the data curve of a tuned model drawn from its own rows; the reply comes at once."""
    services = services_of(request)
    services.library.sharing.require(caller, Action.WRITE, model_id)
    services.data_curves.ask(services.library.find(model_id))
    return JsonReply(_required(services, model_id).json_object())


@router.get("/tunedModels/{model_id:id}:dataCurve", name="GetDataCurve", **described(DataCurveOut))
def get(request: Request, caller: CallerOf, model_id: str) -> Response:
    """Return the newest data curve."""
    services = services_of(request)
    services.library.sharing.require(caller, Action.READ, model_id)
    return JsonReply(_required(services, model_id).json_object())


@router.get("/tunedModels/{model_id:id}/dataCurves", name="ListDataCurves", **described(DataCurvesPage))
def list_(request: Request, caller: CallerOf, model_id: str) -> Response:
    """List the newest data curve, or nothing where there is none: for pages that only want to know."""
    services = services_of(request)
    services.library.sharing.require(caller, Action.READ, model_id)
    newest = _newest(services, model_id)
    return JsonReply(DataCurvesPage(data_curves=[newest] if newest else None).json_object())


def _required(services: Services, model_id: str) -> DataCurveOut:
    newest = _newest(services, model_id)
    if newest is None:
        name = f"tunedModels/{model_id}"
        raise NotFound(f"{name} has no data curve yet; POST to {name}:dataCurve draws it.")
    return newest


def _newest(services: Services, model_id: str) -> DataCurveOut | None:
    model = services.library.find(model_id)
    progress, document = services.data_curves.progress(model), services.data_curves.report(model)
    if progress is None and document is None:
        return None
    return data_curve_out(model.name, progress, document)
