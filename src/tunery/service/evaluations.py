"""
Evaluations of tuned models in a server: asked for by users, or by the server itself when a tuning task has succeeded.

The child (`children/evaluating.py`) scores; its prompts are answered by the answering child, beside the questions of
users. Queue and reports are those of all inquiries. Knows no HTTP.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from tunery.engine.catalog import Catalog
from tunery.errors import InvalidArgument, TuneryError
from tunery.service.answering import Answering
from tunery.service.batches import Batches
from tunery.service.children import evaluating
from tunery.service.children.answering import Question
from tunery.service.children.process import Child
from tunery.service.inquiries import Inquiries, Progress, keep_document
from tunery.service.library import Library
from tunery.types import SamplingSettings, TunedModel, Turn

if TYPE_CHECKING:
    from tunery.evaluation.report import Evaluation

KIND = "EVALUATION"
MAX_OPEN = 8
MAX_OPEN_UNASKED = 4  # the other places are for who asks
MAX_ROWS = 500  # of one evaluation; more are drawn from

_log = logging.getLogger("tunery.evaluations")


def keep(library: Library, model: TunedModel, found: Evaluation) -> None:
    """Keep the newest evaluation of a tuned model."""
    keep_document(library, model, KIND, found.document())


class Evaluations(Inquiries):
    """Evaluates tuned models of a library."""

    kind, title = KIND, "evaluation"
    max_open, niceness = MAX_OPEN, 5
    child_main = evaluating.main

    def __init__(self, library: Library, answering: Answering, catalog: Catalog) -> None:
        super().__init__(library)
        self._catalog = catalog
        self._batches = Batches(answering, self._is_stopping)

    def ask(self, model: TunedModel, work: evaluating.Work) -> Progress:
        """
        Have a tuned model evaluated; one that runs already is returned.

        Raises FailedPrecondition if the model is not ACTIVE, InvalidArgument without rows, ResourceExhausted if too
        many evaluations wait.
        """
        self._library.artifact(model)
        if not work.rows:
            raise InvalidArgument("The model has no held-out rows; send examples to evaluate on.")
        return self._put(model, work)

    def begin(self, model: TunedModel) -> None:
        """
        Evaluate a tuned model that nobody asked about, on its held-out rows.

        Nothing happens if it has none, if somebody has asked already, or if there is no room; a log line says so then.
        """
        try:
            work = self.held_out_work(model)
            if work.rows and self.progress(model) is None and self.report(model) is None:
                self._put(model, work, MAX_OPEN_UNASKED)
        except TuneryError as error:
            _log.info("%s is not evaluated by itself: %s", model.name, error)

    def held_out_work(self, model: TunedModel, *, max_rows: int = MAX_ROWS, seed: int = 0) -> evaluating.Work:
        """Return the work of evaluating a tuned model on its held-out rows."""
        used, held_out = self._library.examples(model)
        return evaluating.Work(held_out, used, "held-out rows", max_rows, seed)

    def _answer(self, child: Child, model: TunedModel, message: object) -> None:
        try:
            match message:
                case evaluating.AskFits(prompt, tokens):
                    child.send(evaluating.Reply(self._fits(model, prompt, tokens)))
                case evaluating.AskAll(is_tuned, prompts, tokens):
                    adapter = self._library.artifact(model) if is_tuned else None
                    questions = [_question(model, prompt, tokens, adapter) for prompt in prompts]
                    child.send(evaluating.Reply(self._batches.answers(questions)))
        except TuneryError as error:
            child.send(error)

    def _fits(self, model: TunedModel, prompt: str, max_output_tokens: int) -> bool:
        limit = self._catalog.resolve(model.base_model).input_token_limit
        try:
            return self._batches.tokens(_question(model, prompt, 1)) + max_output_tokens <= limit
        except InvalidArgument:  # longer than the window alone
            return False


def _question(
    model: TunedModel, prompt: str, max_output_tokens: int, adapter: tuple[Path, str] | None = None
) -> Question:
    settings = SamplingSettings(max_output_tokens=max_output_tokens)
    return Question(model.base_model, (Turn("user", prompt),), settings, adapter)
