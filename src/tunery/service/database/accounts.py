"""
Users, groups, credentials, and the clients and codes of OAuth as rows. The caller holds the transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, RowMapping, Table, and_, delete, func, insert, select, update

from tunery.service.accounts.values import (
    AuthorizationCode,
    Client,
    Credential,
    DeviceCode,
    Group,
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
    """Add a user; return False if the id is taken."""
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
    """Return all users, ordered by id."""
    return [_user(row) for row in connection.execute(select(users).order_by(users.c.id))]


def password_hash(connection: Connection, user_id: str) -> str | None:
    """Return the hash of a user's password; None if there is none, or if the user is disabled or unknown."""
    statement = select(users.c.password_hash).where(users.c.id == user_id, ~users.c.is_disabled)
    found: str | None = connection.scalar(statement)
    return found


def change_user(connection: Connection, user_id: str, **values: object) -> None:
    """Set columns of a user."""
    connection.execute(update(users).where(users.c.id == user_id).values(**values))


def set_group(connection: Connection, group_id: str, user_ids: Iterable[str], now: datetime) -> None:
    """Make these existing users the members of a group; add the group if it is new."""
    if connection.scalar(select(groups.c.id).where(groups.c.id == group_id)) is None:
        connection.execute(insert(groups).values(id=group_id, create_time=now))
    connection.execute(delete(group_members).where(group_members.c.group_id == group_id))
    rows = [{"group_id": group_id, "user_id": user_id} for user_id in user_ids]
    if rows:
        connection.execute(insert(group_members), rows)


def remove_group(connection: Connection, group_id: str) -> bool:
    """Delete a group; return False if there is none."""
    return connection.execute(delete(groups).where(groups.c.id == group_id).returning(groups.c.id)).first() is not None


def list_groups(connection: Connection) -> list[Group]:
    """Return all groups with their members."""
    members: dict[str, list[str]] = {}
    for row in connection.execute(select(group_members).order_by(group_members.c.user_id)):
        members.setdefault(row.group_id, []).append(row.user_id)
    found = connection.execute(select(groups).order_by(groups.c.id))
    return [Group(row.id, tuple(members.get(row.id, ())), row.create_time) for row in found]


def groups_of(connection: Connection, user_id: str) -> frozenset[str]:
    """Return the ids of the groups a user is in."""
    return frozenset(connection.scalars(select(group_members.c.group_id).where(group_members.c.user_id == user_id)))


def _user(row: Row[Any]) -> User:
    return User(row.id, row.is_admin, row.is_disabled, row.password_hash is not None, row.create_time)


_TABLES = {
    TokenKind.ACCESS: tokens,
    TokenKind.REFRESH: tokens,
    TokenKind.PLAIN: tokens,
    TokenKind.KEY: api_keys,
    TokenKind.SESSION: sessions,
}


def add_credential(connection: Connection, credential: Credential, sha256: str | None = None) -> None:
    """Add a credential with the SHA-256 of its secret; a key file has none."""
    values = asdict(credential) | {"kind": credential.kind.name, "sha256": sha256}
    table = _table(credential)
    connection.execute(
        insert(table).values({column.key: values[column.key] for column in table.c if column.key in values})
    )


def find_credential(connection: Connection, kind: TokenKind, sha256: str, now: datetime) -> Credential | None:
    """Return the credential with this hash if it is valid."""
    return _found(connection, _TABLES[kind], _TABLES[kind].c.sha256 == sha256, now)


def find_key_file(connection: Connection, key_id: str, now: datetime) -> Credential | None:
    """Return the key file with this id if it is valid."""
    return _found(connection, service_account_keys, service_account_keys.c.id == key_id, now)


def list_keys(connection: Connection, now: datetime) -> list[Credential]:
    """Return the API keys, then the key files, newest first, without the revoked ones."""
    return [key for table in (api_keys, service_account_keys) for key in _listed(connection, table, _open(table, now))]


def list_tokens(connection: Connection, now: datetime) -> list[Credential]:
    """Return the plain and refresh tokens that can be used, newest first."""
    return _listed(connection, tokens, _open(tokens, now) & (tokens.c.kind != TokenKind.ACCESS.name))


def note_use(connection: Connection, credential: Credential, now: datetime) -> None:
    """Set when a credential was last used."""
    table = _table(credential)
    _change(connection, table, next(iter(table.primary_key)) == credential.id, last_use_time=now)


def replace_token(connection: Connection, token_id: str, now: datetime) -> bool:
    """Mark a refresh token as exchanged; return False if it has already been exchanged or revoked."""
    unused = tokens.c.replace_time.is_(None) & tokens.c.revoke_time.is_(None)
    return _change(connection, tokens, unused & (tokens.c.id == token_id), replace_time=now)


