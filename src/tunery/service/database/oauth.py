"""
What the authorization server remembers as rows: clients, authorization codes, device codes.

The caller holds the transaction; a code is used by one statement, so that two at once cannot both succeed.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from tunery.service.accounts.values import AuthorizationCode, Client, DeviceCode
from tunery.service.database.account_tables import authorization_codes, device_codes, oauth_clients


def add_client(connection: Connection, client: Client) -> None:
    """Write down a client."""
    connection.execute(insert(oauth_clients).values(**asdict(client)))


def get_client(connection: Connection, client_id: str) -> Client | None:
    """Return a client; None also if it was revoked."""
    statement = select(oauth_clients).where(oauth_clients.c.id == client_id, oauth_clients.c.revoke_time.is_(None))
    row = connection.execute(statement).mappings().first()
    return None if row is None else _client(row)


def list_clients(connection: Connection) -> list[Client]:
    """Return the clients that were not revoked, newest first."""
    statement = select(oauth_clients).where(oauth_clients.c.revoke_time.is_(None))
    return [
        _client(row) for row in connection.execute(statement.order_by(oauth_clients.c.create_time.desc())).mappings()
    ]


def revoke_client(connection: Connection, client_id: str, now: datetime) -> bool:
    """Revoke a client and with it all its tokens; False if there is none."""
    table = oauth_clients
    statement = update(table).where(table.c.id == client_id, table.c.revoke_time.is_(None))
    return connection.execute(statement.values(revoke_time=now).returning(table.c.id)).first() is not None


def add_code(connection: Connection, code: AuthorizationCode) -> None:
    """Write down an authorization code."""
    connection.execute(insert(authorization_codes).values(**asdict(code)))


def find_code(connection: Connection, sha256: str) -> AuthorizationCode | None:
    """Return the authorization code with this hash, whatever became of it."""
    table = authorization_codes
    row = connection.execute(select(table).where(table.c.sha256 == sha256)).mappings().first()
    return None if row is None else AuthorizationCode(**row)


def use_code(connection: Connection, sha256: str, now: datetime) -> bool:
    """Mark an authorization code as used; False if it was used before or is too old."""
    table = authorization_codes
    statement = update(table).where(table.c.sha256 == sha256, table.c.use_time.is_(None), table.c.expire_time > now)
    return connection.execute(statement.values(use_time=now).returning(table.c.sha256)).first() is not None


def add_device_code(connection: Connection, code: DeviceCode) -> None:
    """Write down a device code."""
    connection.execute(insert(device_codes).values(**asdict(code)))


def find_device_code(connection: Connection, sha256: str) -> DeviceCode | None:
    """Return the device code with this hash, whatever became of it."""
    return _device_code(connection, device_codes.c.sha256 == sha256)


def find_user_code(connection: Connection, user_code_sha256: str, now: datetime) -> DeviceCode | None:
    """Return the device code that waits for this user code; None if it was decided or is too old."""
    table = device_codes
    waits = table.c.is_approved.is_(None) & (table.c.expire_time > now)
    return _device_code(connection, (table.c.user_code_sha256 == user_code_sha256) & waits)


def decide_device_code(connection: Connection, sha256: str, user_id: str, *, is_approved: bool) -> bool:
    """Write down what a user decided; False if somebody did before."""
    table = device_codes
    statement = update(table).where(table.c.sha256 == sha256, table.c.is_approved.is_(None))
    decided = statement.values(user_id=user_id, is_approved=is_approved).returning(table.c.sha256)
    return connection.execute(decided).first() is not None


def note_poll(connection: Connection, sha256: str, now: datetime, interval_seconds: int) -> None:
    """Write down when a device asked, and how long it must wait from now on."""
    statement = update(device_codes).where(device_codes.c.sha256 == sha256)
    connection.execute(statement.values(poll_time=now, interval_seconds=interval_seconds))


def use_device_code(connection: Connection, sha256: str, now: datetime) -> bool:
    """Mark an approved device code as used; False if it was used before or is too old."""
    table = device_codes
    fresh = table.c.use_time.is_(None) & table.c.is_approved.is_(True) & (table.c.expire_time > now)
    statement = update(table).where(table.c.sha256 == sha256, fresh)
    return connection.execute(statement.values(use_time=now).returning(table.c.sha256)).first() is not None


def _client(row: Any) -> Client:
    lists = {name: tuple(row[name]) for name in ("redirect_uris", "grant_types")}
    return Client(**dict(row) | lists)


def _device_code(connection: Connection, which: Any) -> DeviceCode | None:
    row = connection.execute(select(device_codes).where(which)).mappings().first()
    return None if row is None else DeviceCode(**row)
