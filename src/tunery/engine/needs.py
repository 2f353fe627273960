"""
What a tuning task needs of the machine, said before it starts: memory and time, from its own rows.

Counts tokens as `layers/packing.py` lays them out: the shared prefix once a batch. An estimate of packed families; the
padded way of others takes more. Knows numbers and token ids; no tensors, no files.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from tunery.engine.catalog import WEIGHT_BYTES, memory_estimate
from tunery.engine.encoding import EncodedExample, shared_prefix_tokens
from tunery.types import CatalogEntry, Hyperparameters, TuningExample, TuningTask

# Tokens times parameters that a core tunes in a second: 5.5e10 with avx512_bf16 (benchmarks, W2); an older or a shared
# core does a fifth, one with AMX four times as much
FIRST_GUESS_RATE = 5e10
FIRST_GUESS_RANGE = 0.25, 5.0  # of the guessed seconds
KNOWN_RATE_RANGE = 0.75, 1.5  # other programs come and go
START_SECONDS = 3.0  # libraries and base
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
    return START_SECONDS + low * seconds, START_SECONDS + high * seconds


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
