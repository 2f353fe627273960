"""
Structured prompts of users: what somebody types or imports before it is tuned on. Each is seen by its owner alone.

Knows who owns what and how many there may be; what is inside a prompt is the subject of `server/wire/prompts.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tunery.errors import NotFound, ResourceExhausted
from tunery.service.access import Action, require_scope
from tunery.service.database import prompts
from tunery.service.database.connection import Database
from tunery.service.names import check_display_name, random_id
from tunery.service.values import Prompt
from tunery.types import Caller

MAX_PROMPTS = 1000  # of a user; each takes up to 4 MiB


class Prompts:
    """The structured prompts of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, caller: Caller, display_name: str, document: Mapping[str, Any]) -> Prompt:
        """Keep a new prompt; raises ResourceExhausted when its user has too many, InvalidArgument for a bad name."""
        user_id = _user(caller, Action.CREATE)
        check_display_name(display_name)
        now = datetime.now(UTC)
        prompt = Prompt(random_id(), user_id, display_name, dict(document), now, now)
        with self._database.writing() as connection:
            if prompts.count(connection, user_id) >= MAX_PROMPTS:
                raise ResourceExhausted(f"You have {MAX_PROMPTS:,} structured prompts, the limit. Delete some first.")
            prompts.add(connection, prompt)
        return prompt

    def get(self, caller: Caller, prompt_id: str) -> Prompt:
        """Return a prompt of the caller; raises NotFound, also for those of others."""
        user_id = _user(caller, Action.LIST)
        with self._database.reading() as connection:
            found = prompts.get(connection, user_id, prompt_id)
        return found or _missing(prompt_id)

    def page(self, caller: Caller, words: str, *, start: int, limit: int) -> Sequence[Prompt]:
        """Return up to `limit` prompts of the caller from place `start` on, changed last first."""
        user_id = _user(caller, Action.LIST)
        with self._database.reading() as connection:
            return prompts.page(connection, user_id, tuple(words.split()), start=start, limit=limit)

    def update(
        self, caller: Caller, prompt_id: str, *, display_name: str | None, document: Mapping[str, Any]
    ) -> Prompt:
        """Set the parts of a prompt's document that are given, and its name unless that is None; raises NotFound."""
        user_id = _user(caller, Action.CREATE)
        if display_name is not None:
            check_display_name(display_name)
        with self._database.writing() as connection:
            found = prompts.get(connection, user_id, prompt_id) or _missing(prompt_id)
            columns = {
                "display_name": display_name or found.display_name,
                "document": found.document | dict(document),
                "update_time": datetime.now(UTC),
            }
            prompts.change(connection, user_id, prompt_id, columns)
            return prompts.get(connection, user_id, prompt_id) or _missing(prompt_id)

    def delete(self, caller: Caller, prompt_id: str) -> None:
        """Delete a prompt of the caller; raises NotFound."""
        user_id = _user(caller, Action.CREATE)
        with self._database.writing() as connection:
            if not prompts.remove(connection, user_id, prompt_id):
                _missing(prompt_id)


def _user(caller: Caller, action: Action) -> str:
    require_scope(caller, action)
    return str(caller.user_id)


def _missing(prompt_id: str) -> Prompt:
    raise NotFound(f"Structured prompt prompts/{prompt_id} does not exist.")
