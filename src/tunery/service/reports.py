"""
Inquiries about tuned models: asked for, worked on one after the other in a child, kept as reports.

What all of them have in common: the queue, the progress, the child and the report. A subclass says what the work is and
answers what its child asks (`evaluations.py`, `examinations.py`). What runs is known in memory only: after a restart
the newest report counts. Knows no HTTP.
"""

from __future__ import annotations

import logging
import queue
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunery.data.cleaning import Finding, fixed
from tunery.engine.catalog import Catalog
from tunery.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted, TuneryError, Unavailable
from tunery.evaluation.verdict import LEAST_CURVE_ROWS
from tunery.service import report_child
from tunery.service.answering import Answering, Batches
from tunery.service.answering_child import Question
from tunery.service.library import Library
from tunery.service.process import Child
from tunery.service.report_child import Begin, Done, Progressed
from tunery.types import SamplingSettings, TunedModel, TuningExample, Turn

if TYPE_CHECKING:
    from tunery.evaluation.report import Evaluation

LEASE_SECONDS = 30.0  # a child that says nothing so long is taken for frozen

_log = logging.getLogger("tunery.inquiries")


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an inquiry stands: RUNNING with how much is done, or FAILED with its error."""

    state: str
    done: int = 0
    total: int = 0
    error: TuneryError | None = None


@dataclass(slots=True)
class _Asked:
    """An inquiry that is open: waiting or at work."""

    model: TunedModel
    work: object
    is_cancelled: bool = False


def keep_document(library: Library, model: TunedModel, kind: str, document: Mapping[str, Any]) -> None:
    """Keep the newest report of a kind about a tuned model, with the time."""
    library.put_report(model, kind, {**document, "create_time": datetime.now(UTC).isoformat()})


def require_base(catalog: Catalog, model: TunedModel) -> None:
    """Raise FailedPrecondition if the base here is not the one that a model was tuned on."""
    # one that is not here is fetched by the child
    if catalog.is_present(model.base_model) and catalog.digest(model.base_model) != model.base_digest:
        raise FailedPrecondition(f"The base {model.base_model} is not the one that {model.id} was tuned on.")


class Inquiries:
    """One kind of inquiry, made by a subclass; `start` a thread with it, `stop` at the end."""

    kind: str  # of the reports
    title: str  # one of them, for messages
    max_open: int  # asked for and not finished
    niceness: int
    child_main: Callable[..., None]

    def __init__(self, library: Library) -> None:
        self._library = library
        self._wanted: queue.Queue[_Asked | None] = queue.Queue()
        # both by task: another model may get the id of one that was deleted
        self._open: dict[str, _Asked] = {}
        self._progress: dict[str, Progress] = {}
        self._working: _Asked | None = None
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name=f"{self.title}s", daemon=True)

    @property
    def child_pid(self) -> int | None:
        """The process that works on an inquiry; None while there is none."""
        child = self._child
        return None if child is None else child.pid

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

    def cancel(self, model: TunedModel) -> None:
        """End the inquiry about a tuned model, waiting or at work; nothing is kept of it. One that has ended stays."""
        with self._lock:
            asked = self._open.pop(model.task.id, None)
            if asked is None:
                return
            asked.is_cancelled = True
            del self._progress[model.task.id]
            child = self._child if self._working is asked else None
        if child is not None:
            child.kill()

    def progress(self, model: TunedModel) -> Progress | None:
        """Return where the inquiry about a tuned model stands, None if none runs or has failed since the last."""
        return self._progress.get(model.task.id)

    def report(self, model: TunedModel) -> dict[str, Any] | None:
        """Return the document of the newest report, with `create_time`; None if there is none."""
        return self._library.report(model, self.kind)

    def _put(self, model: TunedModel, work: object, max_open: int | None = None) -> Progress:
        """Take work into the queue; one that runs already is returned. Raises ResourceExhausted if too many wait."""
        limit = self.max_open if max_open is None else max_open
        with self._lock:
            current = self._progress.get(model.task.id)
            if current is not None and current.state == "RUNNING":
                return current
            if sum(known.state == "RUNNING" for known in self._progress.values()) >= limit:
                raise ResourceExhausted(f"The limit of open {self.title}s has been reached ({limit}). Try again later.")
            begun = self._progress[model.task.id] = Progress("RUNNING")
            asked = self._open[model.task.id] = _Asked(model, work)
        self._wanted.put(asked)
        return begun

    def _loop(self) -> None:
        while (asked := self._wanted.get()) is not None and not self._is_stopping.is_set():
            if asked.is_cancelled:
                continue
            try:
                self._end(asked, self._worked(asked))
            except Exception as error:  # noqa: BLE001  # one inquiry must not end the thread that all others need
                _log.exception("The %s of %s failed", self.title, asked.model.name)
                self._end(asked, Progress("FAILED", error=TuneryError(f"Something went wrong: {error!r}.")))

    def _worked(self, asked: _Asked) -> Progress | None:
        """Work on one inquiry and keep its report; returns the failure if there is one to be told of."""
        try:
            document = self._found(asked)
        except TuneryError as error:
            return Progress("FAILED", error=error) if self._is_there(asked.model) else None
        if self._is_there(asked.model) and not asked.is_cancelled:
            keep_document(self._library, asked.model, self.kind, document)
        return None

    def _found(self, asked: _Asked) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="tunery-inquiry-") as folder:
            return self._told(asked, Begin(asked.work, Path(folder)))

    def _told(self, asked: _Asked, begin: Begin) -> dict[str, Any]:
        self._working = asked
        child = self._child = Child(self.title, type(self).child_main, niceness=self.niceness)
        try:
            child.send(begin)
            while not isinstance(message := self._received(child, asked), Done):
                if isinstance(message, Progressed):
                    self._note(asked, Progress("RUNNING", message.done, message.total))
                else:
                    self._answer(child, asked.model, message)
        except (EOFError, TimeoutError):
            raise Unavailable(f"The {self.title} broke off. Start it again.") from None
        finally:
            child.stop()
            self._child = self._working = None
        if message.error is not None:
            raise message.error
        assert message.document is not None
        return message.document

    def _received(self, child: Child, asked: _Asked) -> object:
        if self._is_stopping.is_set() or asked.is_cancelled:  # who ended it may have looked before the child was there
            raise EOFError
        return child.receive(LEASE_SECONDS)

    def _answer(self, child: Child, model: TunedModel, message: object) -> None:
        """Answer what the child asks; those that ask nothing send signs of life only."""

    def _note(self, asked: _Asked, progress: Progress) -> None:
        with self._lock:
            if not asked.is_cancelled:
                self._progress[asked.model.task.id] = progress

    def _end(self, asked: _Asked, progress: Progress | None) -> None:
        with self._lock:
            if asked.is_cancelled:  # and another may have been asked for
                return
            self._open.pop(asked.model.task.id, None)
            self._progress.pop(asked.model.task.id, None)
            if progress is not None:
                self._progress[asked.model.task.id] = progress

    def _is_there(self, model: TunedModel) -> bool:
        """Say whether the model is what it was; its id may be another's by now."""
        try:
            return self._library.find(model.id).task.id == model.task.id
        except NotFound:
            return False


