"""
Tuning tasks as a queue: claiming, renewing, finishing, cancelling and requeuing them.

Every statement of a worker carries the number of its claim (column `fencing_epoch`); if no row is returned, the task
was claimed again. The caller holds the write transaction. Clocks are only for display, except PostgreSQL's: there,
workers on several machines hold their tasks through leases, which expire unless they are renewed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import zip_longest
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Executable,
    FromClause,
    Interval,
    RowMapping,
    Select,
    Subquery,
    and_,
    bindparam,
    case,
    cast,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from tunery.errors import Cancelled, OutOfMemory, TuneryError
from tunery.service.database.models import pack_snapshots, progress_to_columns, task_from_row
from tunery.service.database.tables import server_deaths, tuned_models, tuning_tasks
from tunery.service.tuning import (
    MAX_LOSSES,
    MAX_LOSSES_AT_ONE_STEP,
    MAX_SERVER_DEATHS,
    PHASES_BEFORE,
    PHASES_BEFORE_END,
    RUNNING_PHASES,
    SUSPECT_DEATHS,
    Loss,
    Progress,
    Published,
    state_of,
)
from tunery.types import Phase, TuningTask

_LOST = "The tuning job failed: its worker was lost {losses} times, the last time after step {step}."

_FATAL = (
    "The tuning job failed: the server died {deaths} times during it after step {step}, the last time with no "
    "other job. Try a smaller base or shorter examples."
)

KEY_LIFE = timedelta(days=1)
UNANSWERED_LIFE = timedelta(seconds=90)

LEASE_SECONDS = 15  # in PostgreSQL; a worker renews its lease three times as often
PAUSE_SECONDS = (1, 5, 30, 120)  # in PostgreSQL, by number of losses

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)  # before any task began

_task = tuning_tasks.c
_deaths = server_deaths.c


def claim(
    connection: Connection,
    worker: str,
    *,
    task_id: str | None = None,
    is_cancelled: bool = False,
    held_back: Collection[str] = (),
    machine_start: str | None = None,
) -> TuningTask | None:
    """
    Claim the next waiting task for a worker: PREPARING, claim number + 1; None if there is none.

    Tasks that were begun before come first, then the oldest task of the user whose last task began longest ago, so a
    user's second task waits behind another user's first. Tasks suspected of crashing the server come last.
    `machine_start` distinguishes a crash of the server from a stop of the machine; with None, crashes during this claim
    are not counted. `is_cancelled` selects the tasks that were cancelled but have a checkpoint to publish.
    """
    given = {"new_worker": worker, "claim_time": _now(), "held_back": list(held_back)}
    if task_id is not None:
        given["wanted"] = task_id
    for statement in _claims(_has_leases(connection), is_named=task_id is not None, is_cancelled=is_cancelled):
        row = connection.execute(statement, given).mappings().first()
        if row is not None:
            _note_machine(connection, row["id"], machine_start)
            return task_from_row(row)
    return None


@cache
def _claims(has_leases: bool, *, is_named: bool, is_cancelled: bool) -> tuple[Executable, ...]:
    """Return the statements to try one after the other; they are built once, since that takes longer than running."""

    def claiming(chosen: Select[tuple[int]]) -> Executable:
        one = chosen.limit(1)
        if has_leases:
            one = one.with_for_update(skip_locked=True, of=tuning_tasks)
        claimed = update(tuning_tasks).where(_task.number == one.scalar_subquery())
        return claimed.values(
            phase=Phase.PREPARING,
            worker=bindparam("new_worker"),
            fencing_epoch=_task.fencing_epoch + 1,
            heartbeat=0,
            start_time=func.coalesce(
                _task.start_time, _not_before(_task.create_time, bindparam("claim_time", type_=_task.create_time.type))
            ),
            **(_lease() if has_leases else {}),
        ).returning(tuning_tasks)

    return tuple(claiming(chosen) for chosen in _next(has_leases, is_named=is_named, is_cancelled=is_cancelled))


def _next(has_leases: bool, *, is_named: bool, is_cancelled: bool) -> Iterator[Select[tuple[int]]]:
    """Yield the selects of numbers to try one after the other; only the last one looks at all waiting tasks."""

    def waits(task: Any) -> list[ColumnElement[bool]]:
        held_back: BindParameter[Any] = bindparam("held_back", expanding=True)
        wanted = [task.phase == Phase.QUEUED, task.cancel_requested == is_cancelled, task.id.not_in(held_back)]
        if has_leases:
            wanted.append(task.not_before.is_(None) | (task.not_before <= func.clock_timestamp()))
        return wanted

    mine = select(_task.number).where(*waits(_task))
    if is_named:
        yield mine.where(_task.id == bindparam("wanted"))
        return
    is_suspected, other = _task.id.in_(_suspects()), tuning_tasks.alias()
    turn = select(func.max(other.c.start_time)).where(other.c.user_id == _task.user_id).scalar_subquery()
    # for "is not null", SQLite would read all waiting tasks
    begun = mine.where(_task.start_time > _LONG_AGO).order_by(is_suspected, turn.nulls_first(), _task.number)
    if is_cancelled:  # with a checkpoint, so they were begun
        yield begun
        return
    yield begun.where(~is_suspected)
    first = _first_of_users([*waits(other.c), other.c.id.not_in(_suspects())], other)
    if has_leases:  # a row can only be locked in its own table
        chosen = mine.join(first, first.c.number == _task.number).order_by(first.c.turn.nulls_first(), _task.number)
    else:  # for a join, SQLite would read all tasks
        chosen = select(first.c.number).where(first.c.number.is_not(None))
        chosen = chosen.order_by(first.c.turn.nulls_first(), first.c.number)
    yield chosen
    turns = _last_turns()  # for all tasks, once for each user is faster than for each task
    every = mine.join(turns, turns.c.user_id == _task.user_id)
    yield every.order_by(is_suspected, _task.start_time.is_(None), turns.c.turn.nulls_first(), _task.number)


def _first_of_users(waits: list[ColumnElement[bool]], task: FromClause) -> Subquery:
    """
    Return `number` and `turn` of the first task of each user, None for a user without one.

    The users are found by jumps in the index from one to the next: with 20,000 waiting tasks, reading them all took
    20 times as long.
    """
    is_queued = task.c.phase == Phase.QUEUED
    who = select(func.min(task.c.user_id).label("user_id")).where(is_queued).cte("who", recursive=True)
    following = select(func.min(task.c.user_id)).where(is_queued, task.c.user_id > who.c.user_id)
    who = who.union_all(select(following.scalar_subquery()).where(who.c.user_id.is_not(None)))
    first = select(task.c.number).where(task.c.user_id == who.c.user_id, *waits).order_by(task.c.number).limit(1)
    turn = select(func.max(task.c.start_time)).where(task.c.user_id == who.c.user_id)
    columns = [part.correlate(who).scalar_subquery().label(name) for name, part in (("number", first), ("turn", turn))]
    return select(*columns).select_from(who).subquery()


def is_suspect(connection: Connection, task_id: str) -> bool:
    """Return whether the server has died with this task so often that the task has to be tried by itself."""
    return connection.scalar(_suspects().where(_deaths.task_id == task_id)) is not None


def heartbeat(connection: Connection, task: TuningTask, phase: Phase, progress: Progress) -> bool | None:
    """
    Renew the claim on a task and store its progress; return whether it has to be cancelled, None if it was claimed
    again.

    A cancelled task cannot enter PUBLISHING; in that case nothing is written, and True is returned.
    """
    not_too_late = literal(phase != Phase.PUBLISHING) | ~_task.cancel_requested
    row = _update(
        connection,
        _owned(task, PHASES_BEFORE[phase]) & not_too_late,
        phase=phase,
        heartbeat=_task.heartbeat + 1,
        **_progressed(progress),
        **_renewed(connection),
    )
    if row is None:
        row = connection.execute(select(tuning_tasks).where(_owned(task, PHASES_BEFORE[phase]))).mappings().first()
    return None if row is None else bool(row["cancel_requested"])


def finish(
    connection: Connection,
    task: TuningTask,
    phase: Phase,
    progress: Progress,
    *,
    published: Published | None = None,
    error_code: int | None = None,
    error_message: str | None = None,
) -> bool:
    """End a claimed task and set the state of its tuned model; return False if the task was claimed again."""
    condition = _owned(task, PHASES_BEFORE_END[phase])
    if phase == Phase.CANCELLED:
        condition &= _task.cancel_requested
    row = _update(
        connection,
        condition,
        artifact_epoch=published.claim_number if published else None,
        manifest_sha256=published.manifest_sha256 if published else None,
        **_progressed(progress),
        **_ended(phase, error_code, error_message),
    )
    if row is not None:
        _show_state(connection, row)
    return row is not None


def lose_artifact(connection: Connection, task_id: str, error_code: int, error_message: str) -> None:
    """Mark an ended task as FAILED without an adapter, because the adapter is damaged and will not be saved."""
    ended = {"phase": Phase.FAILED, "error_code": error_code, "error_message": error_message}
    row = _update(connection, _task.id == task_id, artifact_epoch=None, manifest_sha256=None, **ended)
    assert row is not None
    _show_state(connection, row)


def release(connection: Connection, task: TuningTask) -> bool:
    """Requeue a claimed task without counting a loss (stop, full disk); return False if it was claimed again."""
    return _update(connection, _owned(task, RUNNING_PHASES), phase=Phase.QUEUED, worker=None) is not None


def request_cancel(connection: Connection, tuned_model_id: str) -> None:
    """
    Cancel a task: immediately if it is waiting without a checkpoint, else through a flag that its worker reads.

    After the commit point, nothing happens.
    """
    mine = _task.tuned_model_id == tuned_model_id
    _cancel_at_once(connection, mine)
    _update(
        connection, mine & _task.phase.in_((Phase.QUEUED, *PHASES_BEFORE_END[Phase.CANCELLED])), cancel_requested=True
    )


def start_next(connection: Connection, tuned_model_id: str) -> bool:
    """Let a task that waits and never ran be the first of its user's; return False if it is not such a task."""
    mine = select(_task.user_id).where(_task.tuned_model_id == tuned_model_id).scalar_subquery()
    is_fresh = (_task.phase == Phase.QUEUED) & _task.start_time.is_(None)
    waiting = select(_task.number, _task.tuned_model_id).where(_task.user_id == mine, is_fresh).order_by(_task.number)
    rows = connection.execute(waiting).all()
    before = [row.number for row in rows]
    after = sorted(rows, key=lambda row: row.tuned_model_id != tuned_model_id)  # the others stay in their order
    if not after or after[0].tuned_model_id != tuned_model_id:
        return False
    for sign in (-1, 1):  # a number is taken only once, so each passes through a negative one
        for number, row in zip(before, after, strict=True):
            at = _task.number == (row.number if sign < 0 else -number)
            connection.execute(update(tuning_tasks).where(at).values(number=sign * number))
    return True


