"""
Tuned models before their task starts: requests are checked, estimated and queued.

Everything is checked before anything is written. A request counts as a repetition if it has the idempotency key of an
earlier one, or equals one whose reply was never sent. Steps, tokens, time and memory are estimated in the same way for
the command line and the API: memory from the longest rows of the task, time from the curves of the last tasks on the
same base on this machine.
"""

from __future__ import annotations

import math
import os
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from statistics import fmean, median
from typing import Any

from tunery.data.checks import long_outputs
from tunery.data.dataset import Dataset
from tunery.data.outputs import RowsAndLabels, rows_and_labels
from tunery.data.settings import FittingSettings, fitting
from tunery.engine.catalog import Catalog
from tunery.engine.encoding import EncodedExample, may_exceed, shared_prefix_tokens
from tunery.engine.memory import KeptWeights, available_memory, task_memory
from tunery.errors import (
    DataProblem,
    DatasetInvalid,
    FailedPrecondition,
    InvalidArgument,
    Level,
    NotFound,
    ResourceExhausted,
    TuneryError,
    Unavailable,
)
from tunery.evaluation.contest import set_aside
from tunery.service.answering import Answering
from tunery.service.auto import AutoSettings, label_rows, label_tokens
from tunery.service.database import tasks
from tunery.service.library import Library
from tunery.service.process import MachineLoad
from tunery.service.tuning import TuningRequest
from tunery.types import (
    CatalogEntry,
    Hyperparameters,
    Phase,
    SamplingSettings,
    State,
    TunedModel,
    TuningExample,
    TuningSnapshot,
    TuningTask,
    WeightFormat,
)

MAX_WAITING_TASKS = 1000
MAX_WAITING_OF_USER = 500
RESERVE_BYTES = 10**9  # has to stay free; on a small disk, RESERVE_SHARE of it
RESERVE_SHARE = 0.05

_EXAMPLES = "tuningTask.trainingData.examples.examples"
_SHOWN_PROBLEMS = 5


@dataclass(frozen=True, slots=True)
class CreationRequest:
    """
    A request as received, unchecked; exactly one of `base_model` and `source_tuned_model` must be set.

    `tuned_again_from` names the tuned model whose examples and settings are repeated, perhaps changed; it is only
    recorded, and may have been deleted. `named` are the settings that the caller named, if the others are to fit the
    data; then they replace `hyperparameters`.
    """

    user_id: str
    examples: Sequence[tuple[str, str]] = field(repr=False)
    hyperparameters: Hyperparameters
    base_model: str | None = None
    source_tuned_model: str | None = None
    tuned_again_from: str | None = None
    id: str | None = None
    display_name: str | None = None
    description: str = ""
    hold_out: str | int | float = 0  # or AUTOMATIC
    seed: int = 0
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    reader_project_numbers: Sequence[int] = ()
    source: str = "request"  # the user's name for the data
    named: Mapping[str, Any] | None = None