class DataCurves(Inquiries):
    """Draws the data curves of tuned models of a library."""

    kind, title = "DATA_CURVE", "data curve"
    max_open, niceness = 1, 15  # each tunes three times; tuning tasks, at 10, go first
    child_main = report_child.draw_curve

    def __init__(self, library: Library, catalog: Catalog) -> None:
        super().__init__(library)
        self._catalog = catalog

    def ask(self, model: TunedModel) -> Progress:
        """
        Have the data curve of a tuned model drawn, with its settings and all of its rows; one that runs is returned.

        Raises FailedPrecondition if the model is not ACTIVE, its base has changed or it has fewer than LEAST_CURVE_ROWS
        rows, ResourceExhausted if the curve of another model is being drawn.
        """
        self._library.artifact(model)
        require_base(self._catalog, model)
        used, held_out = self._library.examples(model)
        rows = (*used, *held_out)
        if len(rows) < LEAST_CURVE_ROWS:
            raise FailedPrecondition(
                f"A data curve needs at least {LEAST_CURVE_ROWS} rows; {model.id} has {len(rows)}."
            )
        task = model.task
        return self._put(
            model,
            report_child.CurveWork(model.base_model, task.hyperparameters, task.seed, self._library.folder.path, rows),
        )


KIND = "EVALUATION"
MAX_OPEN = 8
MAX_OPEN_UNASKED = 4  # the other places are for who asks
MAX_ROWS = 500  # of one evaluation; more are drawn from

_evaluations_log = logging.getLogger("tunery.evaluations")


def keep(library: Library, model: TunedModel, found: Evaluation) -> None:
    """Keep the newest evaluation of a tuned model."""
    keep_document(library, model, KIND, found.document())


class Evaluations(Inquiries):
    """Evaluates tuned models of a library."""

    kind, title = KIND, "evaluation"
    max_open, niceness = MAX_OPEN, 5
    child_main = report_child.evaluate

    def __init__(self, library: Library, answering: Answering, catalog: Catalog) -> None:
        super().__init__(library)
        self._catalog = catalog
        self._batches = Batches(answering, self._is_stopping)

    def ask(self, model: TunedModel, work: report_child.EvaluationWork) -> Progress:
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
            _evaluations_log.info("%s is not evaluated by itself: %s", model.name, error)

    def held_out_work(
        self, model: TunedModel, *, max_rows: int = MAX_ROWS, seed: int = 0
    ) -> report_child.EvaluationWork:
        """Return the work of evaluating a tuned model on its held-out rows."""
        used, held_out = self._library.examples(model)
        return report_child.EvaluationWork(held_out, used, "held-out rows", max_rows, seed)

    def _answer(self, child: Child, model: TunedModel, message: object) -> None:
        try:
            match message:
                case report_child.AskFits(prompt, tokens):
                    child.send(report_child.Reply(self._fits(model, prompt, tokens)))
                case report_child.AskAll(is_tuned, prompts, tokens):
                    adapter = self._library.artifact(model) if is_tuned else None
                    questions = [_question(model, prompt, tokens, adapter) for prompt in prompts]
                    child.send(report_child.Reply(self._batches.answers(questions)))
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


MAX_FOLDS = 10  # each is a tuning


class Examinations(Inquiries):
    """Examines the examples of tuned models of a library."""

    kind, title = "SURGERY", "examination"
    max_open, niceness = 8, 15  # it may tune several times; tuning tasks, at 10, go first
    child_main = report_child.check_data

    def __init__(self, library: Library, catalog: Catalog) -> None:
        super().__init__(library)
        self._catalog = catalog

    def fixed_examples(self, model: TunedModel) -> tuple[TuningExample, ...]:
        """Return the examples of a tuned model with the fixes of its newest data check; raise NotFound without one."""
        document = self.report(model)
        if document is None:
            raise NotFound(f"The data of {model.name} has not been checked; POST to {model.name}:examine first.")
        examples, _ = self._library.examples(model)
        return tuple(fixed(examples, [Finding.read(finding) for finding in document["findings"]]))

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
            report_child.CheckWork(
                model.base_model, folder, adapter, examples, held_out, task.hyperparameters, task.seed, folds
            ),
        )
