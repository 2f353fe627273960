"""
Examinations of tuned models in a server: which of their own examples are doubtful.

The child (`children/examining.py`) has base and adapter in a memory of its own. Queue and reports are those of all
inquiries. Knows no HTTP.
"""

from __future__ import annotations

from tunery.engine.catalog import Catalog
from tunery.errors import InvalidArgument
from tunery.service.children import examining
from tunery.service.inquiries import Inquiries, Progress, require_base
from tunery.service.library import Library
from tunery.types import TunedModel

MAX_FOLDS = 10  # each is a tuning


class Examinations(Inquiries):
    """Examines the examples of tuned models of a library."""

    kind, title = "SURGERY", "examination"
    max_open, niceness = 8, 15  # it may tune several times; tuning tasks, at 10, go first
    child_main = examining.main

    def __init__(self, library: Library, catalog: Catalog) -> None:
        super().__init__(library)
        self._catalog = catalog

    def ask(self, model: TunedModel, folds: int | None = None) -> Progress:
        """
        Have the examples of a tuned model examined; an examination that runs already is returned.

        With `folds` the base is tuned so many times, each time without the rows whose outputs are then doubted.
        Raises InvalidArgument for folds outside 2 to MAX_FOLDS or more than there are examples, FailedPrecondition if
        the model is not ACTIVE or its base has changed, ResourceExhausted if too many examinations wait.
        """
        adapter = self._library.artifact(model)
        require_base(self._catalog, model)
        examples, held_out = self._library.examples(model)
        if folds is not None and not 2 <= folds <= min(MAX_FOLDS, len(examples)):
            raise InvalidArgument(f"fold_count must be 2 to {min(MAX_FOLDS, len(examples))}, not {folds}.")
        folder, task = self._library.folder.path, model.task
        return self._put(
            model,
            examining.Work(
                model.base_model, folder, adapter, examples, held_out, task.hyperparameters, task.seed, folds
            ),
        )
