"""
tunedModels.examples (extension): what a tuned model was tuned on, and what was held out to measure it.

For its readers; Google's own messages never carry training data, since the old client refuses it.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from tunery.server.auth import CallerOf
from tunery.server.parameters import described, int_parameter, text_parameter
from tunery.server.replies import JsonReply
from tunery.server.services import Services, services_of
from tunery.server.wire.examples import StoredExampleOut, StoredExamplesPage
from tunery.service.access import Action
from tunery.service.requests import page_size, page_token, read_page_token
from tunery.types import TuningExample

router = APIRouter(tags=["tunedModels (extension)"])

DEFAULT_PAGE_SIZE = 50
MAX_RENDERED = 100  # a page of them takes the answering child's time


@router.get(
    "/tunedModels/{model_id:id}/examples",
    name="ListTunedModelExamples",
    **described(StoredExamplesPage, query=("page_size", "page_token", "held_out", "rendered")),
)
def list_(request: Request, caller: CallerOf, model_id: str) -> Response:
    """List the examples of a tuned model; with `heldOut=true` those that were held out."""
    services = services_of(request)
    services.library.sharing.require(caller, Action.READ, model_id)
    model = services.library.find(model_id)
    is_held_out = text_parameter(request, "held_out") == "true"
    examples = services.library.examples(model)[is_held_out]
    size = page_size(int_parameter(request, "page_size"), DEFAULT_PAGE_SIZE)
    asked = ("examples", model_id, is_held_out)
    start = read_page_token(text_parameter(request, "page_token"), *asked) or 0
    is_rendered = text_parameter(request, "rendered") == "true"
    shown = examples[start : start + (min(size, MAX_RENDERED) if is_rendered else size)]
    end = start + len(shown)
    page = StoredExamplesPage(
        examples=_out(services, model.base_model, shown, is_rendered) or None,
        total_size=len(examples),
        next_page_token=page_token(end, *asked) if len(examples) > end else None,
    )
    return JsonReply(page.json_object())


def _out(
    services: Services, base_model: str, examples: tuple[TuningExample, ...], is_rendered: bool
) -> list[StoredExampleOut]:
    texts = services.answering.render_rows(base_model, examples) if is_rendered and examples else [None] * len(examples)
    return [
        StoredExampleOut(text_input=example.text_input, output=example.output, rendered=text)
        for example, text in zip(examples, texts, strict=True)
    ]
