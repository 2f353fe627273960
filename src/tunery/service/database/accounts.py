"""
Users and groups as rows: made, found, listed, changed.

The caller holds the transaction. What users prove themselves with is in `tokens.py`, `keys.py` and `sessions.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from tunery.service.accounts.values import Group, User
from tunery.service.database.account_tables import group_members, groups, users


def add_user(connection: Connection, user_id: str, password_hash: str | None, *, is_admin: bool, now: datetime) -> bool:
    """Write down a user; False if there is one with this id."""
    if get_user(connection, user_id) is not None:
        return False
    values = {"id": user_id, "password_hash": password_hash, "is_admin": is_admin, "create_time": now}
    connection.execute(insert(users).values(values))
    return True


def get_user(connection: Connection, user_id: str) -> User | None:
    """Return a user."""
    row = connection.execute(select(users).where(users.c.id == user_id)).first()
    return None if row is None else _user(row)


def list_users(connection: Connection) -> list[User]:
    """Return all users by their ids."""
    return [_user(row) for row in connection.execute(select(users).order_by(users.c.id))]


def password_hash(connection: Connection, user_id: str) -> str | None:
    """Return the hash of a user's password; None also for a user that is disabled or not there."""
    statement = select(users.c.password_hash).where(users.c.id == user_id, ~users.c.is_disabled)
    found: str | None = connection.scalar(statement)
    return found


def change_user(connection: Connection, user_id: str, **values: object) -> bool:
    """Set columns of a user; False if there is none."""
    statement = update(users).where(users.c.id == user_id).values(**values).returning(users.c.id)
    return connection.execute(statement).first() is not None


def add_group(connection: Connection, group_id: str, now: datetime) -> None:
    """Write down a group if there is none with this id."""
    if connection.scalar(select(groups.c.id).where(groups.c.id == group_id)) is None:
        connection.execute(insert(groups).values(id=group_id, create_time=now))


def set_members(connection: Connection, group_id: str, user_ids: Iterable[str]) -> None:
    """Make these users, who must exist, the members of a group."""
    connection.execute(delete(group_members).where(group_members.c.group_id == group_id))
    rows = [{"group_id": group_id, "user_id": user_id} for user_id in user_ids]
    if rows:
        connection.execute(insert(group_members), rows)


def remove_group(connection: Connection, group_id: str) -> bool:
    """Delete a group; False if there is none."""
    return connection.execute(delete(groups).where(groups.c.id == group_id).returning(groups.c.id)).first() is not None


def list_groups(connection: Connection) -> list[Group]:
    """Return all groups with their members."""
    members: dict[str, list[str]] = {}
    for row in connection.execute(select(group_members).order_by(group_members.c.user_id)):
        members.setdefault(row.group_id, []).append(row.user_id)
    found = connection.execute(select(groups).order_by(groups.c.id))
    return [Group(row.id, tuple(members.get(row.id, ())), row.create_time) for row in found]


def groups_of(connection: Connection, user_id: str) -> frozenset[str]:
    """Return the ids of the groups that a user is in."""
    return frozenset(connection.scalars(select(group_members.c.group_id).where(group_members.c.user_id == user_id)))


def _user(row: Row[Any]) -> User:
    return User(row.id, row.is_admin, row.is_disabled, row.password_hash is not None, row.create_time)
