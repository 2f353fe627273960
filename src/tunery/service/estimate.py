"""
What a tuning task will take, said before it starts: steps, tokens, time from what this machine did last, memory.

Nothing is stored for it: the tokens of the last tasks are counted again, their times stand in their curves. Knows
requests, the library and the answering child, which has the tokenizer; no HTTP.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from tunery.engine.catalog import WEIGHT_BYTES, Catalog, available_memory, memory_estimate
from tunery.engine.encoding import EncodedExample, shared_prefix_tokens
from tunery.errors import NotFound
from tunery.service.answering import Answering
from tunery.service.database import tasks
from tunery.service.library import Library
from tunery.service.requests import TuningRequest
from tunery.types import CatalogEntry, Hyperparameters, TuningExample, TuningTask

LAST_TASKS = 3
LEAST_STEPS = 4  # the first step of a task is slower than the rest
START_SECONDS = 2.0  # reading the data, publishing
MEASURED_SPREAD = (0.8, 1.4)  # other lengths of rows, other programs beside
GUESSED_SPREAD = (0.3, 3.0)
# docs/performance.md: about so many tokens a second and core of the default base, which has so many parameters
_GUESSED_TOKENS, _GUESSED_PARAMETERS = 500.0, 134.5e6
_MAX_REMEMBERED = 100


class Source(StrEnum):
    """Where an estimate of time comes from."""

    MEASURED = "measured"  # on the last tasks of this base here
    GUESSED = "guess"


@dataclass(frozen=True, slots=True)
class Estimate:
    """
    What a task would take; memory in bytes.

    `example_tokens` and `cut` (places of examples that are longer than the window) are in the order in which the
    examples came, those that would be held out among them; totals are without these.
    """

    total_steps: int
    examples: int
    held_out: int
    tokens_per_epoch: int
    total_tokens: int
    longest_tokens: int
    example_tokens: tuple[int, ...]
    cut: tuple[int, ...]
    seconds: tuple[float, float]  # at least, at most
    source: Source
    waiting_before: int
    needed_memory: int | None
    free_memory: int | None


class Estimates:
    """Estimates tuning tasks; creates nothing."""

    def __init__(self, answering: Answering, library: Library, catalog: Catalog) -> None:
        self._answering, self._library, self._catalog = answering, library, catalog
        self._remembered: dict[str, int] = {}  # tokens of the examples of a task that is done

    def of(self, request: TuningRequest, came: Sequence[tuple[str, str]]) -> Estimate:
        """Return what a task would take whose examples `came` so; DeadlineExceeded if nobody can count its tokens."""
        rows = (*request.examples, *request.held_out)
        counted = self._answering.count_rows(request.base_model, rows)
        cut = {(rows[place].text_input, rows[place].output) for place in counted.cut}
        known = {(row.text_input, row.output): tokens for row, tokens in zip(rows, counted.tokens, strict=True)}
        learned = counted.tokens[: len(request.examples)]
        settings = request.hyperparameters
        total = sum(learned) * settings.epoch_count
        seconds, source = self._seconds(request.base_model, total)
        return Estimate(
            total_steps=request.total_steps,
            examples=len(request.examples),
            held_out=len(request.held_out),
            tokens_per_epoch=sum(learned),
            total_tokens=total,
            longest_tokens=max(counted.tokens),
            example_tokens=tuple(known[example] for example in came),
            cut=tuple(place for place, example in enumerate(came) if example in cut),
            seconds=seconds,
            source=source,
            waiting_before=len(self._library.places_in_queue()),
            needed_memory=self._memory(request.base_model, sum(sorted(learned)[-settings.batch_size :])),
            free_memory=available_memory(),
        )

    def _seconds(self, base_model: str, tokens: int) -> tuple[tuple[float, float], Source]:
        """Return the range of time for so many tokens, and where it comes from."""
        rates = self._measured_rates(base_model)
        source, spread = Source.MEASURED, MEASURED_SPREAD
        if not rates:
            parameters = self._catalog.resolve(base_model).parameters or _GUESSED_PARAMETERS
            rates = [_GUESSED_TOKENS * (os.cpu_count() or 1) * _GUESSED_PARAMETERS / parameters]
            source, spread = Source.GUESSED, GUESSED_SPREAD
        least, most = spread[0] * tokens / max(rates), spread[1] * tokens / min(rates)
        return (least + START_SECONDS, most + START_SECONDS), source

    def _measured_rates(self, base_model: str) -> list[float]:
        """Return the tokens per second of the last tasks on a base, as the base counts them."""
        with self._library.database.reading() as connection:
            last = tasks.last_succeeded(connection, base_model, LAST_TASKS)
        rates = []
        for task in last:
            seconds = seconds_per_step(task)
            if seconds:
                rates.append(self._tokens_of(task, base_model) / task.total_steps / seconds)
        return [rate for rate in rates if rate > 0]

    def _tokens_of(self, task: TuningTask, base_model: str) -> int:
        """Return the tokens that a task learned from in all its epochs, 0 if its model has just been deleted."""
        if task.id not in self._remembered:
            try:
                examples, _ = self._library.examples(self._library.find(task.tuned_model_id))
            except NotFound:
                return 0
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[task.id] = sum(self._answering.count_rows(base_model, examples).tokens) if examples else 0
        return self._remembered[task.id] * task.hyperparameters.epoch_count

    def _memory(self, base_model: str, batch_tokens: int) -> int | None:
        parameters = self._catalog.resolve(base_model).parameters
        return None if parameters is None else memory_estimate(parameters, batch_tokens=batch_tokens)


def seconds_per_step(task: TuningTask) -> float | None:
    """Return the usual time of a step of a task; pauses between a kill and a resume do not count. None: too few."""
    curve = task.snapshots
    if len(curve) < LEAST_STEPS:
        return None
    times = [snapshot.compute_time.timestamp() for snapshot in curve[1:]]
    return median(later - earlier for earlier, later in itertools.pairwise(times)) or None


# Tokens times parameters that a core tunes in a second: 5.5e10 with avx512_bf16 (benchmarks, W2); an older or a shared
# core does a fifth, one with AMX four times as much
FIRST_GUESS_RATE = 5e10
FIRST_GUESS_RANGE = 0.25, 5.0  # of the guessed seconds
KNOWN_RATE_RANGE = 0.75, 1.5  # other programs come and go
PROCESS_START_SECONDS = 3.0  # libraries and base
_TELLING_ROWS = 64


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Tokens of each row, prompt and answer, and how many of them all rows have in common at their beginning."""

    tokens: tuple[int, ...]
    prefix: int = 0

    @classmethod
    def of(cls, rows: Sequence[EncodedExample]) -> RowCounts:
        prefix = shared_prefix_tokens(rows) if len(rows) > 1 else 0
        return cls(tuple(len(row.token_ids) for row in rows), prefix)

    def largest_batch(self, batch_size: int) -> int:
        """Return the tokens of the packed row of the longest `batch_size` rows; no batch has more."""
        longest = sorted(self.tokens, reverse=True)[:batch_size]
        return self.prefix + sum(tokens - self.prefix for tokens in longest)

    def per_epoch(self, batch_size: int) -> int:
        """Return how many tokens are computed in a pass over the rows."""
        batches = -(-len(self.tokens) // batch_size)
        return batches * self.prefix + sum(tokens - self.prefix for tokens in self.tokens)


def telling(examples: Sequence[TuningExample], batch_size: int) -> list[TuningExample]:
    """Return the examples with the most characters: enough to know the largest batch, few enough to encode at once."""
    by_length = sorted(examples, key=lambda example: -len(example.text_input) - len(example.output))
    return by_length[: max(_TELLING_ROWS, 4 * batch_size)]


def memory_bytes(
    entry: CatalogEntry, counts: RowCounts, hyperparameters: Hyperparameters, weight_bytes: int = WEIGHT_BYTES
) -> int | None:
    """
    Return about how many bytes the process of a task takes at most; None if the size of the base is not known.

    `weight_bytes`: 2 where the base is tuned in bfloat16, 4 in float32. Rows count up to the window of the base.
    """
    if not entry.parameters:
        return None
    window = entry.input_token_limit
    within = RowCounts(tuple(min(tokens, window) for tokens in counts.tokens), min(counts.prefix, window))
    batch_tokens = within.largest_batch(hyperparameters.batch_size)
    return memory_estimate(entry.parameters, batch_tokens=batch_tokens, weight_bytes=weight_bytes)


def seconds_range(
    entry: CatalogEntry, counts: RowCounts, hyperparameters: Hyperparameters, tokens_per_second: float | None = None
) -> tuple[float, float] | None:
    """
    Return between how many seconds a task takes, start included; None if the size of the base is not known.

    `tokens_per_second`: of the last task on this base, see `last_rate`; without it a first guess from the number of
    cores, and so a wide range.
    """
    if tokens_per_second is None and not entry.parameters:
        return None
    low, high = FIRST_GUESS_RANGE if tokens_per_second is None else KNOWN_RATE_RANGE
    rate = tokens_per_second or FIRST_GUESS_RATE * min(os.cpu_count() or 1, 8) / (entry.parameters or 1)
    seconds = counts.per_epoch(hyperparameters.batch_size) * hyperparameters.epoch_count / rate
    return PROCESS_START_SECONDS + low * seconds, PROCESS_START_SECONDS + high * seconds


def last_rate(task: TuningTask, counts: RowCounts) -> float | None:
    """
    Return the computed tokens per second of a task from its curve; None if that is too short to tell.

    `counts` are those of the task's own rows. A task that was left for a while shows less than its rate.
    """
    if len(task.snapshots) < 2 or not task.total_steps:
        return None
    first, last = task.snapshots[0], task.snapshots[-1]
    seconds = (last.compute_time - first.compute_time).total_seconds()
    size = task.hyperparameters.batch_size
    per_step = counts.per_epoch(size) * task.hyperparameters.epoch_count / task.total_steps
    return (last.step - first.step) * per_step / seconds if seconds > 0 else None