def requeue_lost(
    connection: Connection,
    task_id: str,
    claim_number: int,
    heartbeat: int,
    loss: Loss,
    machine_start: str | None = None,
) -> None:
    """
    Requeue the task of a lost worker; after too many losses caused by the task itself, it is FAILED.

    `claim_number` and `heartbeat` are those at which the worker was declared lost: if they have changed, the worker is
    alive. After Loss.MEMORY, the task continues with half as many examples at a time. Loss.SERVER counts only if the
    machine has not been restarted since, that is, with the same `machine_start`.
    """
    seen = and_(_task.id == task_id, _task.fencing_epoch == claim_number, _task.heartbeat == heartbeat)
    row = _update(
        connection,
        seen & _task.phase.in_(RUNNING_PHASES),
        phase=Phase.QUEUED,
        worker=None,
        **_counted(loss),
    )
    if row is None:
        return
    if loss is Loss.MEMORY and row["micro_batch_size"] == 0:
        error = OutOfMemory()
        _give_up(connection, row, error.code, str(error))
    elif row["losses"] >= MAX_LOSSES or row["losses_at_step"] >= MAX_LOSSES_AT_ONE_STEP:
        message = _LOST.format(losses=row["losses"], step=row["completed_steps"])
        _give_up(connection, row, TuneryError.code, message)
    elif (deaths := _server_deaths(connection, row, loss, machine_start)) >= MAX_SERVER_DEATHS:
        message = _FATAL.format(deaths=deaths, step=row["completed_steps"])
        _give_up(connection, row, TuneryError.code, message)
    elif row["cancel_requested"]:
        _cancel_at_once(connection, _task.id == task_id)


