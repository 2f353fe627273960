"""Claims and ends a second with many tasks queued, in SQLite and PostgreSQL."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import insert

from tests.postgres import serving_postgres
from tests.service.samples import a_request
from tunery.config import ALONE, Shared
from tunery.errors import InvalidArgument
from tunery.service.database.models import _task_to_row
from tunery.service.database.tables import tuned_models, tuning_tasks
from tunery.service.library import Library
from tunery.types import Phase, State

QUEUED, USERS = 20_000, 50
SECONDS = 5.0
WORKERS = 3


def control() -> None:
    """Print claims and ends a second with many tasks queued."""
    with serving_postgres(is_safe=True) as postgres:
        for shared in (ALONE, Shared(postgres.url())):
            name = "SQLite" if shared is ALONE else "PostgreSQL"
            with tempfile.TemporaryDirectory() as folder, _libraries(Path(folder), shared) as libraries:
                fill(libraries[0], QUEUED)
                times = _claim_and_end(libraries)
                rate = len(times) / SECONDS
                print(
                    f"{name}: {rate:.0f} claims and ends a second by {len(libraries)} workers with {QUEUED:,} queued by"
                    f" {USERS} users, median {statistics.median(times) * 1000:.1f} ms, p95"
                    f" {statistics.quantiles(times, n=20)[-1] * 1000:.1f} ms"
                )


@contextmanager
def _libraries(folder: Path, shared: Shared) -> Iterator[list[Library]]:
    with ExitStack() as stack:
        number = 1 if shared is ALONE else WORKERS
        yield [stack.enter_context(Library.own(folder / str(n), shared=shared)) for n in range(number)]


def fill(library: Library, number: int) -> None:
    """Add waiting tasks by statements."""
    now = datetime.now(UTC)
    request = a_request()
    model = {"display_name": "x", "description": "", "base_model": "x", "base_digest": "x", "state": State.CREATING}
    model |= {"create_time": now, "update_time": now}
    task = _task_to_row(request, now)
    with library.database.writing() as connection:
        connection.execute(insert(tuned_models), [model | {"id": f"m-{n}"} for n in range(number)])
        rows = [
            task | {"id": _uuid(n), "tuned_model_id": f"m-{n}", "operation_id": f"o{n}", "user_id": f"u{n % USERS}"}
            for n in range(number)
        ]
        connection.execute(insert(tuning_tasks), rows)
        connection.exec_driver_sql("ANALYZE")  # as PostgreSQL does by itself within a minute


def _uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def _claim_and_end(libraries: list[Library]) -> list[float]:
    """Return the seconds of each claim with its end, of all workers within SECONDS."""
    end = time.perf_counter() + SECONDS

    def work(library: Library) -> list[float]:
        times: list[float] = []
        while (begun := time.perf_counter()) < end:
            task = library.claim("a benchmark")
            assert task is not None, "more tasks are needed"
            library.finish(task, Phase.FAILED, error=InvalidArgument("a benchmark"))
            times.append(time.perf_counter() - begun)
        return times

    with ThreadPoolExecutor(len(libraries)) as pool:
        return [seconds for times in pool.map(work, libraries) for seconds in times]
