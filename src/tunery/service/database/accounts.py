"""
Users and groups as rows: made, found, listed, changed.

The caller holds the transaction. What users prove themselves with is in `tokens.py`, `keys.py` and `sessions.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Table, delete, insert, or_, select, update

from tunery.service.account_values import (
    ApiKey,
    AuthorizationCode,
    Client,
    DeviceCode,
    Group,
    ServiceAccountKey,
    Session,
    Token,
    TokenKind,
    User,
)
from tunery.service.database.tables import (
    api_keys,
    authorization_codes,
    device_codes,
    group_members,
    groups,
    oauth_clients,
    service_account_keys,
    sessions,
    setup_links,
    tokens,
    users,
)


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


def revoke_key(connection: Connection, key_id: str, now: datetime) -> bool:
    """Revoke an API key or the key of a key file; False if there is none with this id."""
    tables = (api_keys, service_account_keys)
    return any(_set_once(connection, table, key_id, now) for table in tables)


def note_key_use(connection: Connection, key: ApiKey | ServiceAccountKey, now: datetime) -> None:
    """Write down when a key was last used."""
    table = api_keys if isinstance(key, ApiKey) else service_account_keys
    connection.execute(update(table).where(table.c.id == key.id).values(last_use_time=now))


def _set_once(connection: Connection, table: Table, key_id: str, now: datetime) -> bool:
    statement = update(table).where(table.c.id == key_id, table.c.revoke_time.is_(None))
    return connection.execute(statement.values(revoke_time=now).returning(table.c.id)).first() is not None


def _api_key(row: Any) -> ApiKey:
    return ApiKey(**{name: value for name, value in row.items() if name != "sha256"})


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


def add_session(connection: Connection, session: Session) -> None:
    """Write down a session."""
    connection.execute(insert(sessions).values(**asdict(session)))


def find_session(connection: Connection, sha256: str, now: datetime, idle_since: datetime) -> Session | None:
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


def note_session_use(connection: Connection, sha256: str, now: datetime) -> None:
    """Write down when a session was last used."""
    connection.execute(update(sessions).where(sessions.c.sha256 == sha256).values(last_use_time=now))


def revoke_session(connection: Connection, sha256: str, now: datetime) -> None:
    """Sign a browser out."""
    connection.execute(update(sessions).where(sessions.c.sha256 == sha256).values(revoke_time=now))


def revoke_sessions_of_user(connection: Connection, user_id: str, now: datetime) -> None:
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


def forget_ended_sessions(connection: Connection, before: datetime) -> None:
    """Delete what ended before a time: nobody can use it, and what it says of people shall not stay."""
    for table in (sessions, setup_links, authorization_codes, device_codes, tokens):
        connection.execute(delete(table).where(table.c.expire_time < before))


def add_token(connection: Connection, token: Token, sha256: str) -> None:
    """Write down a token."""
    connection.execute(insert(tokens).values(sha256=sha256, **asdict(token)))


def find_token(connection: Connection, sha256: str) -> Token | None:
    """Return the token with this hash, whatever became of it."""
    row = connection.execute(select(tokens).where(tokens.c.sha256 == sha256)).mappings().first()
    return None if row is None else _token(row)


def find_valid_token(connection: Connection, sha256: str, now: datetime) -> Token | None:
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


def list_tokens(connection: Connection, now: datetime) -> list[Token]:
    """Return what signs users in for long: plain and refresh tokens that are good, newest first."""
    statement = select(tokens).where(
        tokens.c.kind != TokenKind.ACCESS,
        tokens.c.expire_time > now,
        tokens.c.revoke_time.is_(None),
        tokens.c.replace_time.is_(None),
    )
    return [_token(row) for row in connection.execute(statement.order_by(tokens.c.create_time.desc())).mappings()]


def replace_token(connection: Connection, token_id: str, now: datetime) -> bool:
    """Mark a refresh token as exchanged; False if it was before, or was revoked."""
    statement = update(tokens).where(
        tokens.c.id == token_id, tokens.c.replace_time.is_(None), tokens.c.revoke_time.is_(None)
    )
    return connection.execute(statement.values(replace_time=now).returning(tokens.c.id)).first() is not None


def note_token_use(connection: Connection, token_id: str, now: datetime) -> None:
    """Write down when a token was last used."""
    connection.execute(update(tokens).where(tokens.c.id == token_id).values(last_use_time=now))


def revoke_token_family(connection: Connection, family: str, now: datetime) -> None:
    """Revoke all tokens that follow from one sign-in."""
    _revoke(connection, tokens.c.family == family, now)


def revoke_token(connection: Connection, token_id: str, now: datetime) -> None:
    """Revoke a single token."""
    _revoke(connection, tokens.c.id == token_id, now)


def revoke_tokens_of_user(connection: Connection, user_id: str, now: datetime) -> None:
    """Revoke all tokens of a user."""
    _revoke(connection, tokens.c.user_id == user_id, now)


def token_family(connection: Connection, token_id: str) -> str | None:
    """Return the family of the token with this id."""
    family: str | None = connection.scalar(select(tokens.c.family).where(tokens.c.id == token_id))
    return family


def _revoke(connection: Connection, which: Any, now: datetime) -> None:
    connection.execute(update(tokens).where(which, tokens.c.revoke_time.is_(None)).values(revoke_time=now))


def _token(row: Any) -> Token:
    values = {name: value for name, value in row.items() if name != "sha256"}
    return Token(**values | {"kind": TokenKind(row["kind"])})
