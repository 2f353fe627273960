"""
API keys and the public halves of key files as rows: made, found by what is kept of them, listed, revoked.

The caller holds the transaction.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, insert, select, update

from tunery.service.accounts.values import ApiKey, ServiceAccountKey
from tunery.service.database.account_tables import api_keys, service_account_keys, users


def add_api_key(connection: Connection, key: ApiKey, sha256: str) -> None:
    """Write down an API key."""
    connection.execute(insert(api_keys).values(sha256=sha256, **asdict(key)))


def find_api_key(connection: Connection, sha256: str) -> ApiKey | None:
    """Return the key with this hash; None also if it was revoked or its user is disabled."""
    statement = select(api_keys).where(api_keys.c.sha256 == sha256, api_keys.c.revoke_time.is_(None))
    disabled = select(users.c.id).where(users.c.is_disabled)
    allowed = api_keys.c.user_id.is_(None) | api_keys.c.user_id.not_in(disabled)
    row = connection.execute(statement.where(allowed)).mappings().first()
    return None if row is None else _api_key(row)


def list_api_keys(connection: Connection) -> list[ApiKey]:
    """Return the API keys, newest first; those that were revoked are left out."""
    statement = select(api_keys).where(api_keys.c.revoke_time.is_(None)).order_by(api_keys.c.create_time.desc())
    return [_api_key(row) for row in connection.execute(statement).mappings()]


def add_service_account_key(connection: Connection, key: ServiceAccountKey) -> None:
    """Write down the public half of a key file."""
    connection.execute(insert(service_account_keys).values(**asdict(key)))


def find_service_account_key(connection: Connection, key_id: str) -> ServiceAccountKey | None:
    """Return the key with this id; None also if it was revoked or its user is disabled."""
    table = service_account_keys
    enabled = select(users.c.id).where(~users.c.is_disabled)
    statement = select(table).where(table.c.id == key_id, table.c.revoke_time.is_(None), table.c.user_id.in_(enabled))
    row = connection.execute(statement).mappings().first()
    return None if row is None else ServiceAccountKey(**row)


def list_service_account_keys(connection: Connection) -> list[ServiceAccountKey]:
    """Return the keys of key files, newest first; those that were revoked are left out."""
    table = service_account_keys
    statement = select(table).where(table.c.revoke_time.is_(None)).order_by(table.c.create_time.desc())
    return [ServiceAccountKey(**row) for row in connection.execute(statement).mappings()]


def revoke(connection: Connection, key_id: str, now: datetime) -> bool:
    """Revoke an API key or the key of a key file; False if there is none with this id."""
    tables = (api_keys, service_account_keys)
    return any(_set_once(connection, table, key_id, now) for table in tables)


def note_use(connection: Connection, key: ApiKey | ServiceAccountKey, now: datetime) -> None:
    """Write down when a key was last used."""
    table = api_keys if isinstance(key, ApiKey) else service_account_keys
    connection.execute(update(table).where(table.c.id == key.id).values(last_use_time=now))


def _set_once(connection: Connection, table: Table, key_id: str, now: datetime) -> bool:
    statement = update(table).where(table.c.id == key_id, table.c.revoke_time.is_(None))
    return connection.execute(statement.values(revoke_time=now).returning(table.c.id)).first() is not None


def _api_key(row: Any) -> ApiKey:
    return ApiKey(**{name: value for name, value in row.items() if name != "sha256"})
