"""
Browsers that are signed in, and set-up links, as rows.

The caller holds the transaction; a link is used by one statement, so that it opens the door once.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from tunery.service.accounts.values import Session
from tunery.service.database.account_tables import (
    authorization_codes,
    device_codes,
    sessions,
    setup_links,
    tokens,
    users,
)


def add(connection: Connection, session: Session) -> None:
    """Write down a session."""
    connection.execute(insert(sessions).values(**asdict(session)))


def find_valid(connection: Connection, sha256: str, now: datetime, idle_since: datetime) -> Session | None:
    """Return the session with this hash unless it is over, was idle for too long, or its user is disabled."""
    statement = select(sessions).where(
        sessions.c.sha256 == sha256,
        sessions.c.expire_time > now,
        sessions.c.last_use_time > idle_since,
        sessions.c.revoke_time.is_(None),
        sessions.c.user_id.in_(select(users.c.id).where(~users.c.is_disabled)),
    )
    row = connection.execute(statement).mappings().first()
    return None if row is None else Session(**row)


def note_use(connection: Connection, sha256: str, now: datetime) -> None:
    """Write down when a session was last used."""
    connection.execute(update(sessions).where(sessions.c.sha256 == sha256).values(last_use_time=now))


def revoke(connection: Connection, sha256: str, now: datetime) -> None:
    """Sign a browser out."""
    connection.execute(update(sessions).where(sessions.c.sha256 == sha256).values(revoke_time=now))


def revoke_of_user(connection: Connection, user_id: str, now: datetime) -> None:
    """Sign all browsers of a user out."""
    statement = update(sessions).where(sessions.c.user_id == user_id, sessions.c.revoke_time.is_(None))
    connection.execute(statement.values(revoke_time=now))


def add_setup_link(connection: Connection, sha256: str, user_id: str, expire_time: datetime) -> None:
    """Write down a set-up link; earlier ones of this user end."""
    connection.execute(delete(setup_links).where(setup_links.c.user_id == user_id))
    connection.execute(insert(setup_links).values(sha256=sha256, user_id=user_id, expire_time=expire_time))


def use_setup_link(connection: Connection, sha256: str, now: datetime) -> str | None:
    """Mark a set-up link as used and return its user; None if there is none that can be used."""
    table = setup_links
    enabled = select(users.c.id).where(~users.c.is_disabled)
    good = table.c.use_time.is_(None) & (table.c.expire_time > now) & table.c.user_id.in_(enabled)
    statement = update(table).where(table.c.sha256 == sha256, good).values(use_time=now).returning(table.c.user_id)
    user_id: str | None = connection.scalar(statement)
    return user_id


def forget_what_ended(connection: Connection, before: datetime) -> None:
    """Delete what ended before a time: nobody can use it, and what it says of people shall not stay."""
    for table in (sessions, setup_links, authorization_codes, device_codes, tokens):
        connection.execute(delete(table).where(table.c.expire_time < before))