class Creation:
    """Checks requests and queues them; a server has only one, since it tracks which replies are being sent."""

    def __init__(self, library: Library, catalog: Catalog, answering: Answering) -> None:
        self._library, self._catalog, self._answering = library, catalog, answering
        self._lock = threading.Lock()
        self._unanswered: set[str] = set()  # ids of tuned models whose reply is still being sent

    def checked(self, wanted: CreationRequest) -> TuningRequest:
        """Return the checked request; raise InvalidArgument, NotFound, FailedPrecondition or DeadlineExceeded."""
        if not wanted.id and not wanted.display_name:
            raise InvalidArgument("Either tuned_model_id or display_name must be set.")
        base, source = self._begin_with(wanted)
        defaults = SamplingSettings()
        if source is not None:
            defaults = SamplingSettings(temperature=source.temperature, top_p=source.top_p, top_k=source.top_k)
        given = {name: getattr(wanted, name) for name in ("temperature", "top_p", "top_k")}
        sampling = replace(defaults, **{name: value for name, value in given.items() if value is not None})
        dataset = _dataset(wanted.examples, wanted.source)
        examples, held_out, folds = set_aside(dataset.examples, wanted.hold_out, wanted.seed)
        fit = None if wanted.named is None else fitting(examples, wanted.named)
        asked = (wanted.base_model or "").removeprefix("models/")
        base_digest = self._catalog.digest(base.name)
        self._require_fitting_outputs(base, dataset.examples, wanted.user_id)
        return TuningRequest(
            base_model=base.alias_of or base.name,
            base_digest=base_digest,
            data=dataset.facts,
            examples=examples,
            hyperparameters=(fit.hyperparameters if fit else wanted.hyperparameters).resolve(),
            id=wanted.id or None,
            display_name=wanted.display_name or None,
            description=wanted.description,
            held_out=held_out,
            row_numbers=(dataset.numbers_of(examples), dataset.numbers_of(held_out)),
            seed=wanted.seed,
            user_id=wanted.user_id,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            reader_project_numbers=tuple(wanted.reader_project_numbers),
            source_tuned_model=None if source is None else source.id,
            tuned_again_from=(wanted.tuned_again_from or "").removeprefix("tunedModels/") or None,
            settings_reason=fit.reason if fit else None,
            base_name_asked=source.base_name_asked if source is not None else asked,
            fold_count=folds,
        )

    def problems(self, wanted: CreationRequest) -> tuple[DataProblem, ...]:
        """Return the warnings about the examples of a request that was `checked`."""
        return _dataset(wanted.examples, wanted.source).problems

    def create(self, request: TuningRequest, idempotency_key: str | None = None) -> TunedModel:
        """
        Queue a request, or return the model created by an earlier attempt that got no reply; then call `answered`.

        Raises AlreadyExists, ResourceExhausted if the queue is full, Unavailable if the disk is nearly full.
        """
        self._require_room(request.user_id)
        with self._lock:
            model = self._library.create(
                request, idempotency_key=idempotency_key, is_new=lambda model_id: model_id in self._unanswered
            )
            self._unanswered.add(model.id)
        return model

    def answered(self, model: TunedModel, *, was_sent: bool) -> None:
        """Note whether the reply was sent; if not, sending the same request again counts as a repetition."""
        try:
            if was_sent:
                self._library.mark_reply_sent(model)
        finally:
            with self._lock:
                self._unanswered.discard(model.id)

    def _begin_with(self, wanted: CreationRequest) -> tuple[CatalogEntry, TunedModel | None]:
        if (wanted.base_model is None) == (wanted.source_tuned_model is None):
            raise InvalidArgument("Exactly one of base_model and tuned_model_source must be set.")
        if wanted.source_tuned_model is not None:
            source = self._library.find(wanted.source_tuned_model.removeprefix("tunedModels/"))
            if source.state is not State.ACTIVE:
                raise FailedPrecondition(f"{source.name} is {source.state}; only an ACTIVE model can be tuned further.")
            return self._catalog.resolve(source.base_model), source
        name = str(wanted.base_model)
        try:
            return self._catalog.resolve(name), None
        except NotFound:
            full = name if name.startswith("models/") else f"models/{name}"
            raise NotFound(
                f"{full} is not found for CREATE TUNED MODEL at API version v1beta. {self._catalog.known_names()}"
            ) from None

    def _require_fitting_outputs(self, base: CatalogEntry, examples: Sequence[TuningExample], user_id: str) -> None:
        """Have the answering child count the few outputs that may not fit the base's window."""
        window = base.input_token_limit
        places = [place for place, example in enumerate(examples) if may_exceed(example.output, window)]
        if not places:
            return
        asked = tuple(TuningExample("", examples[place].output) for place in places)
        beyond = self._answering.count_rows(base.alias_of or base.name, asked, user_id).beyond
        if beyond:
            found = long_outputs({places[place]: tokens for place, tokens in beyond.items()}, window)
            raise _with_paths(DatasetInvalid("", found))

    def _require_room(self, user_id: str) -> None:
        waiting, own = self._library.waiting_tasks(user_id)
        if waiting >= MAX_WAITING_TASKS:
            raise ResourceExhausted(
                f"{waiting:,} tuning jobs are already waiting; the limit is {MAX_WAITING_TASKS:,}. Try again later."
            )
        if own >= MAX_WAITING_OF_USER:
            raise ResourceExhausted(
                f"{own:,} of your tuning jobs are already waiting; the limit is {MAX_WAITING_OF_USER:,}."
                " Try again later, or cancel some."
            )
        disk = shutil.disk_usage(self._library.folder.path)
        reserve = reserve_bytes(disk.total)
        if disk.free < reserve:
            raise Unavailable(
                f"The disk with the data folder has {disk.free // 10**6} MB left; {reserve // 10**6} MB must stay free."
                " Free some space and try again."
            )


