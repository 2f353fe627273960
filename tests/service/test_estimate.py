"""Estimates: they agree with what the benchmarks measured, grow as they should, and are the same everywhere."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from tests.engine.tiny_bases import make_folder
from tests.service.samples import CountingHere, a_request, tuned
from tunery.cli.workplace import Here
from tunery.engine.catalog import EMBEDDED, Catalog
from tunery.engine.encoding import EncodedExample
from tunery.engine.memory import KeptWeights
from tunery.engine.packing import ROUND_TOKENS, pack
from tunery.service.answering import Answering
from tunery.service.creation import (
    FORWARD_SHARE,
    Estimates,
    Pace,
    RowCounts,
    Source,
    Times,
    Work,
    estimated_memory,
    longest_examples,
    seconds_left,
    times_of,
)
from tunery.service.library import Library
from tunery.service.process import MachineLoad
from tunery.types import CatalogEntry, DataFacts, Hyperparameters, Phase, TuningExample, TuningSnapshot, TuningTask

DEFAULTS = Hyperparameters().resolve()


def memory_bytes(
    rows: RowCounts, hyperparameters: Hyperparameters = DEFAULTS, weight_bytes: int = 2, entry: CatalogEntry = EMBEDDED
) -> int:
    return estimated_memory(entry, rows, hyperparameters, KeptWeights(weight_bytes)).memory_bytes or 0


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
    assert memory_bytes(RowCounts(tokens, prefix), weight_bytes=weight_bytes) == pytest.approx(measured, rel=0.25)


def test_memory_grows_with_batch_and_rows_and_in_float32() -> None:
    """A larger batch, longer rows and float32 need more; rows beyond the window count up to the window."""
    rows = RowCounts((200,) * 20)
    least = memory_bytes(rows)

    assert least < memory_bytes(rows, Hyperparameters(batch_size=16))
    assert least < memory_bytes(RowCounts((400,) * 20))
    assert least + 2 * 134_000_000 < memory_bytes(rows, weight_bytes=4)
    assert memory_bytes(RowCounts((10**6,))) == memory_bytes(RowCounts((EMBEDDED.input_token_limit,)))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with the base `tiny`."""
    folder = tmp_path_factory.mktemp("estimate")
    Catalog(folder / "home").add(str(make_folder(folder / "base")), "tiny")
    return folder / "home"


