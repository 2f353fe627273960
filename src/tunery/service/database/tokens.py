"""
Tokens as rows: made, found by what is kept of them, exchanged once, revoked with their family.

The caller holds the transaction.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, or_, select, update

from tunery.service.accounts.values import Token, TokenKind
from tunery.service.database.account_tables import oauth_clients, tokens, users


def add(connection: Connection, token: Token, sha256: str) -> None:
    """Write down a token."""
    connection.execute(insert(tokens).values(sha256=sha256, **asdict(token)))


def find(connection: Connection, sha256: str) -> Token | None:
    """Return the token with this hash, whatever became of it."""
    row = connection.execute(select(tokens).where(tokens.c.sha256 == sha256)).mappings().first()
    return None if row is None else _token(row)


def find_valid(connection: Connection, sha256: str, now: datetime) -> Token | None:
    """Return the token with this hash unless it, its client or its user has lost the right to be here."""
    revoked = select(oauth_clients.c.id).where(oauth_clients.c.revoke_time.is_not(None))
    statement = select(tokens).where(
        tokens.c.sha256 == sha256,
        tokens.c.expire_time > now,
        tokens.c.revoke_time.is_(None),
        tokens.c.replace_time.is_(None),
        tokens.c.user_id.in_(select(users.c.id).where(~users.c.is_disabled)),
        or_(tokens.c.client_id.is_(None), tokens.c.client_id.not_in(revoked)),
    )
    row = connection.execute(statement).mappings().first()
    return None if row is None else _token(row)


def listed(connection: Connection, now: datetime) -> list[Token]:
    """Return what signs users in for long: plain and refresh tokens that are good, newest first."""
    statement = select(tokens).where(
        tokens.c.kind != TokenKind.ACCESS,
        tokens.c.expire_time > now,
        tokens.c.revoke_time.is_(None),
        tokens.c.replace_time.is_(None),
    )
    return [_token(row) for row in connection.execute(statement.order_by(tokens.c.create_time.desc())).mappings()]


def replace(connection: Connection, token_id: str, now: datetime) -> bool:
    """Mark a refresh token as exchanged; False if it was before, or was revoked."""
    statement = update(tokens).where(
        tokens.c.id == token_id, tokens.c.replace_time.is_(None), tokens.c.revoke_time.is_(None)
    )
    return connection.execute(statement.values(replace_time=now).returning(tokens.c.id)).first() is not None


def note_use(connection: Connection, token_id: str, now: datetime) -> None:
    """Write down when a token was last used."""
    connection.execute(update(tokens).where(tokens.c.id == token_id).values(last_use_time=now))


def revoke_family(connection: Connection, family: str, now: datetime) -> None:
    """Revoke all tokens that follow from one sign-in."""
    _revoke(connection, tokens.c.family == family, now)


def revoke_one(connection: Connection, token_id: str, now: datetime) -> None:
    """Revoke a single token."""
    _revoke(connection, tokens.c.id == token_id, now)


def revoke_of_user(connection: Connection, user_id: str, now: datetime) -> None:
    """Revoke all tokens of a user."""
    _revoke(connection, tokens.c.user_id == user_id, now)


def family_of(connection: Connection, token_id: str) -> str | None:
    """Return the family of the token with this id."""
    family: str | None = connection.scalar(select(tokens.c.family).where(tokens.c.id == token_id))
    return family


def _revoke(connection: Connection, which: Any, now: datetime) -> None:
    connection.execute(update(tokens).where(which, tokens.c.revoke_time.is_(None)).values(revoke_time=now))


def _token(row: Any) -> Token:
    values = {name: value for name, value in row.items() if name != "sha256"}
    return Token(**values | {"kind": TokenKind(row["kind"])})