def reserve_bytes(total_bytes: int) -> int:
    """Return how many bytes have to stay free on a disk of this size."""
    return min(RESERVE_BYTES, int(RESERVE_SHARE * total_bytes))


def _dataset(examples: Sequence[tuple[str, str]], source: str) -> Dataset:
    if not examples:
        raise InvalidArgument(
            f"{_EXAMPLES} is empty: there are no examples to tune on."
            " google-genai 1.47 and later leave them out; send them in extra_body (docs/clients.md)."
        )
    records = [{"text_input": text_input, "output": output} for text_input, output in examples]
    try:
        return Dataset.from_records(records, source=source)
    except DatasetInvalid as error:
        raise _with_paths(error) from error


def _with_paths(error: DatasetInvalid) -> DatasetInvalid:
    """Return the error with the path of the field instead of a row, because the caller sent a list, not a file."""
    errors = [problem for problem in error.problems if problem.level is Level.ERROR]
    said = [f"{_path(problem)}: {problem.message}" for problem in errors[:_SHOWN_PROBLEMS]]
    more = f" And {len(errors) - _SHOWN_PROBLEMS:,} more." if len(errors) > _SHOWN_PROBLEMS else ""
    return DatasetInvalid(" ".join(said) + more, error.problems)


def _path(problem: DataProblem) -> str:
    if problem.row is None:
        return _EXAMPLES
    column = {"text_input": ".textInput", "output": ".output"}.get(problem.column or "", "")
    return f"{_EXAMPLES}[{problem.row - 1}]{column}"


