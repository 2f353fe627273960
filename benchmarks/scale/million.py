"""
A library of a million tuned models: how long lists, filters, a read, a check of permissions, and a create take.

    python -m benchmarks.scale million                     # SQLite and PostgreSQL, both filled by statements
    python -m benchmarks.scale million --models 100000     # a smaller one
    python -m benchmarks.scale million --plans             # also how PostgreSQL reads each list

10,000 users have a hundred models each, one has a tenth of all; each model has an owner, a reader and a group, and one
in a hundred is shared with everyone. A thousand tasks wait.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, event, insert

from tests.postgres import Postgres, serving_postgres
from tests.service.samples import a_request, tuned
from tunery.config import ALONE, Shared
from tunery.errors import InvalidArgument, NotFound, PermissionDenied
from tunery.service.access import SCOPES, Action
from tunery.service.database import tasks
from tunery.service.database.tables import permissions, tuned_models, tuning_tasks, users
from tunery.service.library import Library
from tunery.service.tuning import ModelFilter
from tunery.types import Caller, Phase

USERS, GROUPS, WAITING = 10_000, 500, 1000
PAGE = 50
SECONDS, MOST = 3.0, 200  # of each kind of call
HEAVY = "user-0"  # owns a tenth of all models
_OWNER = f"CASE WHEN i % 10 = 0 THEN '{HEAVY}' ELSE 'user-' || (i % {USERS}) END"


def million(arguments: Sequence[str] = ()) -> None:
    """Print how long each kind of call takes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale million")
    parser.add_argument("--models", type=int, default=1_000_000)
    parser.add_argument("--only", choices=("sqlite", "postgresql"), help="measure one database (default: both)")
    parser.add_argument("--plans", action="store_true", help="show how PostgreSQL reads the lists (default: no)")
    given = parser.parse_args(arguments)
    if given.only != "postgresql":
        with tempfile.TemporaryDirectory() as folder:
            _measure("SQLite", Path(folder), ALONE, given)
    if given.only != "sqlite":
        with serving_postgres(is_safe=True) as postgres, tempfile.TemporaryDirectory() as folder:
            _measure("PostgreSQL", Path(folder), Shared(postgres.url()), given, postgres)


def _measure(
    name: str, folder: Path, shared: Shared, given: argparse.Namespace, server: Postgres | None = None
) -> None:
    def processor_seconds() -> float:
        """Return what this program and the database took, which other programs on the machine change little."""
        return time.process_time() + (0.0 if server is None else server.processor_seconds())

    with Library.own(folder, shared=shared) as library:
        begun = time.monotonic()
        _fill(library, given.models)
        print(f"{name}: {given.models:,} models, filled in {time.monotonic() - begun:.0f} s", flush=True)
        for what, call in _calls(library, given.models):
            with _plans(library, given.plans):
                call()  # once for caches
            begun = processor_seconds()
            times = _times(call)
            processors = (processor_seconds() - begun) / len(times)
            p95 = sorted(times)[max(0, round(0.95 * len(times)) - 1)]
            print(
                f"  {what:44} {statistics.median(times) * 1e3:7.1f} ms by the clock, p95 {p95 * 1e3:7.1f} ms;"
                f" {processors * 1e3:7.1f} ms of the processors",
                flush=True,
            )


def _calls(library: Library, number: int) -> Iterator[tuple[str, Callable[[], object]]]:
    chance = random.Random(0)

    def anyone() -> Caller:
        return _caller(f"user-{chance.randrange(1, USERS)}", chance.randrange(GROUPS))

    def model() -> str:
        return f"model-{chance.randrange(number)}"

    def page(caller: Callable[[], Caller], filter_text: str = "", *, is_late: bool = False) -> Callable[[], object]:
        wanted = ModelFilter.parse(filter_text)
        before = (lambda: chance.randrange(1, number)) if is_late else (lambda: None)
        return lambda: library.page(caller(), wanted, before=before(), limit=PAGE, with_snapshots=False)

    heavy = _caller(HEAVY, 0)
    yield "list, first page", page(anyone)
    yield "list, a later page", page(anyone, is_late=True)
    yield "list, own models", page(anyone, "owner:me")
    yield "list, shared with everyone", page(anyone, "readers:everyone")
    yield "list, a word", page(anyone, "answers-77")
    yield f"list of a user with {number // 10:,}, first page", page(lambda: heavy)
    yield f"list of a user with {number // 10:,}, a later page", page(lambda: heavy, is_late=True)
    yield f"list of a user with {number // 10:,}, a rare word", page(lambda: heavy, "answers-77770")
    yield "get", lambda: library.find(model())
    yield "get by a name that has no model", lambda: _refused(lambda: library.get("no such name"))
    yield "check of permissions", lambda: _refused(lambda: library.sharing.require(anyone(), Action.READ, model()))
    yield "create", lambda: library.create(a_request(display_name="x", user_id=anyone().user_id))
    yield "tasks that wait, before a create", lambda: library.waiting_tasks(str(anyone().user_id))
    yield "tasks in each phase, for monitoring", lambda: _reading(library, tasks.tasks_by_phase)
    yield (
        "the last tasks on a base, for an estimate",
        lambda: _reading(library, lambda connection: tasks.last_succeeded(connection, a_request().base_model, 5)),
    )
    waiting = f"model-{number - 1}"
    task_id = library.find(waiting).task.id
    yield (
        "time to wait of a task in the queue",
        lambda: _reading(library, lambda connection: tasks.seconds_to_start(connection, task_id)),
    )
    yield "claim and end", lambda: _claim_and_end(library)
    yield "look of a worker for lost tasks", lambda: library.take_back_lost_tasks(tasks.Loss.ERROR)


