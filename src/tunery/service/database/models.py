"""
Tuned models as rows: made, found, listed, changed, deleted, with the examples and the owner that belong to them.

The caller holds the transaction. What happens to the task of a model is in `tasks.py`.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, delete, insert, or_, select, update

from tunery.errors import AlreadyExists
from tunery.service.database.permissions import given_to, given_to_everyone
from tunery.service.database.rows import (
    examples_from_rows,
    examples_to_rows,
    model_from_rows,
    model_to_row,
    task_to_row,
)
from tunery.service.database.tables import permissions, tuned_models, tuning_examples, tuning_tasks
from tunery.service.listing import ModelFilter
from tunery.service.names import random_id
from tunery.service.values import TuningRequest
from tunery.types import Caller, Phase, TunedModel, TuningExample

_FINAL = [phase for phase in Phase if phase.is_final]


def create(connection: Connection, model_id: str, request: TuningRequest, idempotency_key: str | None = None) -> None:
    """Write down a tuned model, its owner, its task in the queue and the examples; AlreadyExists if the id is taken."""
    if exists(connection, model_id):
        raise AlreadyExists(f"There is already a tuned model {model_id!r}. Choose another id or delete that model.")
    now = datetime.now(UTC)
    task_id = str(uuid.uuid4())
    user = request.user_id
    owner = {"id": random_id(), "tuned_model_id": model_id, "grantee_type": "USER", "grantee": user}
    task = {"id": task_id, "tuned_model_id": model_id, "operation_id": random_id(), "user_id": user} | (
        {"idempotency_key": idempotency_key} if idempotency_key is not None else {}
    )
    connection.execute(insert(tuned_models).values(model_to_row(model_id, request, now)))
    connection.execute(insert(permissions).values(owner | {"role": "OWNER", "create_time": now}))
    connection.execute(insert(tuning_tasks).values(task | task_to_row(request, now)))
    connection.execute(insert(tuning_examples), examples_to_rows(task_id, request))


def exists(connection: Connection, model_id: str) -> bool:
    """Say whether there is a tuned model with this id."""
    return connection.scalar(select(tuned_models.c.id).where(tuned_models.c.id == model_id)) is not None


def get(connection: Connection, model_id: str) -> TunedModel | None:
    """Return the tuned model with this id, with its curve."""
    return next(iter(_models(connection, _selected(with_snapshots=True).where(tuned_models.c.id == model_id))), None)


def listed(connection: Connection, words: str | None, *, with_snapshots: bool) -> list[TunedModel]:
    """Return the tuned models, newest first; `words` must be in the display name or description, case aside."""
    statement = _selected(with_snapshots)
    if words:
        found = (column.icontains(words, autoescape=True) for column in _TEXTS)
        statement = statement.where(or_(*found))
    return _models(connection, statement)


def page(
    connection: Connection, caller: Caller, wanted: ModelFilter, *, before: int | None, limit: int
) -> list[tuple[int, TunedModel]]:
    """Return tuned models of a caller with their place in the queue, newest first, those before a place only."""
    ids = given_to_everyone() if wanted.is_everyone else given_to(caller, wanted.roles)
    statement = _selected(with_snapshots=True).where(tuned_models.c.id.in_(ids))
    for word in wanted.words:
        statement = statement.where(or_(*(column.icontains(word, autoescape=True) for column in _TEXTS)))
    if before is not None:
        statement = statement.where(tuning_tasks.c.number < before)
    rows = connection.execute(statement.limit(limit)).mappings().all()
    return [(row["number"], _model(row)) for row in rows]


def with_display_name(connection: Connection, display_name: str) -> list[TunedModel]:
    """Return the tuned models of exactly this display name, newest first, with their curves."""
    statement = _selected(with_snapshots=True).where(tuned_models.c.display_name == display_name)
    return _models(connection, statement)


def unfinished(connection: Connection, request_sha256: str) -> TunedModel | None:
    """Return the newest tuned model of this request whose task has not ended, with its curve."""
    statement = _selected(with_snapshots=True).where(
        tuning_tasks.c.request_sha256 == request_sha256, tuning_tasks.c.phase.not_in(_FINAL)
    )
    return next(iter(_models(connection, statement)), None)


def names(connection: Connection) -> list[tuple[str, str]]:
    """Return id and display name of every tuned model, newest first."""
    joined = select(tuned_models.c.id, tuned_models.c.display_name).join(tuning_tasks)
    return [(row.id, row.display_name) for row in connection.execute(joined.order_by(tuning_tasks.c.number.desc()))]


def change(connection: Connection, model_id: str, columns: Mapping[str, Any]) -> bool:
    """Set display name, description or answer defaults of a tuned model; False if there is none."""
    statement = update(tuned_models).where(tuned_models.c.id == model_id)
    result = connection.execute(statement.values(**columns, update_time=datetime.now(UTC)).returning(tuned_models.c.id))
    return result.first() is not None


def remove(connection: Connection, model_id: str) -> bool:
    """Delete a tuned model with its task, examples and permissions, which fences its worker; False if there is none."""
    statement = delete(tuned_models).where(tuned_models.c.id == model_id).returning(tuned_models.c.id)
    return connection.execute(statement).first() is not None


def examples(connection: Connection, task_id: str) -> tuple[list[TuningExample], list[TuningExample]]:
    """Return the examples and the held-out examples of a task, in the user's order."""
    table = tuning_examples
    statement = select(table).where(table.c.task_id == task_id).order_by(table.c.position)
    return examples_from_rows(connection.execute(statement).mappings().all())


def manifest_sha256(connection: Connection, task_id: str) -> str | None:
    """Return the digest of the manifest that a task published, None if it published nothing."""
    digest: str | None = connection.scalar(select(tuning_tasks.c.manifest_sha256).where(tuning_tasks.c.id == task_id))
    return digest


_TEXTS = (tuned_models.c.display_name, tuned_models.c.description)

# Both tables have an `id` and times: the columns of the model come under names of their own.
_MODEL_COLUMNS = {column.name: f"model_{column.name}" for column in tuned_models.columns}


def _selected(with_snapshots: bool) -> Select[Any]:
    model = [tuned_models.c[name].label(label) for name, label in _MODEL_COLUMNS.items()]
    task = [column for column in tuning_tasks.columns if with_snapshots or column.name != "snapshots"]
    return select(*model, *task).join_from(tuned_models, tuning_tasks).order_by(tuning_tasks.c.number.desc())


def _models(connection: Connection, statement: Select[Any]) -> list[TunedModel]:
    return [_model(row) for row in connection.execute(statement).mappings()]


def _model(row: RowMapping) -> TunedModel:
    return model_from_rows({name: row[label] for name, label in _MODEL_COLUMNS.items()}, row)
