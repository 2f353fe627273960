"""
The audit log: who tuned, changed, shared, exported and deleted what, and who managed users and keys.

An event is written in the transaction of what it records, so there is never one without the other. It names people and
things, and holds no example, prompt, answer or secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, insert, select

from tunery.service.database.connection import Connection, Database
from tunery.service.database.tables import audit_events
from tunery.service.tuning import LOCAL_USER

KEPT_DAYS = 400  # so that a yearly review finds the whole year


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """What somebody did: `action` is named like the operation of the API if there is one, `resource` as there."""

    number: int
    time: datetime
    actor: str  # a user's id, or "key ID"
    action: str
    resource: str
    details: dict[str, Any] = field(default_factory=dict)

    def shown(self) -> dict[str, Any]:
        """Return the fields that a reader is shown."""
        return {name: getattr(self, name) for name in ("time", "actor", "action", "resource", "details")}


@dataclass(slots=True)
class _Request:
    actor: str = "nobody"


_request: ContextVar[_Request | None] = ContextVar("request", default=None)


def begin_request() -> None:
    """Start a request of a server, whose caller is not known yet."""
    _request.set(_Request())


def note_actor(name: str) -> None:
    """
    Name the caller of this request.

    Handlers run in threads with a copy of the context, so what changes is the object in it.
    """
    request = _request.get()
    if request is not None:
        request.actor = name


def record(connection: Connection, action: str, resource: str, *, actor: str | None = None, **details: Any) -> None:
    """Add an event to a transaction; outside a server's requests, the user of this machine acts."""
    request = _request.get()
    actor = actor or (LOCAL_USER if request is None else request.actor)
    told = {name: value for name, value in details.items() if value is not None}
    row = {"time": datetime.now(UTC), "actor": actor, "action": action, "resource": resource, "details": told}
    connection.execute(insert(audit_events).values(row))


def events(
    database: Database,
    *,
    before: int | None = None,
    limit: int,
    actor: str | None = None,
    resource: str | None = None,
) -> Sequence[AuditEvent]:
    """Return up to `limit` events, newest first: those with a number below `before`, of one actor or resource."""
    statement = select(audit_events).order_by(audit_events.c.number.desc()).limit(limit)
    for column, wanted in ((audit_events.c.actor, actor), (audit_events.c.resource, resource)):
        if wanted is not None:
            statement = statement.where(column == wanted)
    if before is not None:
        statement = statement.where(audit_events.c.number < before)
    with database.reading() as connection:
        return [AuditEvent(**row) for row in connection.execute(statement).mappings()]


def delete_before(connection: Connection, time: datetime) -> None:
    """Delete the events before a time."""
    connection.execute(delete(audit_events).where(audit_events.c.time < time))
