"""
Reports about tuned models: evaluation, data check and data curve.

Each kind has a queue and a thread, and makes one report at a time in a child process. The queue is in memory only:
after a restart, the newest stored report counts.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunery.data.cleaning import Finding, fixed
from tunery.data.settings import other_settings
from tunery.engine.catalog import Catalog
from tunery.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    TuneryError,
    Unavailable,
    as_tunery_error,
)
from tunery.evaluation.verdict import LEAST_CURVE_ROWS
from tunery.files import temporary_folder
from tunery.service import report_child
from tunery.service.answering import Answering, Batches
from tunery.service.answering_child import Question
from tunery.service.contracts import prompt_options, set_label_temperature
from tunery.service.library import Library
from tunery.service.process import Child
from tunery.service.report_child import (
    AskAll,
    AskFits,
    AskLabels,
    AskStates,
    Begin,
    CheckWork,
    CurveWork,
    Done,
    EvaluationWork,
    FoldsWork,
    Progressed,
)
from tunery.types import AnswerForm, Phase, SamplingSettings, TunedModel, TuningExample, Turn

if TYPE_CHECKING:
    from tunery.evaluation.report import Evaluation

LEASE_SECONDS = 30.0  # a child that sends nothing for this long counts as frozen
EVALUATION = "EVALUATION"  # kind of a stored report
MAX_OPEN = 8
MAX_OPEN_UNASKED = 4  # automatic evaluations after tuning leave the other places to requests
MAX_ROWS = 500  # of one evaluation; larger sets are sampled
MAX_FOLDS = 10  # each of them is a tuning run
TUNING_NICENESS = 15  # for reports that tune; tuning jobs, at 10, go first

_log = logging.getLogger("tunery.reports")


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a report that is not stored: RUNNING with its progress, or FAILED with its error."""

    state: str
    done: int = 0
    total: int = 0
    error: TuneryError | None = None


@dataclass(slots=True)
class _Job:
    """A report that is waiting or being made."""

    model: TunedModel
    work: report_child.Work
    is_cancelled: bool = False