def replaced_sign_in(connection: Connection, sha256: str, client_id: str) -> str | None:
    """Return the sign-in of a client's refresh token if the token was exchanged before."""
    mine = (tokens.c.sha256 == sha256) & (tokens.c.client_id == client_id) & tokens.c.replace_time.is_not(None)
    sign_in: str | None = connection.scalar(select(tokens.c.sign_in).where(mine))
    return sign_in


def sign_in_of(connection: Connection, token_id: str) -> str | None:
    """Return the sign-in of the token with this id."""
    sign_in: str | None = connection.scalar(select(tokens.c.sign_in).where(tokens.c.id == token_id))
    return sign_in


def revoke_tokens(connection: Connection, now: datetime, **which: str) -> None:
    """Revoke the tokens with this `id`, `sign_in` or `user_id`."""
    _revoke(connection, tokens, now, **which)


def revoke_sessions(connection: Connection, now: datetime, **which: str) -> None:
    """End the browser sessions with this `sha256` or `user_id`."""
    _revoke(connection, sessions, now, **which)


def revoke_key(connection: Connection, key_id: str, now: datetime) -> bool:
    """Revoke an API key or a key file; return False if there is none with this id."""
    return any(_revoke(connection, table, now, id=key_id) for table in (api_keys, service_account_keys))


def add_setup_link(connection: Connection, sha256: str, user_id: str, expire_time: datetime) -> None:
    """Add a set-up link; earlier ones of this user end."""
    connection.execute(delete(setup_links).where(setup_links.c.user_id == user_id))
    connection.execute(insert(setup_links).values(sha256=sha256, user_id=user_id, expire_time=expire_time))


def find_setup_link(connection: Connection, sha256: str, now: datetime) -> str | None:
    """Return the user of a set-up link that can be used, None if there is none."""
    statement = select(setup_links.c.user_id).where(setup_links.c.sha256 == sha256, _valid(setup_links, now))
    user_id: str | None = connection.scalar(statement)
    return user_id


def use_setup_link(connection: Connection, sha256: str, now: datetime) -> str | None:
    """Mark a set-up link as used and return its user, None if it is not valid."""
    statement = update(setup_links).where(setup_links.c.sha256 == sha256, _valid(setup_links, now))
    user_id: str | None = connection.scalar(statement.values(use_time=now).returning(setup_links.c.user_id))
    return user_id


def delete_ended(connection: Connection, before: datetime) -> None:
    """Delete rows that expired before a time, because they are useless and contain data about people."""
    for table in (sessions, setup_links, authorization_codes, device_codes, tokens):
        connection.execute(delete(table).where(table.c.expire_time < before))


def add_client(connection: Connection, client: Client) -> None:
    """Add a client."""
    connection.execute(insert(oauth_clients).values(**asdict(client)))


def get_client(connection: Connection, client_id: str) -> Client | None:
    """Return a client, None if there is none or it was revoked."""
    return next(iter(_clients(connection, oauth_clients.c.id == client_id)), None)


def list_clients(connection: Connection) -> list[Client]:
    """Return the clients that were not revoked, newest first."""
    return _clients(connection)


def revoke_client(connection: Connection, client_id: str, now: datetime) -> bool:
    """Revoke a client, which invalidates its tokens; return False if there is none."""
    return _revoke(connection, oauth_clients, now, id=client_id)


def add_code(connection: Connection, code: AuthorizationCode | DeviceCode) -> None:
    """Add an authorization code or a device code."""
    connection.execute(insert(_code_table(code)).values(asdict(code)))


def find_authorization_code(connection: Connection, sha256: str) -> AuthorizationCode | None:
    """Return the authorization code with this hash, used and expired ones included."""
    row = _row(connection, authorization_codes, authorization_codes.c.sha256 == sha256)
    return None if row is None else AuthorizationCode(**row)


def find_device_code(connection: Connection, sha256: str) -> DeviceCode | None:
    """Return the device code with this hash, used and expired ones included."""
    row = _row(connection, device_codes, device_codes.c.sha256 == sha256)
    return None if row is None else DeviceCode(**row)


def find_user_code(connection: Connection, user_code_sha256: str, now: datetime) -> DeviceCode | None:
    """Return the device code that waits for this user code, None if it was decided or has expired."""
    waits = device_codes.c.is_approved.is_(None) & (device_codes.c.expire_time > now)
    row = _row(connection, device_codes, (device_codes.c.user_code_sha256 == user_code_sha256) & waits)
    return None if row is None else DeviceCode(**row)


def waiting_devices(connection: Connection, now: datetime) -> int:
    """Return the number of device codes that are undecided and have not expired."""
    waits = device_codes.c.is_approved.is_(None) & (device_codes.c.expire_time > now)
    return connection.scalar(select(func.count()).select_from(device_codes).where(waits)) or 0


