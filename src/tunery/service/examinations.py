"""
Examinations of tuned models in a server: which of their own examples are doubtful.

The child (`children/examining.py`) has base and adapter in a memory of its own. Queue and reports are those of all
inquiries. Knows no HTTP.
"""

from __future__ import annotations

from tunery.engine.bases.catalog import Catalog
from tunery.service.children import examining
from tunery.service.inquiries import Inquiries, Progress, require_base
from tunery.service.library import Library
from tunery.types import TunedModel


class Examinations(Inquiries):
    """Examines the examples of tuned models of a library."""

    kind, title = "SURGERY", "examination"
    max_open, niceness = 8, 10  # answers and tuning go first
    child_main = examining.main

    def __init__(self, library: Library, catalog: Catalog) -> None:
        super().__init__(library)
        self._catalog = catalog

    def ask(self, model: TunedModel) -> Progress:
        """
        Have the examples of a tuned model examined; an examination that runs already is returned.

        Raises FailedPrecondition if the model is not ACTIVE or its base has changed, ResourceExhausted if too many
        examinations wait.
        """
        adapter = self._library.artifact(model)
        require_base(self._catalog, model)
        examples, held_out = self._library.examples(model)
        return self._put(
            model, examining.Work(model.base_model, self._library.folder.path, adapter, examples, held_out)
        )