def test_the_command_and_the_api_agree(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both state the same memory for the same rows, and more on a machine that tunes in float32."""
    monkeypatch.setenv("TUNERY_HOME", str(home))
    needed = {}
    with Library.own(home) as library:
        request = a_request(base_model="tiny", held_out=(TuningExample("held out " * 20, "x"),))
        catalog = Catalog(home)
        estimates = Estimates(cast(Answering, CountingHere(home)), library, catalog)
        for dtype in (torch.bfloat16, torch.float32):
            monkeypatch.setattr("tunery.engine.base.fast_dtype", lambda dtype=dtype: dtype)
            sent = [(row.text_input, row.output) for row in (*request.examples, *request.held_out)]
            by_api = estimates.of(request, sent)
            plan: Any = SimpleNamespace(base=catalog.resolve("tiny"), request=request)
            by_command = Here().estimate(plan)

            assert by_api.source is Source.GUESSED
            assert by_api.memory.memory_bytes == by_command.memory_bytes
            needed[dtype] = by_command.memory_bytes or 0
        small = replace(request, hyperparameters=replace(request.hyperparameters, weights="4bit"))
        by_command = Here().estimate(cast(Any, SimpleNamespace(base=catalog.resolve("tiny"), request=small)))
        by_api = estimates.of(small, sent)
        assert (by_api.memory.memory_bytes, by_api.memory.weights) == (by_command.memory_bytes, "4bit")
        assert by_command.weights == "4bit"

    assert 0 < needed[torch.bfloat16] < needed[torch.float32]


def test_counts_are_those_of_the_packed_row() -> None:
    """The largest batch has as many tokens as its packed row, apart from the padding."""
    rows = [EncodedExample((1, 2, 3, *range(10, 10 + extra)), 4) for extra in (5, 9, 30, 2)]

    packed = len(pack(rows).token_ids)

    counts = RowCounts.of(rows)
    assert packed - ROUND_TOKENS < counts.largest_batch(4, window=100) <= packed


def test_the_longest_examples_are_enough() -> None:
    """Of many examples those with the most characters are counted, at least four batches of them."""
    examples = [TuningExample("x" * number, "y") for number in range(1, 301)]

    assert len(longest_examples(examples, 4)) == 64
    assert len(longest_examples(examples, 32)) == 128
    assert longest_examples(examples, 4)[0] == examples[-1]


def test_a_base_of_unknown_size_gets_no_estimate() -> None:
    """Without a parameter count there is no figure instead of a wrong one."""
    found = estimated_memory(replace(EMBEDDED, parameters=None), RowCounts((100,)), DEFAULTS, KeptWeights())

    assert (found.memory_bytes, found.fits) == (None, None)


START = datetime(2026, 1, 1, tzinfo=UTC)


def a_task(times: list[float], steps_per_epoch: int, end: float, **changes: Any) -> TuningTask:
    """Return a finished task of two epochs with its steps at these seconds after its start."""
    curve = tuple(
        TuningSnapshot(number, number // steps_per_epoch, 1.0, START + timedelta(seconds=time))
        for number, time in enumerate(times, 1)
    )
    facts = DataFacts(20, "", "records")
    task = TuningTask(
        "1", "m", Phase.SUCCEEDED, Hyperparameters(epoch_count=2), 0, facts, 0, len(times), snapshots=curve
    )
    return replace(task, start_time=START, complete_time=START + timedelta(seconds=end), **changes)


def test_where_the_time_of_a_task_went() -> None:
    """Steps of half a second, one of an hour that is left out, 2 s after an epoch, 2 s before and 1 s after it all."""
    times = [2.5, 3, 3.5, 4, 6.5, 7, 3607, 3607.5]

    assert times_of(a_task(times, 4, 3608.5)) == Times(0.5, 2.0, 2.0, 1.0)
    assert times_of(a_task(times[:3], 4, 4)) is None


def test_held_out_rows_take_time_too() -> None:
    """What was measured without them is scaled to a task with them, and to more epochs."""
    pace = Pace.of(
        Work(learned=40, held_out=0), a_task([2.5, 3, 3.5, 4, 6.5, 7, 7.5, 8], 4, 9), Times(0.5, 2.0, 2.0, 1.0)
    )

    assert pace.seconds(Work(40, 0), 2) == 3.0 + 2.0 + 4.0
    assert pace.seconds(Work(40, 60), 2) == pytest.approx(3.0 + 2.0 + 4.0 + 2.0)
    assert pace.seconds(Work(40, 0), 4) == 3.0 + 6.0 + 8.0


def test_the_time_left_follows_from_the_last_steps() -> None:
    """Twenty steps of a second after slow ones: the slow ones do not count; only a running task has time left."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    at = [60.0 * number for number in range(10)] + [600.0 + number for number in range(20)]
    curve = tuple(TuningSnapshot(n, 0, 1.0, start + timedelta(seconds=s)) for n, s in enumerate(at, 1))
    running = TuningTask(
        "1", "m", Phase.RUNNING, DEFAULTS, 0, DataFacts(20, "", "records"), 0, 40, completed_steps=30, snapshots=curve
    )

    assert seconds_left(running) == 10.0
    assert seconds_left(replace(running, snapshots=curve[:3])) is None
    waits = a_task([1, 2, 3, 4, 10, 11, 12, 13], 4, 0, phase=Phase.RUNNING, completed_steps=6)
    assert seconds_left(replace(waits, snapshots=waits.snapshots[:6])) == 2 * 1.0 + 5.0  # steps, and after the last
    assert seconds_left(replace(running, phase=Phase.CANCELLED)) is None


def test_slow_steps_between_fast_ones_count() -> None:
    """On a busy machine every third step takes five times as long: the mean of 21 s for nine steps, not the median."""
    at, now = [], 0.0
    for number in range(13):
        now += 5.0 if number % 3 == 2 else 1.0
        at.append(now)
    running = a_task(at, 100, 0, phase=Phase.RUNNING, completed_steps=13)
    left = seconds_left(replace(running, total_steps=22))

    assert left == pytest.approx(9 * fmean([b - a for a, b in pairwise(at)]), abs=0.1)


def test_what_is_not_shown_yet_is_taken_from_finished_tasks() -> None:
    """Three epochs of four steps: this one takes 2 s a step where others took 1 s, so all of theirs is doubled."""
    running = a_task([2.0, 4.0, 6.0, 8.0], 100, 0, phase=Phase.RUNNING, completed_steps=4, total_steps=12)
    running = replace(running, hyperparameters=Hyperparameters(epoch_count=3))
    work = Work(learned=40, held_out=0)
    others = [Pace(token=0.1, epoch=3.0, before=9.0, after=5.0)]

    assert seconds_left(running) == 16.0
    assert seconds_left(running, work, others) == 16.0 + 2 * 2 * 3.0 + 2 * 5.0
    held_out = FORWARD_SHARE * 60 * 2 * 12 / (40 * 3)
    assert seconds_left(running, Work(40, 60), others) == pytest.approx(38.0 + 3 * held_out, abs=0.1)


def test_other_programs_make_it_longer(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The range reaches from what the last moment says to what the last seconds say; an unknown machine is idle."""
    monkeypatch.setattr("tunery.service.creation.os.cpu_count", lambda: 2)
    request = a_request(base_model="tiny")
    sent = [(row.text_input, row.output) for row in request.examples]

    def seconds(*lately: float) -> tuple[float, float]:
        load = cast(MachineLoad, SimpleNamespace(lately=lambda: list(lately)))
        return Estimates(cast(Answering, CountingHere(home)), library, Catalog(home), load).of(request, sent).seconds

    with Library.own(home) as library:
        idle = seconds(0.0, 0.0)
        assert seconds() == idle
        assert seconds(1.0, 1.0) == pytest.approx([2.1 * bound for bound in idle])
        assert seconds(9.0, 2.0) == pytest.approx([3.2 * bound for bound in idle])
        assert seconds(2.0, 0.0) == seconds(0.0, 2.0) == pytest.approx((idle[0], 3.2 * idle[1]))


def test_a_pace_is_that_of_an_idle_machine(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that ran while others kept both cores busy says that the next one on an idle machine is faster."""
    monkeypatch.setattr("tunery.service.creation.os.cpu_count", lambda: 2)
    request = a_request(base_model="tiny")
    sent = [(row.text_input, row.output) for row in request.examples]
    found = []
    with Library.own(home) as library:
        tuned(library, base_model="tiny")
        for then in (None, 0.0, 2.0):
            load = SimpleNamespace(lately=lambda: [0.0], others=lambda start, end, then=then: start < end and then)
            estimates = Estimates(cast(Answering, CountingHere(home)), library, Catalog(home), cast(MachineLoad, load))
            found.append(estimates.of(request, sent))

    assert {estimate.source for estimate in found} == {Source.MEASURED}
    unknown, idle, busy = (estimate.seconds[0] for estimate in found)
    assert unknown == idle == pytest.approx(3.2 * busy)