class Reports:
    """Reports of one kind; subclasses check a request, put its work into the queue and answer the child's questions."""

    kind: str  # of the stored reports
    title: str  # for messages
    max_open: int  # waiting or running
    niceness: int

    def __init__(self, library: Library, catalog: Catalog) -> None:
        self._library, self._catalog = library, catalog
        self._queue: queue.Queue[_Job | None] = queue.Queue()
        # by task, because a new model may get the id of a deleted one
        self._open: dict[str, _Job] = {}
        self._progress: dict[str, Progress] = {}
        self._current: _Job | None = None
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name=f"{self.title}s", daemon=True)

    @property
    def child_pid(self) -> int | None:
        """The process that makes a report; None while no report is being made."""
        child = self._child
        return None if child is None else child.pid

    @property
    def is_busy(self) -> bool:
        """Whether a report is waiting or being made."""
        return bool(self._open)

    def start(self) -> None:
        """Start the thread that works through the queue."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread; a report that is being made is lost."""
        self._is_stopping.set()
        self._queue.put(None)
        if (child := self._child) is not None:
            child.kill()
        self._thread.join()

    def cancel(self, model: TunedModel) -> None:
        """Cancel the waiting or running report about a tuned model; a finished one is left as it is."""
        with self._lock:
            job = self._open.pop(model.task.id, None)
            if job is None:
                return
            job.is_cancelled = True
            del self._progress[model.task.id]
            child = self._child if self._current is job else None
        if child is not None:
            child.kill()

    def newest(self, model: TunedModel) -> tuple[Progress | None, dict[str, Any] | None] | None:
        """Return `progress` and `report` of a tuned model; None if it has neither."""
        newest = self.progress(model), self.report(model)
        return None if newest == (None, None) else newest

    def progress(self, model: TunedModel) -> Progress | None:
        """
        Return the progress of the report about a tuned model; None if none is running and the last one did not fail.
        """
        return self._progress.get(model.task.id)

    def report(self, model: TunedModel) -> dict[str, Any] | None:
        """Return the newest stored document, with `create_time`; None if there is none."""
        return self._library.report(model, self.kind)

    def _put(self, model: TunedModel, work: report_child.Work, max_open: int | None = None) -> Progress:
        """Queue work unless a report about this model is running; raise ResourceExhausted if too many are open."""
        limit = self.max_open if max_open is None else max_open
        with self._lock:
            current = self._progress.get(model.task.id)
            if current is not None and current.state == "RUNNING":
                self._require_same_settings(model, work)
                return current
            if sum(known.state == "RUNNING" for known in self._progress.values()) >= limit:
                raise ResourceExhausted(f"The limit of open {self.title}s has been reached ({limit}). Try again later.")
            begun = self._progress[model.task.id] = Progress("RUNNING")
            job = self._open[model.task.id] = _Job(model, work)
        self._queue.put(job)
        return begun

    def _require_same_settings(self, model: TunedModel, work: report_child.Work) -> None:
        """Raise FailedPrecondition for work that compares settings while other work on the model is open."""
        job = self._open.get(model.task.id)
        if isinstance(work, FoldsWork) and work.compare_settings and (job is None or job.work != work):
            raise FailedPrecondition(
                f"{model.name} is being evaluated. Wait until that ends, or cancel it, and compare settings then."
            )

    def _loop(self) -> None:
        while (job := self._queue.get()) is not None and not self._is_stopping.is_set():
            if job.is_cancelled:
                continue
            try:
                self._end(job, self._make(job))
            except Exception as error:  # noqa: BLE001  # one failed report must not end the thread
                _log.exception("The %s of %s failed", self.title, job.model.name)
                self._end(job, Progress("FAILED", error=as_tunery_error(error)))

    def _make(self, job: _Job) -> Progress | None:
        """Make and store one report; return the failure, None on success or if the model was deleted meanwhile."""
        try:
            with temporary_folder("tunery-report-") as folder:
                document = self._run_child(job, Begin(job.work, folder))
        except TuneryError as error:
            return Progress("FAILED", error=error) if self._exists(job.model) else None
        if self._exists(job.model) and not job.is_cancelled:
            store(self._library, job.model, self.kind, document)
        return None

    def _run_child(self, job: _Job, begin: Begin) -> dict[str, Any]:
        self._current = job
        niceness = TUNING_NICENESS if isinstance(begin.work, FoldsWork) else self.niceness
        child = self._child = Child(self.title, report_child.main, niceness=niceness)
        try:
            child.send(begin)
            while not isinstance(message := self._receive(child, job), Done):
                if isinstance(message, Progressed):
                    self._note(job, Progress("RUNNING", message.done, message.total))
                else:
                    self._answer(child, job.model, message)
        except (EOFError, TimeoutError):
            raise Unavailable(f"The {self.title} was interrupted. Start it again.") from None
        finally:
            child.stop()
            self._child = self._current = None
        if message.error is not None:
            raise message.error
        assert message.document is not None
        return message.document

    def _receive(self, child: Child, job: _Job) -> object:
        if self._is_stopping.is_set() or job.is_cancelled:  # it may have been set before there was a child to kill
            raise EOFError
        return child.receive(LEASE_SECONDS)

    def _answer(self, child: Child, model: TunedModel, message: object) -> None:
        """Answer a question of the child; by default it sends no questions, only signs of life."""

    def _note(self, job: _Job, progress: Progress) -> None:
        with self._lock:
            if not job.is_cancelled:
                self._progress[job.model.task.id] = progress

    def _end(self, job: _Job, failure: Progress | None) -> None:
        with self._lock:
            if job.is_cancelled:  # the model may have a new job already
                return
            self._open.pop(job.model.task.id, None)
            self._progress.pop(job.model.task.id, None)
            if failure is not None:
                self._progress[job.model.task.id] = failure

    def _exists(self, model: TunedModel) -> bool:
        """Return whether the model still exists; its id may belong to a different one by now."""
        try:
            return self._library.find(model.id).task.id == model.task.id
        except NotFound:
            return False


