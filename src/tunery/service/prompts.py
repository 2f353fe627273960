"""
Users' structured prompts, stored in the library; each is visible only to its owner.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from tunery.errors import FailedPrecondition, NotFound, ResourceExhausted
from tunery.service.access import Action, require_scope
from tunery.service.database import models
from tunery.service.database.connection import Connection, Database
from tunery.service.tuning import Prompt, check_display_name, random_id
from tunery.types import Caller

MAX_PROMPTS = 1000  # of a user
MAX_PROMPT_BYTES = 64 << 20  # of all of them together; each takes up to 4 MiB


class Prompts:
    """Users' structured prompts; each is visible only to its owner."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, caller: Caller, display_name: str, document: Mapping[str, Any]) -> Prompt:
        """Store a new prompt; raise ResourceExhausted if its user has too many, InvalidArgument for a bad name."""
        user_id = _user(caller, Action.CREATE)
        check_display_name(display_name)
        now = datetime.now(UTC)
        prompt = Prompt(random_id(), user_id, display_name, dict(document), now, now)
        with self._database.writing() as connection:
            if models.count_prompts(connection, user_id) >= MAX_PROMPTS:
                raise ResourceExhausted(
                    f"You have {MAX_PROMPTS:,} structured prompts, which is the limit. Delete some first."
                )
            _require_prompt_room(connection, prompt)
            models.add_prompt(connection, prompt)
        return prompt

    def get(self, caller: Caller, prompt_id: str) -> Prompt:
        """Return a prompt of the caller; raises NotFound, even if it belongs to somebody else."""
        user_id = _user(caller, Action.LIST)
        with self._database.reading() as connection:
            found = models.get_prompt(connection, user_id, prompt_id)
        return found or _missing(prompt_id)

    def page(self, caller: Caller, words: str, *, start: int, limit: int) -> tuple[Sequence[Prompt], bool]:
        """
        Return up to `limit` prompts of the caller after the first `start`, most recently changed first, without rows.

        Also returns whether there are more. Pages of large prompts are shorter.
        """
        user_id = _user(caller, Action.LIST)
        with self._database.reading() as connection:
            return models.list_prompts(connection, user_id, tuple(words.split()), start=start, limit=limit)

    def update(
        self,
        caller: Caller,
        prompt_id: str,
        *,
        display_name: str | None,
        document: Mapping[str, Any],
        if_update_time: datetime | None = None,
    ) -> Prompt:
        """
        Set the given parts of a prompt's document, and its name unless None; raise NotFound.

        Raises FailedPrecondition if it was changed at another time than `if_update_time`, unless that is None.
        """
        user_id = _user(caller, Action.CREATE)
        if display_name is not None:
            check_display_name(display_name)
        with self._database.writing() as connection:
            found = models.get_prompt(connection, user_id, prompt_id) or _missing(prompt_id)
            if if_update_time not in (None, found.update_time):
                when = found.update_time.isoformat()
                raise FailedPrecondition(f"prompts/{prompt_id} was changed in another place at {when}. Get it again.")
            columns: dict[str, Any] = {
                "display_name": display_name or found.display_name,
                "document": found.document | dict(document),
                "update_time": datetime.now(UTC),
            }
            _require_prompt_room(connection, replace(found, document=columns["document"]))
            models.change_prompt(connection, user_id, prompt_id, columns)
            return models.get_prompt(connection, user_id, prompt_id) or _missing(prompt_id)

    def delete(self, caller: Caller, prompt_id: str) -> None:
        """Delete a prompt of the caller; raise NotFound."""
        user_id = _user(caller, Action.CREATE)
        with self._database.writing() as connection:
            if not models.remove_prompt(connection, user_id, prompt_id):
                _missing(prompt_id)


def _require_prompt_room(connection: Connection, prompt: Prompt) -> None:
    """Raise ResourceExhausted if the documents of a user would take too much with this one."""
    others = models.prompt_bytes(connection, prompt.user_id, except_for=prompt.id)
    if others + len(json.dumps(prompt.document)) > MAX_PROMPT_BYTES:
        raise ResourceExhausted(
            f"Your structured prompts would take more than {MAX_PROMPT_BYTES >> 20} MiB; the others take"
            f" {others / (1 << 20):.1f}. Delete some first."
        )


def _user(caller: Caller, action: Action) -> str:
    require_scope(caller, action)
    return str(caller.user_id)


def _missing(prompt_id: str) -> Prompt:
    raise NotFound(f"Structured prompt prompts/{prompt_id} does not exist.")
