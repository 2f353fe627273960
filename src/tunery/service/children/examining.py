"""
The child that examines: looks for doubtful rows among the examples of a tuned model.

The losses that it needs come from the tuned model, which has learned most rows by heart, or from tunings without the
row, if a number of folds is given. What is doubtful is decided in `engine.surgery`. Knows folders and rows; nothing of
SQL or HTTP.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunery.files import open_published
from tunery.service.children.inquiring import Progressed, find_out
from tunery.service.children.process import Line
from tunery.types import Hyperparameters, TuningExample

if TYPE_CHECKING:
    from tunery.model import Model
    from tunery.resampling import Repeated


@dataclass(frozen=True, slots=True)
class Work:
    """To the child: examine what a model was tuned on; its adapter is named by folder and digest of the manifest."""

    base_model: str
    data_folder: Path
    adapter: tuple[Path, str]
    examples: tuple[TuningExample, ...] = field(repr=False)
    held_out: tuple[TuningExample, ...] = field(repr=False)
    hyperparameters: Hyperparameters
    seed: int
    folds: int | None = None


def main(line: Line) -> None:
    """Examine once."""
    find_out(line, lambda work: _examined(line, work))


def _examined(line: Line, work: Work) -> dict[str, Any]:
    from tunery.engine.catalog import Catalog
    from tunery.engine.encoding import token_counts
    from tunery.resampling import surgery

    os.environ["TUNERY_HOME"] = str(work.data_folder)  # where the Python library finds its bases
    line.send(Progressed(0, len(work.examples)))
    entry = Catalog(work.data_folder).resolve(work.base_model)
    found = surgery(
        work.examples,
        folds=work.folds,
        repeated=_repeated(line, work, work.folds) if work.folds else None,
        model=None if work.folds else _model(work),
        held_out=work.held_out,
        token_counts=token_counts(entry, work.data_folder, work.examples),
        window_tokens=entry.input_token_limit,
        learned=work.examples,
        on_rows=lambda done, total: line.send(Progressed(done, total)),
    )
    return {
        "rows": len(work.examples),
        "held_out_rows": len(work.held_out),
        "folds": work.folds,
        "findings": [finding.document(lambda place: place + 1) for finding in found],
    }


def _model(work: Work) -> Model:
    from tunery.engine.adapter import read_adapter
    from tunery.engine.resident import loaded_base
    from tunery.model import Model

    resident = loaded_base(work.base_model, work.data_folder)
    return Model(resident, read_adapter(open_published(*work.adapter), resident.network))


def _repeated(line: Line, work: Work, folds: int) -> Repeated:
    """Return how each fold is tuned: as the model was, but not so long that a model is sure of everything."""
    from tunery.resampling import DOUBTING, Repeated

    settings, rows = work.hyperparameters, len(work.examples)
    return Repeated(
        work.base_model,
        replace(settings, epoch_count=min(settings.epoch_count, DOUBTING.epoch_count)),
        work.seed,
        lambda number, _snapshot: line.send(Progressed(rows * (number - 1) // folds, rows)),
    )