class Evaluations(Reports):
    """Evaluates tuned models of a library."""

    kind, title = EVALUATION, "evaluation"
    max_open, niceness = MAX_OPEN, 5

    def __init__(self, library: Library, answering: Answering, catalog: Catalog) -> None:
        super().__init__(library, catalog)
        self._batches = Batches(answering, self._is_stopping)

    def ask(self, model: TunedModel, work: EvaluationWork | FoldsWork) -> Progress:
        """
        Start an evaluation of a tuned model, or return the progress of the running one.

        Raises FailedPrecondition if the model is not ACTIVE, InvalidArgument without rows, ResourceExhausted if too
        many evaluations are open.
        """
        self._library.artifact(model)
        if not work.rows:
            raise InvalidArgument("The model has no held-out rows; send examples to evaluate on.")
        return self._put(model, work)

    def resume(self) -> None:
        """Start the evaluations of models tuned within the last day that an earlier server did not get to."""
        since = datetime.now(UTC) - timedelta(days=1)
        for model in self._library.list():
            ended = model.task.complete_time
            if model.task.phase is Phase.SUCCEEDED and ended is not None and ended > since:
                self.begin(model)

    def cancel(self, model: TunedModel) -> None:
        super().cancel(model)
        if model.fold_count:
            self._library.update(model.id, fold_count=0)  # not even after a restart

    def begin(self, model: TunedModel) -> None:
        """
        Start an evaluation after tuning, on the held-out rows or by the requested folds.

        Does nothing if there are neither, or if the model already has an evaluation; logs a line if too many are open.
        """
        try:
            work = self.folds_work(model, model.fold_count) if model.fold_count else self.held_out_work(model)
            if work.rows and self.newest(model) is None:
                self._put(model, work, MAX_OPEN_UNASKED)
        except TuneryError as error:
            _log.info("%s is not evaluated after tuning: %s", model.name, error)

    def held_out_work(self, model: TunedModel, *, max_rows: int = MAX_ROWS, seed: int = 0) -> EvaluationWork:
        """Return the work of evaluating a tuned model on its held-out rows."""
        used, held_out = self._library.examples(model)
        numbers = self._library.row_numbers(model)[1]
        constrains = prompt_options(self._library, model).constrains_outputs
        return EvaluationWork(held_out, used, "held-out rows", max_rows, seed, None, numbers, constrains)

    def folds_work(self, model: TunedModel, folds: int, compare_settings: str | None = None) -> FoldsWork:
        """
        Return the work of evaluating by folds of all rows, perhaps beside other settings; raises InvalidArgument, and
        FailedPrecondition if the base has changed.
        """
        rows = tuple(row for part in self._library.examples(model) for row in part)
        most = min(MAX_FOLDS, len({row.text_input.strip() for row in rows}))
        if not 2 <= folds <= most:
            raise InvalidArgument(f"fold_count must be 2 to {most}, not {folds}.")
        task = model.task
        if compare_settings is not None:
            other_settings(compare_settings, rows, task.hyperparameters)  # raises if there is nothing to compare
        _require_same_base(self._catalog, model)
        folder, numbers = self._library.folder.path, sum(self._library.row_numbers(model), ())
        constrains = prompt_options(self._library, model).constrains_outputs
        how = model.base_model, task.hyperparameters, task.seed, folder
        return FoldsWork(*how, rows, folds, numbers, constrains, compare_settings)

    def _answer(self, child: Child, model: TunedModel, message: object) -> None:
        try:
            match message:
                case AskFits(prompt, tokens):
                    child.send(report_child.Reply(self._fits(model, prompt, tokens)))
                case AskAll(is_tuned, prompts, tokens, form):
                    adapter = self._library.artifact(model) if is_tuned else None
                    questions = [_question(model, prompt, tokens, adapter, form) for prompt in prompts]
                    child.send(report_child.Reply(self._batches.answers(questions)))
                case AskLabels(is_tuned, prompts, labels):
                    adapter = self._library.artifact(model) if is_tuned else None
                    form = AnswerForm(labels=labels)
                    questions = [_question(model, prompt, 1, adapter, form) for prompt in prompts]
                    child.send(report_child.Reply(self._batches.label_chances(questions)))
                case AskStates(prompts, preamble):
                    states = self._batches.mean_states(model.base_model, prompts, preamble, model.rendering)
                    child.send(report_child.Reply(states))
        except TuneryError as error:
            child.send(error)

    def _fits(self, model: TunedModel, prompt: str, max_output_tokens: int) -> bool:
        limit = self._catalog.resolve(model.base_model).input_token_limit
        try:
            return self._batches.tokens(_question(model, prompt, 1)) + max_output_tokens <= limit
        except InvalidArgument:  # the prompt alone is longer than the window
            return False