LAST_TASKS = 3
SEARCHED_TASKS = 30
LEAST_STEPS = 4  # the first step of a task is slower than the rest
RECENT_STEPS = 20  # the number of steps after which the pace is representative
START_SECONDS = 2.0  # a guess: reading the data, publishing
FORWARD_SHARE = 1 / 3  # of the time of a learned token, for one that is only read: there is no backward pass
# more time for a job while others keep all cores busy; measured: 1.9 times the time with one of two, 3.3 with both
BUSY_CORE = 2.2
LONGEST_STEPS = 10  # times the median step; what takes longer was a pause between a kill and a resume
MEASURED_SPREAD = (0.8, 1.4)  # allows for rows of other lengths and other programs on the machine
GUESSED_SPREAD = (0.3, 3.0)
_GUESSED_PARAMETERS = 134_515_008  # of the default base
TOKEN_WORK = 4  # operations for each parameter and token: a product forward and one back, of two operations each
PRODUCT_SIZE, PRODUCTS = 64, 500
_LONGEST_ROWS = 64
_MAX_REMEMBERED = 100


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Tokens of each row, prompt and answer, and how many tokens all rows share at their beginning."""

    tokens: tuple[int, ...]
    prefix: int = 0

    @classmethod
    def of(cls, rows: Sequence[EncodedExample]) -> RowCounts:
        return cls(tuple(len(row.token_ids) for row in rows), shared_prefix_tokens(rows) if len(rows) > 1 else 0)

    def largest_batch(self, batch_size: int, window: int) -> int:
        """Return the tokens of the longest `batch_size` rows, cut off at the window and packed after their prefix."""
        prefix = min(self.prefix, window)
        longest = sorted(self.tokens, reverse=True)[:batch_size]
        return prefix + sum(min(tokens, window) - prefix for tokens in longest)


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """
    The most bytes that a tuning task takes, and the bytes that are free now; None if unknown.

    `weights` is the format in which the base is kept; `recomputes`: layers are computed again, which takes longer.
    """

    memory_bytes: int | None
    free_bytes: int | None
    weights: WeightFormat = WeightFormat.FULL
    recomputes: bool = False

    @property
    def fits(self) -> bool | None:
        if self.memory_bytes is None or self.free_bytes is None:
            return None
        return self.memory_bytes <= self.free_bytes

    def document(self) -> dict[str, object]:
        return asdict(self)


def longest_examples(examples: Sequence[TuningExample], batch_size: int) -> list[TuningExample]:
    """Return the examples with the most characters: enough to find the largest batch, few enough to encode quickly."""
    by_length = sorted(examples, key=lambda example: -len(example.text_input) - len(example.output))
    return by_length[: max(_LONGEST_ROWS, 4 * batch_size)]


def estimated_memory(
    entry: CatalogEntry, longest: RowCounts, hyperparameters: Hyperparameters, kept: KeptWeights
) -> MemoryEstimate:
    """
    Estimate the memory of a task from its `longest_examples`, see `memory.task_memory`.

    Assumes packed rows; bases that are tuned with padded rows need more.
    """
    free = available_memory()
    if not entry.parameters:
        return MemoryEstimate(None, free)
    batch, row = (longest.largest_batch(rows, entry.input_token_limit) for rows in (hyperparameters.batch_size, 1))
    asked = WeightFormat(hyperparameters.weights)
    found = task_memory(entry.parameters, asked, kept, batch=batch, longest=row, free=free)
    return MemoryEstimate(found.bytes, free, found.weights, found.recomputes)


def memory_here(base: CatalogEntry, data_folder: Path, request: TuningRequest) -> MemoryEstimate:
    """Estimate the memory of a task after counting the tokens of its longest rows in this process."""
    from tunery.engine.base import kept_weights
    from tunery.engine.encoding import encoded

    settings = request.hyperparameters
    rows = encoded(base, data_folder, longest_examples(request.examples, settings.batch_size))
    return estimated_memory(base, RowCounts.of(rows), settings, kept_weights(base, data_folder))


class Source(StrEnum):
    """Where an estimate of time comes from."""

    MEASURED = "measured"  # from the last tasks with this base on this machine
    SCALED = "scaled"  # from those with another base, by the number of parameters
    GUESSED = "guess"


@dataclass(frozen=True, slots=True)
class Estimate:
    """
    What a task would take.

    `example_tokens` and `cut` (indexes of examples longer than the window) follow the order in which the examples were
    sent, including held-out ones; the totals leave these out.
    """

    total_steps: int
    examples: int
    held_out: int
    tokens_per_epoch: int
    total_tokens: int
    longest_tokens: int
    example_tokens: tuple[int, ...]
    cut: tuple[int, ...]
    seconds: tuple[float, float]  # minimum and maximum
    fold_count: int
    fold_seconds: tuple[float, float]  # for the folds that follow, tuning only
    source: Source
    waiting_before: int
    memory: MemoryEstimate
    rate_warning: str | None
    facts: RowsAndLabels
    auto: AutoSettings


class Estimates:
    """Estimates tuning tasks for the API; the answering child counts the tokens."""

    def __init__(
        self, answering: Answering, library: Library, catalog: Catalog, load: MachineLoad | None = None
    ) -> None:
        self._answering, self._library, self._catalog, self._load = answering, library, catalog, load
        self._remembered: dict[str, Work] = {}  # of finished and running tasks
        self._others: dict[str, list[Pace]] = {}  # the pace of finished tasks, for the running one

    def of(
        self, request: TuningRequest, sent: Sequence[tuple[str, str]], named: Mapping[str, Any] | None = None
    ) -> Estimate:
        """
        Return what a task would take; `sent` are its examples in order, `named` the settings beside which `auto` is
        asked to choose the others. Raises DeadlineExceeded.
        """
        rows = (*request.examples, *request.held_out)
        counted = self._answering.count_rows(request.base_model, rows, request.user_id)
        cut = {(rows[place].text_input, rows[place].output) for place in counted.cut}
        known = {(row.text_input, row.output): tokens for row, tokens in zip(rows, counted.tokens, strict=True)}
        learned = sum(counted.tokens[: len(request.examples)])
        epochs, share = request.hyperparameters.epoch_count, request.hyperparameters.label_share
        held_out = len(request.held_out)
        work = self._work(request.base_model, counted.tokens, rows, held_out, share, request.user_id)
        seconds, source = self._seconds(request.base_model, work, epochs)
        folds = request.fold_count
        return Estimate(
            total_steps=request.total_steps,
            examples=len(request.examples),
            held_out=held_out,
            tokens_per_epoch=learned,
            total_tokens=learned * epochs,
            longest_tokens=max(counted.tokens),
            example_tokens=tuple(known[example] for example in sent),
            cut=tuple(place for place, example in enumerate(sent) if example in cut),
            seconds=seconds,
            fold_count=folds,
            fold_seconds=(seconds[0] * (folds - 1), seconds[1] * (folds - 1)) if folds else (0.0, 0.0),
            source=source,
            waiting_before=len(self._library.places_in_queue()),
            memory=self._memory(request),
            rate_warning=request.hyperparameters.rate_warning(),
            facts=rows_and_labels(request.examples, request.held_out),
            auto=self._auto(request, fitting(request.examples, named or {}), learned),
        )

    def _auto(self, request: TuningRequest, fit: FittingSettings, tokens: int) -> AutoSettings:
        sizes: Sequence[int] = ()
        if fit.hyperparameters.label_share:
            labels = label_rows((*request.examples, *request.held_out))
            sizes = self._answering.count_rows(request.base_model, labels, request.user_id).tokens
        return AutoSettings.of(fit, len(request.examples), tokens, sizes)

    def left(self, model: TunedModel) -> float | None:
        """Return the seconds left of a running task, None if they are not known; see `seconds_left`."""
        task = model.task
        if task.phase is not Phase.RUNNING or len(task.snapshots) < LEAST_STEPS:
            return None
        if task.id not in self._others:  # whoever polls need not wait until rows are counted
            self._others = {task.id: []}
            threading.Thread(target=self._look_at_others, args=(model,), name="estimate", daemon=True).start()
        return seconds_left(task, self._remembered.get(task.id), self._others.get(task.id, ()))

    def _look_at_others(self, model: TunedModel) -> None:
        with suppress(TuneryError):  # such as a busy answering process; then the task itself has to do
            self._work_of(model.task, model.base_model)
            self._others = {model.task.id: self._measured(model.base_model)}

    def _memory(self, request: TuningRequest) -> MemoryEstimate:
        longest = longest_examples(request.examples, request.hyperparameters.batch_size)
        counted = self._answering.count_rows(request.base_model, tuple(longest), request.user_id)
        entry, counts = self._catalog.resolve(request.base_model), RowCounts(counted.tokens, counted.prefix)
        return estimated_memory(entry, counts, request.hyperparameters, counted.kept)

    def _work(
        self,
        base_model: str,
        tokens: Sequence[int],
        rows: Sequence[TuningExample],
        held_out: int,
        share: float,
        user: str,
    ) -> Work:
        """Return the work of one epoch; `tokens` are those of `rows`, of which the last `held_out` are not learned."""
        count = len(rows) - held_out
        learned = sum(tokens[:count])
        if share:
            learned += label_tokens(count, self._answering.count_rows(base_model, label_rows(rows), user).tokens)
        return Work(learned, sum(tokens[count:]))

    def _seconds(self, base_model: str, work: Work, epochs: int) -> tuple[tuple[float, float], Source]:
        """Return the range of time for a task, and where it comes from."""
        now = [_slowness(others) for others in (self._load.lately() if self._load else [])] or [1.0]
        found = [pace.seconds(work, epochs) / pace.slowness for pace in self._measured(base_model)]
        if found:
            spread = MEASURED_SPREAD[0] * min(now), MEASURED_SPREAD[1] * max(now)
            return (spread[0] * min(found), spread[1] * max(found)), Source.MEASURED
        rate = _guessed_rate(self._catalog.resolve(base_model).parameters or _GUESSED_PARAMETERS)
        guess = Pace(1 / rate, 0.0, START_SECONDS, 0.0).seconds(work, epochs)
        return (GUESSED_SPREAD[0] * min(now) * guess, GUESSED_SPREAD[1] * max(now) * guess), Source.GUESSED

    def _measured(self, base_model: str) -> list[Pace]:
        with self._library.database.reading() as connection:
            last = tasks.last_succeeded(connection, base_model, SEARCHED_TASKS)
        # smaller tasks have too few steps to tell
        timed = [(task, times) for task in last if (times := times_of(task))][:LAST_TASKS]
        works = [(self._work_of(task, base_model), task, times) for task, times in timed]
        return [
            replace(Pace.of(work, task, times), slowness=self._slowness_of(task))
            for work, task, times in works
            if work is not None
        ]

    def _slowness_of(self, task: TuningTask) -> float:
        """Return how many times longer than on an idle machine a finished task took, as far as the load is known."""
        others = None
        if self._load is not None and task.start_time is not None and task.complete_time is not None:
            others = self._load.others(task.start_time.timestamp(), task.complete_time.timestamp())
        return _slowness(others or 0.0)

    def _work_of(self, task: TuningTask, base_model: str) -> Work | None:
        """Return the work of an epoch of a finished task, None if its model has just been deleted."""
        if task.id not in self._remembered:
            try:
                examples, held_out = self._library.examples(self._library.find(task.tuned_model_id))
            except NotFound:
                return None
            if not examples:
                return None
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()
            rows, share = (*examples, *held_out), task.hyperparameters.label_share
            tokens = self._answering.count_rows(base_model, rows).tokens
            self._remembered[task.id] = self._work(base_model, tokens, rows, len(held_out), share, "")
        return self._remembered[task.id]


def _slowness(others: float) -> float:
    """Return how many times longer a task takes while others keep some cores busy."""
    cores = os.cpu_count() or 1
    return 1 + BUSY_CORE * min(others, cores) / cores


@dataclass(frozen=True, slots=True)
class Speed:
    """The tokens that are learned each second on this machine, and where the figure comes from."""

    tokens: float
    source: Source
    scaled_from: str | None = None


def speeds(library: Library, sizes: Mapping[str, int | None]) -> dict[str, Speed]:
    """Return the speed to expect for bases, given their parameters by name; none where nothing is known of one."""
    with library.database.reading() as connection:
        last = {name: tasks.last_succeeded(connection, name, LAST_TASKS) for name in sizes}
    rates = {name: rates for name, found in last.items() if (rates := [rate for one in found if (rate := _rate(one))])}
    measured = {name: median(found) for name, found in rates.items()}
    known = {name: size for name in measured if (size := sizes[name])}
    found = {}
    for name, size in sizes.items():
        if name in measured:
            found[name] = Speed(measured[name], Source.MEASURED)
        elif size and known:
            nearest = min(known, key=lambda other: abs(math.log(known[other] / size)))
            found[name] = Speed(measured[nearest] * known[nearest] / size, Source.SCALED, nearest)
        elif size:
            found[name] = Speed(_guessed_rate(size), Source.GUESSED)
    return found


def _rate(task: TuningTask) -> float | None:
    """Return the tokens that a finished task learned each second; None if it is too short, or did not count them."""
    times, tokens = times_of(task), task.settings.get("epoch_tokens")
    if times is None or not isinstance(tokens, int):
        return None
    return tokens * task.hyperparameters.epoch_count / (times.step * task.total_steps)


def _guessed_rate(parameters: int) -> float:
    return product_rate() / (TOKEN_WORK * parameters)


@lru_cache(maxsize=1)
def product_rate() -> float:
    """
    Return the operations that this machine does each second in float32 products, on all cores.

    The best of many small ones, in 5 ms: they take one thread, where threads would wait for one whose core is busy.
    """
    import numpy as np

    square = np.ones((PRODUCT_SIZE, PRODUCT_SIZE), dtype=np.float32)
    result, best = np.empty_like(square), math.inf
    for _ in range(PRODUCTS):
        begin = time.perf_counter()
        np.matmul(square, square, out=result)
        best = min(best, time.perf_counter() - begin)
    return 2 * PRODUCT_SIZE**3 / best * (os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Work:
    """Tokens that are learned, and measured on held-out rows, in one epoch."""

    learned: int
    held_out: int


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of a step, of what follows an epoch, of everything before the first step, and after the last."""

    step: float
    epoch: float
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Pace:
    """
    Seconds for each token learned, after each epoch besides its held-out rows, before all steps, and after the last
    besides its held-out rows; on a machine on which all of it took `slowness` times as long as on an idle one.
    """

    token: float
    epoch: float
    before: float
    after: float
    slowness: float = 1.0

    @classmethod
    def of(cls, work: Work, task: TuningTask, times: Times) -> Pace:
        """Return the pace of a finished task."""
        token = times.step * task.total_steps / (work.learned * task.hyperparameters.epoch_count)
        measured = FORWARD_SHARE * work.held_out * token
        return cls(token, max(0.0, times.epoch - measured), times.before, max(0.0, times.after - measured))

    def seconds(self, work: Work, epochs: int) -> float:
        """Return the seconds of a task at this pace."""
        tokens = work.learned + FORWARD_SHARE * work.held_out
        return self.before + self.after + (epochs - 1) * self.epoch + epochs * tokens * self.token