def renew(connection: Connection, task: TuningTask) -> bool:
    """
    Renew the claim on a task whose process is alive but has nothing to report; return False if it was claimed again.
    """
    lease = _renewed(connection)
    return not lease or _update(connection, _owned(task, RUNNING_PHASES), **lease) is not None


def requeue_expired(connection: Connection) -> None:
    """
    Requeue the tasks whose leases have expired, because their workers are gone or unreachable; each then waits a little
    longer.

    Any number of processes may do this at the same time. The reason for a missing worker is unknown, so it counts as a
    loss.
    """
    expired = select(_task.id, _task.fencing_epoch, _task.heartbeat).where(
        _task.phase.in_(RUNNING_PHASES), _task.lease_until < func.clock_timestamp()
    )
    for row in connection.execute(expired.with_for_update(skip_locked=True)).all():
        requeue_lost(connection, row.id, row.fencing_epoch, row.heartbeat, Loss.PROCESS)
        pause = case(*((_task.losses <= n, f"{s} s") for n, s in enumerate(PAUSE_SECONDS, 1)), else_="120 s")
        _update(
            connection,
            (_task.id == row.id) & (_task.phase == Phase.QUEUED),
            not_before=func.clock_timestamp() + cast(pause, Interval),
        )


def running(connection: Connection) -> list[tuple[str, int, int]]:
    """Return id, claim number and heartbeat of each task that a worker has, or had when it died."""
    statement = select(_task.id, _task.fencing_epoch, _task.heartbeat).where(_task.phase.in_(RUNNING_PHASES))
    return [(row.id, row.fencing_epoch, row.heartbeat) for row in connection.execute(statement)]


