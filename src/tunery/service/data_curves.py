"""
Data curves of tuned models in a server: what more rows would bring, from short tunings on parts of those there are.

The child (`children/curving.py`) tunes; only one works at a time. Queue and reports are those of all inquiries. Knows
no HTTP.
"""

from __future__ import annotations

from tunery.engine.catalog import Catalog
from tunery.errors import FailedPrecondition
from tunery.evaluation.growth import LEAST_ROWS
from tunery.service.children import curving
from tunery.service.inquiries import Inquiries, Progress, require_base
from tunery.service.library import Library
from tunery.types import TunedModel


class DataCurves(Inquiries):
    """Draws the data curves of tuned models of a library."""

    kind, title = "DATA_CURVE", "data curve"
    max_open, niceness = 1, 15  # each tunes three times; tuning tasks, at 10, go first
    child_main = curving.main

    def __init__(self, library: Library, catalog: Catalog) -> None:
        super().__init__(library)
        self._catalog = catalog

    def ask(self, model: TunedModel) -> Progress:
        """
        Have the data curve of a tuned model drawn, with its settings and all of its rows; one that runs is returned.

        Raises FailedPrecondition if the model is not ACTIVE, its base has changed or it has fewer than LEAST_ROWS rows,
        ResourceExhausted if the curve of another model is being drawn.
        """
        self._library.artifact(model)
        require_base(self._catalog, model)
        used, held_out = self._library.examples(model)
        rows = (*used, *held_out)
        if len(rows) < LEAST_ROWS:
            raise FailedPrecondition(f"A data curve needs at least {LEAST_ROWS} rows; {model.id} has {len(rows)}.")
        task = model.task
        return self._put(
            model,
            curving.Work(model.base_model, task.hyperparameters, task.seed, self._library.folder.path, rows),
        )
