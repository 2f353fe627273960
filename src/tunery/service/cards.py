"""
The model card of a tuned model of My Library.

Gathers what the library, the catalog and the reports say; computes nothing anew. Knows domain values and reports; the
card itself is the engine's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunery.card import ModelCard, base_section, curve_section, data_section, settings_section
from tunery.service import epochs
from tunery.service.contracts import contracts_of
from tunery.service.export import FORMATS, report_kind
from tunery.types import TunedModel

if TYPE_CHECKING:
    from tunery.engine.catalog import Catalog
    from tunery.service.library import Library

EVALUATION = "EVALUATION"


def card_of(library: Library, catalog: Catalog, model: TunedModel) -> ModelCard:
    """Return the card of a tuned model."""
    reports, task = library.reports(model), model.task
    card = ModelCard(
        name=model.name,
        display_name=model.display_name,
        description=model.description,
        state=model.state.value,
        create_time=model.create_time.isoformat(),
        base=base_section(
            catalog.resolve(model.base_model),
            model.base_model,
            model.base_digest,
            asked_as=model.base_name_asked,
            source_tuned_model=model.source_tuned_model,
        ),
        data=data_section(task.data, task.held_out_rows),
        settings=settings_section(task.hyperparameters, task.seed, task.settings, task.versions),
        curve=curve_section(
            task.epoch_losses,
            task.advice,
            completed_steps=task.completed_steps,
            total_steps=task.total_steps,
            kept_epochs=epochs.kept(library.folder.path / model.artifact) if model.artifact else (),
        ),
        contracts=contracts_of(library, model),
        calls=_calls(model),
    )
    if EVALUATION in reports:
        card = card.with_evaluation(reports[EVALUATION])
    for kind in map(report_kind, FORMATS):
        card = card.with_export(reports[kind]) if kind in reports else card
    return card


def _calls(model: TunedModel) -> dict[str, str]:
    return {
        "cli": f'tunery generate {model.id} "..."',
        "http": f"POST /v1beta/{model.name}:generateContent",
        "python": f'genai.GenerativeModel("{model.name}").generate_content("...")',
    }
