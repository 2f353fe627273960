"""Tests of `engine.needs`: the estimates agree with what the benchmarks have measured, and grow as they should."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tunery.engine.catalog import EMBEDDED
from tunery.engine.encoding import EncodedExample
from tunery.engine.layers.packing import ROUND_TOKENS, pack
from tunery.service.estimate import RowCounts, last_rate, memory_bytes, seconds_range, telling
from tunery.types import DataFacts, Hyperparameters, Phase, TuningExample, TuningSnapshot, TuningTask

DEFAULTS = Hyperparameters().resolve()


def task_of(rows: int, seconds_per_step: float, steps: int) -> TuningTask:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    snapshots = tuple(
        TuningSnapshot(n, 0, 1.0, start + timedelta(seconds=n * seconds_per_step)) for n in range(1, steps)
    )
    total = DEFAULTS.total_steps(rows)
    facts = DataFacts(rows, "", "records")
    return TuningTask("1", "m", Phase.SUCCEEDED, DEFAULTS, 0, facts, 0, total, snapshots=snapshots)


# the four longest rows and the common tokens of W1, W2 and W3 in benchmarks/speed_workloads.py, with the median of
# "peak_bytes" of benchmarks/results/speed.jsonl
@pytest.mark.parametrize(
    ("tokens", "prefix", "weight_bytes", "measured"),
    [
        ((191, 184, 157, 157, 150), 114, 2, 1.32e9),
        ((101, 94, 76, 71, 60), 24, 2, 1.25e9),
        ((278, 237, 236, 234, 200), 33, 2, 1.79e9),
        ((191, 184, 157, 157, 150), 114, 4, 1.57e9),  # the same W1 in float32, on a machine without fast bfloat16
    ],
)
def test_estimate_is_within_a_quarter_of_measured_peaks(
    tokens: tuple[int, ...], prefix: int, weight_bytes: int, measured: float
) -> None:
    """The default base with short and long rows, with and without common instructions."""
    estimate = memory_bytes(EMBEDDED, RowCounts(tokens, prefix), DEFAULTS, weight_bytes)

    assert estimate == pytest.approx(measured, rel=0.25)


def test_memory_grows_with_batch_rows_and_number_format() -> None:
    """A larger batch, longer rows and float32 need more; rows beyond the window count as far as it reaches."""
    rows = RowCounts((200,) * 20)
    least = memory_bytes(EMBEDDED, rows, DEFAULTS) or 0

    assert least < (memory_bytes(EMBEDDED, rows, Hyperparameters(batch_size=16)) or 0)
    assert least < (memory_bytes(EMBEDDED, RowCounts((400,) * 20), DEFAULTS) or 0)
    assert least + 2 * 134_000_000 < (memory_bytes(EMBEDDED, rows, DEFAULTS, weight_bytes=4) or 0)
    window = EMBEDDED.input_token_limit
    assert memory_bytes(EMBEDDED, RowCounts((10**6,)), DEFAULTS) == memory_bytes(
        EMBEDDED, RowCounts((window,)), DEFAULTS
    )


def test_counts_are_those_of_the_packed_row() -> None:
    """The largest batch has as many tokens as its packed row, but for the filling."""
    rows = [EncodedExample((1, 2, 3, *range(10, 10 + extra)), 4) for extra in (5, 9, 30, 2)]

    packed = pack(rows).token_ids.shape[1]

    counts = RowCounts.of(rows)
    assert packed - ROUND_TOKENS < counts.largest_batch(4) <= packed
    assert counts.per_epoch(2) == 2 * counts.prefix + sum(len(row.token_ids) - counts.prefix for row in rows)


def test_longest_examples_tell() -> None:
    """Of many examples those with the most characters are looked at, four batches of them at least."""
    examples = [TuningExample("x" * number, "y") for number in range(1, 301)]

    assert len(telling(examples, 4)) == 64
    assert len(telling(examples, 32)) == 128
    assert telling(examples, 4)[0] == examples[-1]


def test_unknown_size_gives_no_estimate() -> None:
    """A base whose parameters nobody has counted gets no number instead of a wrong one."""
    unknown = replace(EMBEDDED, parameters=None)

    assert memory_bytes(unknown, RowCounts((100,)), DEFAULTS) is None
    assert seconds_range(unknown, RowCounts((100,)), DEFAULTS) is None


def test_seconds_follow_from_a_known_rate() -> None:
    """100 rows of 100 tokens five times, at 1,000 tokens a second, take about 50 seconds and the start."""
    low, high = seconds_range(EMBEDDED, RowCounts((100,) * 100), DEFAULTS, 1000.0) or (0.0, 0.0)

    assert low < 53 < high
    assert high / low < 2.1


def test_first_guess_is_a_wide_range() -> None:
    """Without a rate the range holds what the benchmarks measured on two cores: 96 tickets once in 8.7 seconds."""
    rows, once = RowCounts((151,) * 96, 114), Hyperparameters(epoch_count=1)

    low, high = seconds_range(EMBEDDED, rows, once) or (0.0, 0.0)

    assert low < 8.7 < high
    assert high > 2 * low


def test_last_rate_comes_from_the_curve() -> None:
    """20 rows of 50 tokens in steps of four, two steps a second: 400 tokens a second; one snapshot tells nothing."""
    rows = RowCounts((50,) * 20)

    assert last_rate(task_of(20, 0.5, 10), rows) == pytest.approx(400)
    assert last_rate(task_of(20, 0.5, 2), rows) is None