def repeated(connection: Connection, user_id: str, request_sha256: str, idempotency_key: str | None) -> str | None:
    """
    Return the tuned model that an earlier attempt of a request created: one with this key, else one from an equal
    request that has not been answered.

    Keys are kept for a day, unanswered requests for 90 s.
    """
    if idempotency_key is not None:
        same = _task.idempotency_key == idempotency_key
        oldest = _now() - KEY_LIFE
        connection.execute(
            update(tuning_tasks)
            .where(_task.user_id == user_id, same, _task.create_time < oldest)
            .values(idempotency_key=None)
        )
    else:
        same = and_(_task.request_sha256 == request_sha256, ~_task.reply_sent, _task.idempotency_key.is_(None))
        oldest = _now() - UNANSWERED_LIFE
    statement = select(_task.tuned_model_id).where(_task.user_id == user_id, same, _task.create_time >= oldest)
    model_id: str | None = connection.scalar(statement.order_by(_task.number.desc()).limit(1))
    return model_id


def mark_reply_sent(connection: Connection, task_id: str) -> None:
    """Note that the reply to a request was sent."""
    connection.execute(update(tuning_tasks).where(_task.id == task_id).values(reply_sent=True))


def places(connection: Connection) -> dict[str, int]:
    """Return how many tasks are ahead of each waiting task if no tasks are added; users take turns."""
    turns = _last_turns()
    waiting = (
        select(_task.id, _task.user_id, _task.start_time)
        .join(turns, turns.c.user_id == _task.user_id)
        .where(_task.phase == Phase.QUEUED)
        .order_by(_task.start_time.is_(None), turns.c.turn.nulls_first(), _task.number)
    )
    begun: list[str] = []
    by_user: dict[str, deque[str]] = {}  # in the order of their turns
    for row in connection.execute(waiting):
        queue = begun if row.start_time is not None else by_user.setdefault(row.user_id, deque())
        queue.append(row.id)
    rounds = zip_longest(*by_user.values())
    in_turn = [task_id for one_round in rounds for task_id in one_round if task_id is not None]
    return {task_id: place for place, task_id in enumerate([*begun, *in_turn])}


def waiting(connection: Connection, user_id: str) -> tuple[int, int]:
    """Return how many tasks are waiting, and how many of them belong to a user."""
    count = select(func.count()).select_from(tuning_tasks).where(_task.phase == Phase.QUEUED)
    return connection.scalar(count) or 0, connection.scalar(count.where(_task.user_id == user_id)) or 0


def _last_turns() -> Subquery:
    """
    Return `user_id` and `turn`, when the last task of each user with waiting tasks began; None if none ever did.

    If the clock is set back, a user may lose a turn, but nothing more.
    """
    who_waits = select(_task.user_id).where(_task.phase == Phase.QUEUED)
    began = select(_task.user_id, func.max(_task.start_time).label("turn"))
    return began.where(_task.user_id.in_(who_waits)).group_by(_task.user_id).subquery()


def heartbeat_of(connection: Connection, task: TuningTask) -> int | None:
    """Return the heartbeat counter of a claimed task, None if it was claimed again or has ended."""
    count: int | None = connection.scalar(select(_task.heartbeat).where(_owned(task, RUNNING_PHASES)))
    return count


