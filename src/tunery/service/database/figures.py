"""
Figures about all tasks: how many stand where, how fast the one at work goes, how fast the last ones went.

Read only; the caller holds the transaction.
"""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from tunery.service.database.rows import task_from_row
from tunery.service.database.tables import tuned_models, tuning_tasks
from tunery.types import Phase, TuningTask

_task = tuning_tasks.c


def tasks_by_phase(connection: Connection) -> dict[Phase, int]:
    """Return how many tasks stand in each phase."""
    rows = connection.execute(select(_task.phase, func.count()).group_by(_task.phase))
    return dict.fromkeys(Phase, 0) | {Phase(phase): count for phase, count in rows}


def running(connection: Connection) -> TuningTask | None:
    """Return the task that takes steps at this moment, with its curve."""
    row = connection.execute(select(tuning_tasks).where(_task.phase == Phase.RUNNING).limit(1)).mappings().first()
    return None if row is None else task_from_row(row)


def last_succeeded(connection: Connection, base_model: str, limit: int) -> list[TuningTask]:
    """Return the tasks on a base that succeeded last, newest first, with their curves."""
    mine = tuned_models.c.base_model == base_model
    statement = select(tuning_tasks).join(tuned_models).where(mine, _task.phase == Phase.SUCCEEDED)
    rows = connection.execute(statement.order_by(_task.complete_time.desc()).limit(limit)).mappings()
    return [task_from_row(row) for row in rows]
