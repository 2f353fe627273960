"""
What it costs PostgreSQL that 10,000 jobs report and keep their leases.

    python -m benchmarks.scale beats

Measured is the processor time of the database's processes, which other programs on the machine change little. A job
reports each second (`heartbeat`), and its lease is renewed each 5 s unless a report has done so.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import select, update

from benchmarks.scale.queued import fill
from tests.postgres import Postgres, serving_postgres
from tests.service.samples import a_curve
from tunery.config import Shared
from tunery.service.database.models import task_from_row
from tunery.service.database.tables import tuning_tasks
from tunery.service.library import Library
from tunery.service.task import BEAT_SECONDS
from tunery.service.tuning import Progress
from tunery.service.worker import RENEW_SECONDS
from tunery.types import Phase, TuningTask

CURVE = 180  # steps
AT_ONCE = 16  # jobs of one statement, in the estimate of what a batch would save


def beats(arguments: Sequence[str] = ()) -> None:
    """Print the database's time for a report, for a renewal, and for those of all jobs in 10 s."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale beats")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--sample", type=int, default=1000, help="jobs that report and renew (default: 1000)")
    given = parser.parse_args(arguments)
    progress = Progress(step=CURVE, snapshots=a_curve(CURVE))
    with (
        serving_postgres(is_safe=True) as postgres,
        tempfile.TemporaryDirectory() as folder,
        Library.own(Path(folder), shared=Shared(postgres.url())) as library,
    ):
        fill(library, given.jobs)
        running = _begin_all(library)[: given.sample]
        costs = {
            "a report with its curve": _cost(
                postgres, running, lambda task: library.heartbeat(task, Phase.RUNNING, progress)
            ),
            "a renewal": _cost(postgres, running, library.renew),
            f"a renewal, {AT_ONCE} in a statement": _batched(postgres, library, running),
        }
    for name, (database, wall) in costs.items():
        print(f"{name}: {database * 1e6:.0f} µs of the database's processors, {wall * 1e3:.2f} ms by the clock")
    report, renewal, batched = (database for database, _ in costs.values())
    jobs = given.jobs * 10
    print(
        f"{given.jobs:,} jobs in 10 s: reports {report * jobs / BEAT_SECONDS:.1f} s, renewals"
        f" {renewal * jobs / RENEW_SECONDS:.1f} s; if a job reported each {RENEW_SECONDS:.0f} s"
        f" {report * jobs / RENEW_SECONDS:.1f} s, and renewals in batches {batched * jobs / RENEW_SECONDS:.1f} s"
    )


def _begin_all(library: Library) -> list[TuningTask]:
    """Give every waiting task to a worker, as claims do."""
    until = datetime.now(UTC) + timedelta(hours=1)
    claimed = {"phase": Phase.RUNNING, "worker": "a benchmark", "fencing_epoch": 1, "lease_until": until}
    with library.database.writing() as connection:
        connection.execute(update(tuning_tasks).values(claimed))
        connection.exec_driver_sql("ANALYZE")
        rows = connection.execute(select(tuning_tasks).order_by(tuning_tasks.c.number)).mappings().all()
    return [task_from_row(row) for row in rows]


def _cost(postgres: Postgres, running: list[TuningTask], act: Callable[[TuningTask], object]) -> tuple[float, float]:
    """Return the processor seconds of the database and the seconds by the clock for one of these."""
    for task in running[:50]:
        act(task)
    before, walls = postgres.processor_seconds(), []
    for task in running:
        begun = time.perf_counter()
        act(task)
        walls.append(time.perf_counter() - begun)
    return (postgres.processor_seconds() - before) / len(running), statistics.median(walls)


def _batched(postgres: Postgres, library: Library, running: list[TuningTask]) -> tuple[float, float]:
    """Renew the leases of several jobs in one statement, which a worker with one job has no use for."""
    numbers = {task.id: task.claim_number for task in running}
    before, begun = postgres.processor_seconds(), time.perf_counter()
    for start in range(0, len(running), AT_ONCE):
        ids = [task.id for task in running[start : start + AT_ONCE]]
        column = tuning_tasks.c
        mine = column.id.in_(ids) & (column.fencing_epoch == numbers[ids[0]]) & (column.phase == Phase.RUNNING)
        until = datetime.now(UTC) + timedelta(seconds=15)
        with library.database.updating() as connection:
            connection.execute(update(tuning_tasks).where(mine).values(lease_until=until))
    return (postgres.processor_seconds() - before) / len(running), (time.perf_counter() - begun) / len(running)