def times_of(task: TuningTask) -> Times | None:
    """
    Return where the time of a finished task went, None if it has too few steps.

    Pauses between a kill and a resume are left out.
    """
    steps = _step_times(task.snapshots)
    if steps is None or task.start_time is None or task.complete_time is None:
        return None
    first, last = task.snapshots[0].compute_time, task.snapshots[-1].compute_time
    before, after = (first - task.start_time).total_seconds(), (task.complete_time - last).total_seconds()
    return Times(*steps, max(0.0, before - steps[0]), after)


def seconds_left(task: TuningTask, work: Work | None = None, paces: Sequence[Pace] = ()) -> float | None:
    """
    Return the time left of a running task at the pace of its last steps; None if it is not known.

    What follows an epoch and the last step is taken from the `paces` of finished tasks, as far as this task has not
    shown it yet; they may have run on a machine that was more or less busy, so it is scaled like the time of a token.
    """
    recent, whole = _step_times(task.snapshots[-RECENT_STEPS:]), _step_times(task.snapshots)
    if task.phase is not Phase.RUNNING or recent is None or whole is None:
        return None
    has_shown = task.snapshots[-1].epoch > 0  # what follows an epoch, perhaps before the recent steps
    step, epoch = recent[0], whole[1]
    after = epoch
    epochs = task.hyperparameters.epoch_count
    if work is not None and work.learned and paces:
        token = step * task.total_steps / (work.learned * epochs)
        ratios = [token / pace.token for pace in paces]
        measured = FORWARD_SHARE * work.held_out * token
        after = median(ratio * pace.after for ratio, pace in zip(ratios, paces, strict=True)) + measured
        if not has_shown:
            epoch = median(ratio * pace.epoch for ratio, pace in zip(ratios, paces, strict=True)) + measured
    others = max(0, epochs - 1 - task.snapshots[-1].epoch)  # the last epoch is followed by the end
    return round(step * (task.total_steps - task.completed_steps) + epoch * others + after, 1)


def _step_times(curve: Sequence[TuningSnapshot]) -> tuple[float, float] | None:
    """Return the mean seconds of a step and of what follows an epoch; None if the curve is too short."""
    if len(curve) < LEAST_STEPS:
        return None
    steps: dict[bool, list[float]] = {False: [], True: []}  # by whether an epoch ended with the step before
    for before, one, after in zip([None, *curve], curve, curve[1:], strict=False):
        ends_epoch = one.epoch > (before.epoch if before else 0)
        steps[ends_epoch].append((after.compute_time - one.compute_time).total_seconds())
    step = _mean(steps[False] or steps[True])
    return (step, max(0.0, _mean(steps[True]) - step) if steps[True] else 0.0) if step > 0 else None


def _mean(seconds: Sequence[float]) -> float:
    """Return the mean without pauses; a median would leave out the slow steps of a busy machine."""
    usual = median(seconds)
    return fmean([one for one in seconds if one <= LONGEST_STEPS * usual])