def delete_devices(connection: Connection, before: datetime) -> None:
    """Delete the device codes that expired before a time."""
    connection.execute(delete(device_codes).where(device_codes.c.expire_time < before))


def decide_device_code(connection: Connection, sha256: str, user_id: str, *, is_approved: bool) -> None:
    """Set what a user decided; the first decision stands."""
    waits = (device_codes.c.sha256 == sha256) & device_codes.c.is_approved.is_(None)
    _change(connection, device_codes, waits, user_id=user_id, is_approved=is_approved)


def note_poll(connection: Connection, sha256: str, now: datetime, interval_seconds: int) -> None:
    """Set when a device last polled, and how long it has to wait from now on."""
    mine = device_codes.c.sha256 == sha256
    _change(connection, device_codes, mine, poll_time=now, interval_seconds=interval_seconds)


def use_code(connection: Connection, code: AuthorizationCode | DeviceCode, now: datetime) -> bool:
    """Mark a code as used; return False if it was used before, has expired or its device was not approved."""
    table = _code_table(code)
    good = (table.c.sha256 == code.sha256) & _open(table, now)
    if table is device_codes:
        good &= device_codes.c.is_approved.is_(True)
    return _change(connection, table, good, use_time=now)


def _table(credential: Credential) -> Table:
    return service_account_keys if credential.public_key is not None else _TABLES[credential.kind]


def _code_table(code: AuthorizationCode | DeviceCode) -> Table:
    return authorization_codes if isinstance(code, AuthorizationCode) else device_codes


def _found(connection: Connection, table: Table, which: ColumnElement[bool], now: datetime) -> Credential | None:
    return next(iter(_listed(connection, table, which & _valid(table, now))), None)


def _listed(connection: Connection, table: Table, which: ColumnElement[bool]) -> list[Credential]:
    statement = select(table).where(which).order_by(table.c.create_time.desc())
    return [_credential(table, row) for row in connection.execute(statement).mappings()]


def _credential(table: Table, row: RowMapping) -> Credential:
    values: dict[str, Any] = {c.key: row[c] for c in table.c if c.key in Credential.__dataclass_fields__}
    kind = TokenKind[row["kind"]] if table is tokens else TokenKind.SESSION if table is sessions else TokenKind.KEY
    return Credential(**{"id": row.get("sha256"), **values, "kind": kind})


def _clients(connection: Connection, *which: ColumnElement[bool]) -> list[Client]:
    statement = select(oauth_clients).where(oauth_clients.c.revoke_time.is_(None), *which)
    rows = connection.execute(statement.order_by(oauth_clients.c.create_time.desc())).mappings()
    lists = ("redirect_uris", "grant_types")
    return [Client(**dict(row) | {name: tuple(row[name]) for name in lists}) for row in rows]


def _row(connection: Connection, table: Table, which: ColumnElement[bool]) -> dict[str, Any] | None:
    row = connection.execute(select(table).where(which)).mappings().first()
    return None if row is None else {column.key: row[column] for column in table.c}


def _valid(table: Table, now: datetime) -> ColumnElement[bool]:
    """Return the condition that a credential is valid, its user not disabled and its client not revoked."""
    disabled = select(users.c.id).where(users.c.is_disabled)
    conditions = [_open(table, now), table.c.user_id.is_(None) | table.c.user_id.not_in(disabled)]
    if "client_id" in table.c:
        revoked = select(oauth_clients.c.id).where(oauth_clients.c.revoke_time.is_not(None))
        conditions.append(table.c.client_id.is_(None) | table.c.client_id.not_in(revoked))
    return and_(*conditions)


def _open(table: Table, now: datetime) -> ColumnElement[bool]:
    """Return the condition that a row was not revoked, exchanged or used, and has not expired."""
    ends = (name for name in ("revoke_time", "replace_time", "use_time") if name in table.c)
    conditions: list[ColumnElement[bool]] = [table.c[name].is_(None) for name in ends]
    if "expire_time" in table.c:
        conditions.append(table.c.expire_time > now)
    return and_(*conditions)


def _revoke(connection: Connection, table: Table, now: datetime, **which: str) -> bool:
    assert which, "without a condition everybody would be signed out"
    conditions = [table.c[name] == value for name, value in which.items()]
    return _change(connection, table, and_(*conditions, table.c.revoke_time.is_(None)), revoke_time=now)


def _change(connection: Connection, table: Table, which: ColumnElement[bool], **values: object) -> bool:
    """Set columns of the rows that meet a condition; return whether there were any."""
    return connection.execute(update(table).where(which).values(**values)).rowcount > 0