def kept_folders(connection: Connection) -> tuple[dict[str, set[int]], set[str]]:
    """Return which folders to keep: claim numbers with an adapter by task id, and task ids with a checkpoint."""
    statement = select(_task.id, _task.phase, _task.artifact_epoch, _task.fencing_epoch)
    adapters: dict[str, set[int]] = {}
    checkpoints: set[str] = set()
    for row in connection.execute(statement):
        adapters[row.id] = set() if row.artifact_epoch is None else {row.artifact_epoch}
        if row.phase in RUNNING_PHASES:
            adapters[row.id].add(row.fencing_epoch)  # its worker may be publishing at this moment
        if not Phase(row.phase).is_final:
            checkpoints.add(row.id)
    return adapters, checkpoints


def tasks_by_phase(connection: Connection) -> dict[Phase, int]:
    """Return how many tasks are in each phase."""
    rows = connection.execute(select(_task.phase, func.count()).group_by(_task.phase))
    return dict.fromkeys(Phase, 0) | {Phase(phase): count for phase, count in rows}


def unfinished(connection: Connection, most: int) -> int:
    """Return how many tasks wait or are being worked on, counting up to `most`."""
    found = select(_task.number).where(_task.phase.in_((Phase.QUEUED, *RUNNING_PHASES))).limit(most).subquery()
    return connection.scalar(select(func.count()).select_from(found)) or 0


def running_task(connection: Connection) -> TuningTask | None:
    """Return the task that is RUNNING, with its curve."""
    row = connection.execute(select(tuning_tasks).where(_task.phase == Phase.RUNNING).limit(1)).mappings().first()
    return None if row is None else task_from_row(row)


def last_succeeded(connection: Connection, base_model: str, limit: int) -> list[TuningTask]:
    """Return the last tasks on a base that succeeded, newest first, with their curves."""
    mine = tuned_models.c.base_model == base_model
    statement = select(tuning_tasks).join(tuned_models).where(mine, _task.phase == Phase.SUCCEEDED)
    rows = connection.execute(statement.order_by(_task.complete_time.desc()).limit(limit)).mappings()
    return [task_from_row(row) for row in rows]


PACED_TASKS = 5


def seconds_to_start(connection: Connection, task_id: str) -> float | None:
    """
    Return about how long a task still has to wait: the steps before it, at the pace of the last tasks on their bases.

    None if it is not waiting, or if a base has no tasks to compare with.
    """
    order = places(connection)
    if task_id not in order:
        return None
    ahead = [other for other, place in order.items() if place < order[task_id]]
    is_before = or_(_task.id.in_(ahead), _task.phase.in_(RUNNING_PHASES))
    left = func.sum(_task.total_steps - _task.completed_steps)
    steps = select(tuned_models.c.base_model, left).join(tuned_models).where(is_before)
    seconds = 0.0
    for base_model, number in connection.execute(steps.group_by(tuned_models.c.base_model)):
        pace = _seconds_per_step(connection, base_model)
        if pace is None:
            return None
        seconds += pace * number
    return round(seconds, 1)


def _seconds_per_step(connection: Connection, base_model: str) -> float | None:
    is_done = and_(tuned_models.c.base_model == base_model, _task.phase == Phase.SUCCEEDED)
    last = select(_task.start_time, _task.complete_time, _task.total_steps).join(tuned_models).where(is_done)
    rows = connection.execute(last.order_by(_task.complete_time.desc()).limit(PACED_TASKS)).all()
    timed = [((end - start).total_seconds(), steps) for start, end, steps in rows if start and end]
    return sum(seconds for seconds, _ in timed) / sum(steps for _, steps in timed) if timed else None


