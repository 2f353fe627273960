"""
What clients poll, kept in memory until something is written: a tuned model, who may see it, its place in the queue.

Fifty clients that ask for an operation in a bare loop would otherwise read and encode the same curve a thousand times a
second, and the task that they wait for would pay for it. Good only in the one process that writes; no SQL, no HTTP.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from tunery.errors import NotFound
from tunery.service.access import Action, require_role, require_scope
from tunery.service.database import models, permissions, tasks
from tunery.service.database.connection import Database
from tunery.types import Caller, Permission, Phase, TunedModel

MAX_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Seen:
    """A tuned model as it is until the next write; `made` keeps what its readers make of it."""

    model: TunedModel
    permissions: tuple[Permission, ...]
    waiting_before: int | None  # tasks before it in the queue, None if it is not in the queue
    made: dict[Any, Any] = field(default_factory=dict, repr=False)


class Polling:
    """The tuned models that are asked for often, of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._changes = -1
        self._kept: dict[str, Seen] = {}

    def get(self, caller: Caller, action: Action, model_id: str) -> Seen:
        """Return a tuned model; raises NotFound, and PermissionDenied unless the caller may do this with it."""
        require_scope(caller, action)  # first: who may not ask at all does not learn which models there are
        changes = self._database.changes  # before reading: what is written meanwhile is read again the next time
        with self._lock:
            seen = self._kept.get(model_id) if self._changes == changes else None
        if seen is None:
            seen = self._read(model_id)
            self._keep(seen, changes)
        require_role(caller, action, seen.model.name, seen.permissions)
        return seen

    def _read(self, model_id: str) -> Seen:
        with self._database.reading() as connection:
            model = models.get(connection, model_id)
            if model is None:
                raise NotFound(f"Tuned model tunedModels/{model_id} does not exist.")
            is_waiting = model.task.phase is Phase.QUEUED
            place = tasks.places(connection).get(model.task.id) if is_waiting else None
            return Seen(model, permissions.of_model(connection, model_id), place)

    def _keep(self, seen: Seen, changes: int) -> None:
        with self._lock:
            if self._changes != changes or len(self._kept) >= MAX_KEPT:
                self._changes, self._kept = changes, {}
            self._kept[seen.model.id] = seen
