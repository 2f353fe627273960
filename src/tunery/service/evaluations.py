"""
Evaluations of tuned models in a server: asked for, worked on one after the other in a child, kept as reports.

The child (`children/evaluating.py`) scores; its prompts are answered by the answering child, beside the questions of
users. What runs is known in memory only: after a restart the newest report counts. Knows no HTTP.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunery.engine.bases.catalog import Catalog
from tunery.errors import InvalidArgument, ResourceExhausted, TuneryError, Unavailable
from tunery.service.answering import Answering
from tunery.service.batches import Batches
from tunery.service.children import evaluating
from tunery.service.children.answering import Question
from tunery.service.children.process import Child
from tunery.service.library import Library
from tunery.types import SamplingSettings, TunedModel, Turn

if TYPE_CHECKING:
    from tunery.engine.evaluation.report import Evaluation

KIND = "EVALUATION"
MAX_WAITING = 8
MAX_ROWS = 500  # of one evaluation; more are drawn from
LEASE_SECONDS = 30.0
NICENESS = 5


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an evaluation stands: RUNNING with how many prompts are answered, or FAILED with its error."""

    state: str
    answered: int = 0
    total: int = 0
    error: TuneryError | None = None


def keep(library: Library, model: TunedModel, found: Evaluation) -> None:
    """Keep the newest report about a tuned model."""
    keep_document(library, model, found.document())


def keep_document(library: Library, model: TunedModel, document: Mapping[str, Any]) -> None:
    """Keep the newest report about a tuned model, as its document, with the time."""
    library.put_report(model, KIND, {**document, "create_time": datetime.now(UTC).isoformat()})


class Evaluations:
    """Evaluates tuned models of a library; `start` a thread with it, `stop` at the end."""

    def __init__(self, library: Library, answering: Answering, catalog: Catalog) -> None:
        self._library, self._catalog = library, catalog
        self._wanted: queue.Queue[tuple[TunedModel, evaluating.Work] | None] = queue.Queue()
        self._progress: dict[str, Progress] = {}
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._is_stopping = threading.Event()
        self._batches = Batches(answering, self._is_stopping)
        self._thread = threading.Thread(target=self._loop, name="evaluations", daemon=True)

    def start(self) -> None:
        """Begin to work on what is asked for."""
        self._thread.start()

    def stop(self) -> None:
        """End what runs; nothing is kept of it."""
        self._is_stopping.set()
        self._wanted.put(None)
        if (child := self._child) is not None:
            child.kill()
        self._thread.join()

    def ask(self, model: TunedModel, work: evaluating.Work) -> Progress:
        """
        Have a tuned model evaluated; one that runs already is returned.

        Raises FailedPrecondition if the model is not ACTIVE, InvalidArgument without rows, ResourceExhausted if too
        many evaluations wait.
        """
        self._library.artifact(model)
        if not work.rows:
            raise InvalidArgument("The model has no held-out rows; send examples to evaluate on.")
        with self._lock:
            current = self._progress.get(model.id)
            if current is not None and current.state == "RUNNING":
                return current
            if self._wanted.qsize() >= MAX_WAITING:
                raise ResourceExhausted(f"{MAX_WAITING} evaluations wait already. Try again later.")
            self._progress[model.id] = Progress("RUNNING")
        self._wanted.put((model, work))
        return self._progress[model.id]

    def held_out_work(self, model: TunedModel, *, max_rows: int = MAX_ROWS, seed: int = 0) -> evaluating.Work:
        """Return the work of evaluating a tuned model on its held-out rows."""
        used, held_out = self._library.examples(model)
        return evaluating.Work(held_out, used, "held-out rows", max_rows, seed)

    def progress(self, model: TunedModel) -> Progress | None:
        """Return where the evaluation of a tuned model stands, None if none runs or has failed since the last."""
        return self._progress.get(model.id)

    def report(self, model: TunedModel) -> dict[str, Any] | None:
        """Return the document of the newest report, with `create_time`; None if there is none."""
        return self._library.report(model, KIND)

    def _loop(self) -> None:
        while (wanted := self._wanted.get()) is not None and not self._is_stopping.is_set():
            model, work = wanted
            try:
                keep_document(self._library, model, self._evaluated(model, work))
                self._progress.pop(model.id, None)
            except TuneryError as error:
                self._progress[model.id] = Progress("FAILED", error=error)

    def _evaluated(self, model: TunedModel, work: evaluating.Work) -> dict[str, Any]:
        child = self._child = Child("evaluating", evaluating.main, niceness=NICENESS)
        try:
            child.send(work)
            while not isinstance(message := child.receive(LEASE_SECONDS), evaluating.Done):
                self._take(child, model, message)
        except (EOFError, TimeoutError):
            raise Unavailable("The evaluation broke off. Start it again.") from None
        finally:
            child.stop()
            self._child = None
        if message.error is not None:
            raise message.error
        assert message.document is not None
        return message.document

    def _take(self, child: Child, model: TunedModel, message: object) -> None:
        try:
            match message:
                case evaluating.Progressed(answered, total):
                    self._progress[model.id] = Progress("RUNNING", answered, total)
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