def _fill(library: Library, number: int) -> None:
    """Repeat the rows of one tuned model, with other names, owners and times."""
    template = tuned(library, display_name="template")
    is_waiting = f"i >= {number - WAITING}"
    with library.database.writing() as connection:
        connection.execute(
            insert(users), [{"id": f"user-{n}", "create_time": template.create_time} for n in range(USERS)]
        )
        model = {
            "id": "'model-' || i", "display_name": "'Ticket answers-' || i",
            "state": f"CASE WHEN {is_waiting} THEN 'CREATING' ELSE 'ACTIVE' END",
        }  # fmt: skip
        task = {
            "id": _UUID[connection.dialect.name], "tuned_model_id": "'model-' || i", "operation_id": "'run-' || i",
            "user_id": _OWNER, "phase": f"CASE WHEN {is_waiting} THEN 'QUEUED' ELSE 'SUCCEEDED' END",
            "start_time": f"CASE WHEN {is_waiting} THEN NULL ELSE t.start_time END", "idempotency_key": "NULL",
            "artifact_epoch": f"CASE WHEN {is_waiting} THEN NULL ELSE 1 END", "reply_sent": "TRUE",
            "complete_time": f"CASE WHEN {is_waiting} THEN NULL ELSE {_LATER[connection.dialect.name]} END",
        }  # fmt: skip
        _repeat(connection, tuned_models, model, number)
        _repeat(connection, tuning_tasks, task, number, leave_out="number")
        everyone = "i % 100 = 0"
        for name, kind, grantee, role, where in (
            ("o", "USER", _OWNER, "OWNER", "TRUE"),
            ("r", "USER", f"'user-' || ((i * 7 + 13) % {USERS})", "READER", f"(i * 7 + 13) % {USERS} <> i % {USERS}"),
            ("g", "GROUP", f"'group-' || (i % {GROUPS})", "READER", "TRUE"),
            ("e", "EVERYONE", "''", "READER", everyone),
        ):
            row = {"id": f"'{name}' || i", "tuned_model_id": "'model-' || i", "grantee_type": f"'{kind}'"}
            row |= {"grantee": grantee, "role": f"'{role}'"}
            _repeat(connection, permissions, row, number, where=where)
    if library.database.is_shared:  # which does so by itself within minutes; nobody does in SQLite
        with library.database.writing() as connection:
            connection.exec_driver_sql("ANALYZE")


_UUID = {
    "sqlite": "printf('00000000-0000-4000-8000-%012d', i)",
    "postgresql": "'00000000-0000-4000-8000-' || lpad(i::text, 12, '0')",
}
_LATER = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', t.complete_time, i || ' seconds')",
    "postgresql": "t.complete_time + i * interval '1 second'",
}


def _repeat(
    connection: Connection,
    table: Table,
    values: dict[str, str],
    number: int,
    *,
    leave_out: str = "",
    where: str = "TRUE",
) -> None:
    names = [column.name for column in table.columns if column.name != leave_out]
    columns = ", ".join(names)
    chosen = ", ".join(values.get(name, f"t.{name}") for name in names)
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {number - 1})"
    source = f"n CROSS JOIN (SELECT * FROM {table.name} LIMIT 1) t"
    statement = f"INSERT INTO {table.name} ({columns}) {numbers} SELECT {chosen} FROM {source} WHERE {where}"
    connection.exec_driver_sql(statement.replace("%", "%%") if connection.dialect.name == "postgresql" else statement)


def _caller(user_id: str, group: int) -> Caller:
    return Caller(user_id, groups=frozenset({f"group-{group}"}), scopes=frozenset(SCOPES))


def _refused(act: Callable[[], object]) -> None:
    with suppress(PermissionDenied, NotFound):
        act()


def _reading(library: Library, act: Callable[[Connection], Any]) -> Any:
    with library.database.reading() as connection:
        return act(connection)


def _claim_and_end(library: Library) -> None:
    task = library.claim("a benchmark")
    assert task is not None
    library.finish(task, Phase.FAILED, error=InvalidArgument("a benchmark"))


def _times(call: Callable[[], object]) -> list[float]:
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < MOST and (time.perf_counter() - begun < SECONDS or len(times) < 3):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


@contextmanager
def _plans(library: Library, is_wanted: bool) -> Iterator[None]:
    """Print how the database reads what is read within the block."""
    engine = library.database._engine

    def explain(connection: Connection, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if not statement.lstrip().upper().startswith(("SELECT", "WITH")):
            return
        word = "EXPLAIN (ANALYZE, BUFFERS)" if connection.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
        cursor = connection.connection.cursor()  # the statement's own may be one of the server
        cursor.execute(f"{word} {statement}", parameters)
        print("\n".join(f"      {row[-1]}" for row in cursor.fetchall()))

    if is_wanted:
        event.listen(engine, "before_cursor_execute", explain)
    yield
    if is_wanted:
        event.remove(engine, "before_cursor_execute", explain)
