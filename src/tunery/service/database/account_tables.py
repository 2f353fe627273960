"""
The tables of accounts, as SQLAlchemy Core sees them: users, groups, and everything they prove themselves with.

Secrets are never here, only their SHA-256 (passwords: Argon2id). `migrations/` makes the same tables step by step.
"""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, ForeignKey, Index, Integer, Table, Text, false

from tunery.service.database.tables import UtcDateTime, metadata, one_of


def _user(*, nullable: bool = False) -> Column[str]:
    return Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=nullable)


def _client() -> Column[str]:
    return Column("client_id", Text, ForeignKey("oauth_clients.id", ondelete="CASCADE"), nullable=False)


users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),  # the address in lower case, or "local"
    Column("password_hash", Text),
    Column("is_admin", Boolean, nullable=False, server_default=false()),
    Column("is_disabled", Boolean, nullable=False, server_default=false()),
    Column("create_time", UtcDateTime, nullable=False),
)

groups = Table(
    "groups",
    metadata,
    Column("id", Text, primary_key=True),  # the address in lower case
    Column("create_time", UtcDateTime, nullable=False),
)

group_members = Table(
    "group_members",
    metadata,
    Column("group_id", Text, ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Index(None, "user_id"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("sha256", Text, nullable=False, unique=True),
    Column("label", Text, nullable=False),
    _user(nullable=True),
    Column("create_time", UtcDateTime, nullable=False),
    Column("last_use_time", UtcDateTime),
    Column("revoke_time", UtcDateTime),
)

service_account_keys = Table(
    "service_account_keys",
    metadata,
    Column("id", Text, primary_key=True),  # `kid` of the tokens that it signs
    Column("address", Text, nullable=False),  # `iss` and `sub` of the tokens that it signs
    Column("public_key", Text, nullable=False),  # PEM; the other half is in the user's key file only
    Column("label", Text, nullable=False),
    _user(),
    Column("create_time", UtcDateTime, nullable=False),
    Column("last_use_time", UtcDateTime),
    Column("revoke_time", UtcDateTime),
)

oauth_clients = Table(
    "oauth_clients",
    metadata,
    Column("id", Text, primary_key=True),
    Column("secret_sha256", Text),  # empty for a public client
    Column("name", Text, nullable=False),
    Column("redirect_uris", JSON, nullable=False),
    Column("grant_types", JSON, nullable=False),
    Column("access_seconds", Integer, nullable=False),  # how long its access tokens live
    _user(nullable=True),  # whose login made it
    Column("create_time", UtcDateTime, nullable=False),
    Column("revoke_time", UtcDateTime),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("sha256", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("family", Text, nullable=False),  # of all tokens that follow from one sign-in
    Column("client_id", Text, ForeignKey("oauth_clients.id", ondelete="CASCADE")),
    _user(),
    Column("scope", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    Column("expire_time", UtcDateTime, nullable=False),
    Column("last_use_time", UtcDateTime),
    Column("replace_time", UtcDateTime),  # a refresh token that was exchanged for the next one
    Column("revoke_time", UtcDateTime),
    one_of("kind", ("ACCESS", "REFRESH", "PLAIN")),
    Index(None, "family"),
    Index(None, "user_id"),
)

authorization_codes = Table(
    "authorization_codes",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("family", Text, nullable=False),
    _client(),
    _user(),
    Column("redirect_uri", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("code_challenge", Text, nullable=False),
    Column("expire_time", UtcDateTime, nullable=False),
    Column("use_time", UtcDateTime),
)

device_codes = Table(
    "device_codes",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("user_code_sha256", Text, nullable=False, unique=True),
    Column("family", Text, nullable=False),
    _client(),
    Column("scope", Text, nullable=False),
    Column("expire_time", UtcDateTime, nullable=False),
    Column("interval_seconds", Integer, nullable=False),
    Column("poll_time", UtcDateTime),
    _user(nullable=True),  # who decided
    Column("is_approved", Boolean),
    Column("use_time", UtcDateTime),
)

setup_links = Table(
    "setup_links",
    metadata,
    Column("sha256", Text, primary_key=True),
    _user(),
    Column("expire_time", UtcDateTime, nullable=False),
    Column("use_time", UtcDateTime),
)

sessions = Table(
    "sessions",
    metadata,
    Column("sha256", Text, primary_key=True),
    _user(),
    Column("create_time", UtcDateTime, nullable=False),
    Column("expire_time", UtcDateTime, nullable=False),
    Column("last_use_time", UtcDateTime, nullable=False),
    Column("revoke_time", UtcDateTime),
)

prompts = Table(
    "prompts",
    metadata,
    Column("id", Text, primary_key=True),
    _user(),
    Column("display_name", Text, nullable=False),
    Column("document", JSON, nullable=False),  # preamble, columns, rows: `wire/prompts.py` says what
    Column("create_time", UtcDateTime, nullable=False),
    Column("update_time", UtcDateTime, nullable=False),
    Index(None, "user_id"),
)