def _has_leases(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"


def _renewed(connection: Connection) -> dict[str, Any]:
    return _lease() if _has_leases(connection) else {}


def _lease() -> dict[str, Any]:
    return {"lease_until": func.clock_timestamp() + timedelta(seconds=LEASE_SECONDS)}


def _update(connection: Connection, condition: ColumnElement[bool], **values: Any) -> RowMapping | None:
    statement = update(tuning_tasks).where(condition).values(**values).returning(tuning_tasks)
    return connection.execute(statement).mappings().first()


def _owned(task: TuningTask, phases: Collection[Phase]) -> ColumnElement[bool]:
    """Return the condition that a worker still has the task: its claim is the latest, and the phase is one of these."""
    return and_(_task.id == task.id, _task.fencing_epoch == task.claim_number, _task.phase.in_(phases))


def _progressed(progress: Progress) -> dict[str, Any]:
    """
    Return the columns for a progress report. Steps and curve never decrease, although a resumed task repeats some
    steps.
    """
    columns = progress_to_columns(progress)
    columns["completed_steps"] = case(
        (_task.completed_steps < progress.step, progress.step), else_=_task.completed_steps
    )
    if progress.snapshots is not None:
        packed = pack_snapshots(progress.snapshots)
        columns["snapshots"] = case((func.length(_task.snapshots) < len(packed), packed), else_=_task.snapshots)
    return columns


def _ended(phase: Phase, error_code: int | None, error_message: str | None) -> dict[str, Any]:
    return {
        "phase": phase,
        "worker": None,
        "complete_time": _not_before(func.coalesce(_task.start_time, _task.create_time)),
        "error_code": error_code,
        "error_message": error_message,
    }


def _cancel_at_once(connection: Connection, condition: ColumnElement[bool]) -> None:
    error = Cancelled()
    row = _update(
        connection,
        condition & (_task.phase == Phase.QUEUED) & (_task.checkpoint_step == 0),
        cancel_requested=True,
        **_ended(Phase.CANCELLED, error.code, str(error)),
    )
    if row is not None:
        _show_state(connection, row)


def _suspects() -> Select[tuple[str]]:
    return select(_deaths.task_id).where(_deaths.deaths >= SUSPECT_DEATHS)


def _note_machine(connection: Connection, task_id: str, machine_start: str | None) -> None:
    known = update(server_deaths).where(_deaths.task_id == task_id).values(machine_start=machine_start)
    if connection.execute(known).rowcount == 0 and machine_start is not None:
        connection.execute(insert(server_deaths).values(task_id=task_id, machine_start=machine_start))


def _server_deaths(connection: Connection, task: RowMapping, loss: Loss, machine_start: str | None) -> int:
    """
    Count a crash of the server, or reset the count if the task survived one; return the number of crashes at its step.
    """
    mine = _deaths.task_id == task["id"]
    if loss is Loss.SURVIVED:
        connection.execute(update(server_deaths).where(mine).values(deaths=0))
    if loss is not Loss.SERVER or machine_start is None:
        return 0
    at_step = task["completed_steps"]
    counted = update(server_deaths).where(mine, _deaths.machine_start == machine_start)
    counted = counted.values(deaths=case((_deaths.at_step == at_step, _deaths.deaths + 1), else_=1), at_step=at_step)
    return connection.scalar(counted.returning(_deaths.deaths)) or 0


def _counted(loss: Loss) -> dict[str, Any]:
    """Return the columns for a loss caused by the process of the task."""
    return {Loss.PROCESS: _one_more_loss, Loss.MEMORY: _with_less_memory}.get(loss, dict)()


def _one_more_loss() -> dict[str, Any]:
    return {
        "losses": _task.losses + 1,
        "lost_at_step": _task.completed_steps,
        "losses_at_step": case((_task.lost_at_step == _task.completed_steps, _task.losses_at_step + 1), else_=1),
    }


def _with_less_memory() -> dict[str, Any]:
    """Return the columns for half as many examples at a time, rounded up; 0 if one was too many."""
    size = func.coalesce(_task.micro_batch_size, _task.batch_size)
    return {"micro_batch_size": case((size > 1, (size + 1) // 2), else_=0)}


def _give_up(connection: Connection, lost: RowMapping, code: int, message: str) -> None:
    row = _update(connection, _task.id == lost["id"], **_ended(Phase.FAILED, code, message))
    assert row is not None
    _show_state(connection, row)


def _show_state(connection: Connection, task: RowMapping) -> None:
    state = state_of(Phase(task["phase"]), task["artifact_epoch"] is not None)
    statement = update(tuned_models).where(tuned_models.c.id == task["tuned_model_id"])
    connection.execute(statement.values(state=state, update_time=_now()))


def _not_before(
    earlier: ColumnElement[datetime], now: ColumnElement[datetime] | None = None
) -> ColumnElement[datetime]:
    """
    Return the current time, or that of an earlier event if the clock was set back, so that no duration is negative.
    """
    now = literal(_now(), _task.create_time.type) if now is None else now
    return case((earlier > now, earlier), else_=now)


def _now() -> datetime:
    return datetime.now(UTC)