class DataChecks(Reports):
    """Checks the examples of tuned models of a library."""

    kind, title = "SURGERY", "data check"
    max_open, niceness = MAX_OPEN, TUNING_NICENESS

    def ask(self, model: TunedModel, folds: int | None = None) -> Progress:
        """
        Start a data check of a tuned model's examples, or return the progress of the running one.

        With `folds`, the base is tuned that many times, each time without the rows whose outputs are checked
        afterwards. Raises InvalidArgument for folds outside 2 to MAX_FOLDS or more than there are examples,
        FailedPrecondition if the model is not ACTIVE or its base has changed, ResourceExhausted if too many data checks
        are open.
        """
        adapter = self._library.artifact(model)
        _require_same_base(self._catalog, model)
        examples, held_out = self._library.examples(model)
        most = min(MAX_FOLDS, len(examples))
        if folds is not None and not 2 <= folds <= most:
            raise InvalidArgument(f"fold_count must be 2 to {most}, not {folds}.")
        folder, task = self._library.folder.path, model.task
        return self._put(
            model,
            CheckWork(
                model.base_model,
                folder,
                adapter,
                model.chosen_epoch,
                model.rendering,
                examples,
                held_out,
                task.hyperparameters,
                task.seed,
                folds,
            ),
        )

    def fixed_examples(self, model: TunedModel) -> tuple[TuningExample, ...]:
        """Return the examples of a tuned model with the fixes of its newest data check; raise NotFound without one."""
        document = self.report(model)
        if document is None:
            raise NotFound(f"The data of {model.name} has not been checked; POST to {model.name}:examine first.")
        examples, _ = self._library.examples(model)
        return tuple(fixed(examples, [Finding.read(finding) for finding in document["findings"]]))


class DataCurves(Reports):
    """Draws the data curves of tuned models of a library."""

    kind, title = "DATA_CURVE", "data curve"
    max_open, niceness = 1, TUNING_NICENESS

    def ask(self, model: TunedModel) -> Progress:
        """
        Start a data curve with a tuned model's settings and all of its rows, or return the progress of the one running.

        Raises FailedPrecondition if the model is not ACTIVE, its base has changed or it has fewer than LEAST_CURVE_ROWS
        rows, ResourceExhausted if the curve of another model is being drawn.
        """
        self._library.artifact(model)
        _require_same_base(self._catalog, model)
        used, held_out = self._library.examples(model)
        rows = (*used, *held_out)
        if len(rows) < LEAST_CURVE_ROWS:
            raise FailedPrecondition(
                f"A data curve needs at least {LEAST_CURVE_ROWS} rows; {model.id} has {len(rows)}."
            )
        task = model.task
        return self._put(
            model, CurveWork(model.base_model, task.hyperparameters, task.seed, self._library.folder.path, rows)
        )


def keep(library: Library, model: TunedModel, evaluation: Evaluation) -> None:
    """Store an evaluation as the newest of a tuned model."""
    store(library, model, EVALUATION, evaluation.document())


def store(library: Library, model: TunedModel, kind: str, document: Mapping[str, Any]) -> None:
    """Store a document as the newest report of its kind, with the time and the epoch that the model served."""
    facts = {"create_time": datetime.now(UTC).isoformat(), "served_epoch": model.served_epoch}
    library.put_report(model, kind, {**document, **facts})
    if kind == EVALUATION and document.get("calibration") and model.served_epoch is not None:
        set_label_temperature(library, model, document["calibration"]["temperature"], model.served_epoch)


def _require_same_base(catalog: Catalog, model: TunedModel) -> None:
    """Raise FailedPrecondition if the base under this name is not the one that the model was tuned on."""
    # a missing base is downloaded by the child
    if catalog.is_present(model.base_model) and catalog.digest(model.base_model) != model.base_digest:
        raise FailedPrecondition(f"The base {model.base_model} is not the one that {model.id} was tuned on.")


def _question(
    model: TunedModel,
    prompt: str,
    max_output_tokens: int,
    adapter: tuple[Path, str] | None = None,
    form: AnswerForm | None = None,
) -> Question:
    settings = SamplingSettings(max_output_tokens=max_output_tokens, form=form)
    epoch = model.chosen_epoch if adapter else None
    return Question(model.base_model, (Turn("user", prompt),), settings, adapter, epoch, model.rendering)
