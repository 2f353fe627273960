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

from tunery.engine.catalog import Catalog, available_memory, memory_estimate
from tunery.errors import NotFound
from tunery.service.answering import Answering
from tunery.service.database import figures
from tunery.service.library import Library
from tunery.service.values import TuningRequest
from tunery.types import TuningTask

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
            last = figures.last_succeeded(connection, base_model, LAST_TASKS)
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
