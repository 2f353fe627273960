"""
The model card: all that is known of a tuned model on one page, as a document.

Gathers what the library, the catalog and the reports say; computes nothing anew and holds no text of an example. Knows
domain values and reports; `card_text.py` writes it for people.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunery import __version__
from tunery.engine.contracts.contracts import CARD_FILE
from tunery.service import epochs
from tunery.service.card_text import markdown
from tunery.service.contracts import contracts_of
from tunery.service.export import FORMATS, report_kind
from tunery.types import CatalogEntry, TunedModel

if TYPE_CHECKING:
    from tunery.engine.bases.catalog import Catalog
    from tunery.service.library import Library

CARD_JSON, CARD_MARKDOWN = CARD_FILE, "model-card.md"
EVALUATION = "EVALUATION"
_ROW_TEXTS = frozenset({"best_rows", "worst_rows"})


def card_of(library: Library, catalog: Catalog, model: TunedModel) -> dict[str, Any]:
    """Return the card of a tuned model as plain values."""
    reports = library.reports(model)
    contracts = contracts_of(library, model)
    return {
        "name": model.name,
        "display_name": model.display_name,
        "description": model.description,
        "state": model.state.value,
        "create_time": model.create_time.isoformat(),
        "made_by": f"tunery {__version__}",
        "base": _base(catalog.resolve(model.base_model), model),
        "data": _data(model),
        "settings": _settings(model),
        "curve": _curve(library, model),
        "evaluation": _evaluation(reports.get(EVALUATION)),
        "prompt_contract": contracts.prompt.document(),
        "prompt_sentence": contracts.prompt.sentence(),
        "output_contract": contracts.output.document(),
        "output_sentence": contracts.output.sentence(),
        "exports": [_export(reports[kind]) for kind in map(report_kind, FORMATS) if kind in reports],
        "calls": _calls(model),
    }


def write_card(library: Library, catalog: Catalog, model: TunedModel, folder: Path) -> None:
    """Write the card of a tuned model into a folder, for people and for programs."""
    card = card_of(library, catalog, model)
    (folder / CARD_JSON).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", "utf-8")
    (folder / CARD_MARKDOWN).write_text(markdown(card), "utf-8")


def _base(entry: CatalogEntry, model: TunedModel) -> dict[str, Any]:
    return {
        "name": model.base_model,
        "display_name": entry.display_name,
        "licence": entry.licence,
        "source": entry.source,
        "parameters": entry.parameters,
        "sha256": model.base_digest,
        "asked_as": model.base_name_asked,
        "source_tuned_model": model.source_tuned_model,
    }


def _data(model: TunedModel) -> dict[str, Any]:
    return {**asdict(model.task.data), "held_out_rows": model.task.held_out_rows}


def _settings(model: TunedModel) -> dict[str, Any]:
    task = model.task
    given = {name: value for name, value in asdict(task.hyperparameters).items() if value is not None}
    return {**given, "seed": task.seed, "in_force": task.settings, "versions": task.versions}


def _curve(library: Library, model: TunedModel) -> dict[str, Any]:
    task = model.task
    published = library.folder.path / model.artifact if model.artifact else None
    return {
        "epoch_losses": [asdict(loss) for loss in task.epoch_losses],
        "advice": task.advice.text if task.advice else None,
        "completed_steps": task.completed_steps,
        "total_steps": task.total_steps,
        "kept_epochs": epochs.kept(published) if published else [],
    }


def _evaluation(report: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return an evaluation without the texts of single rows: readers see the card, and it goes out with exports."""
    return None if report is None else {key: value for key, value in report.items() if key not in _ROW_TEXTS}


def _export(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return a proof without the rows that differed: a card is shown to more people than the examples are."""
    proofs = [{k: v for k, v in proof.items() if k != "differences"} for proof in report["proofs"]]
    return {**report, "proofs": proofs}


def _calls(model: TunedModel) -> dict[str, str]:
    return {
        "cli": f'tunery generate {model.id} "..."',
        "http": f"POST /v1beta/{model.name}:generateContent",
        "python": f'genai.GenerativeModel("{model.name}").generate_content("...")',
    }
