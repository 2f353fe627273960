"""
Structured prompts as rows: made, found, listed, changed, deleted; each belongs to one user.

The caller holds the transaction. What a document holds is said in `server/wire/prompts.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select, update

from tunery.service.database.account_tables import prompts
from tunery.service.values import Prompt

_table = prompts.c


def add(connection: Connection, prompt: Prompt) -> None:
    """Write down a prompt."""
    connection.execute(insert(prompts).values(**asdict(prompt)))


def get(connection: Connection, user_id: str, prompt_id: str) -> Prompt | None:
    """Return a prompt of a user; None also if it belongs to somebody else."""
    row = connection.execute(_of(user_id).where(_table.id == prompt_id)).mappings().first()
    return None if row is None else Prompt(**row)


def page(connection: Connection, user_id: str, words: tuple[str, ...], *, start: int, limit: int) -> list[Prompt]:
    """Return prompts of a user from place `start` on, changed last first; every word must be in the name."""
    statement = _of(user_id)
    for word in words:
        statement = statement.where(_table.display_name.icontains(word, autoescape=True))
    ordered = statement.order_by(_table.update_time.desc(), _table.id).offset(start).limit(limit)
    return [Prompt(**row) for row in connection.execute(ordered).mappings()]


def count(connection: Connection, user_id: str) -> int:
    """Return how many prompts a user has."""
    return connection.scalar(select(func.count()).select_from(prompts).where(_table.user_id == user_id)) or 0


def change(connection: Connection, user_id: str, prompt_id: str, columns: Mapping[str, Any]) -> bool:
    """Set columns of a prompt of a user; False if there is none."""
    mine = (_table.user_id == user_id) & (_table.id == prompt_id)
    result = connection.execute(update(prompts).where(mine).values(**columns).returning(_table.id))
    return result.first() is not None


def remove(connection: Connection, user_id: str, prompt_id: str) -> bool:
    """Delete a prompt of a user; False if there is none."""
    mine = (_table.user_id == user_id) & (_table.id == prompt_id)
    return connection.execute(delete(prompts).where(mine).returning(_table.id)).first() is not None


def _of(user_id: str) -> Select[Any]:
    return select(prompts).where(_table.user_id == user_id)
