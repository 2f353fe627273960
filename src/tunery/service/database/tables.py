"""
The tables of the data folder for SQLAlchemy Core.

`migrations/` creates the same tables step by step; a test compares the two.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from tunery.types import Phase, State

if TYPE_CHECKING:
    _DateTimeType = TypeDecorator[datetime]
else:
    _DateTimeType = TypeDecorator


class UtcDateTime(_DateTimeType):
    """A point in time in UTC; SQLite stores no time zone, so it is removed and added again here."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class without_case(GenericFunction[str]):  # noqa: N801  # functions have small letters
    """A text in lower case, in all alphabets; `connection._lower` in SQLite."""

    type = Text()
    inherit_cache = True


class without_keys(GenericFunction[Any]):  # noqa: N801
    """A JSON object without some of its keys, given as further arguments."""

    type = JSON()
    inherit_cache = True


@compiles(without_case)
def _without_case(function: Any, compiler: SQLCompiler, **how: Any) -> str:
    return f"lower({compiler.process(function.clauses, **how)})"


@compiles(without_case, "postgresql")
def _without_case_of_unicode(function: Any, compiler: SQLCompiler, **how: Any) -> str:
    # the collation of the database may be C, which leaves Ä and Ж unchanged
    return f'lower(({compiler.process(function.clauses, **how)}) COLLATE "und-x-icu")'


@compiles(without_keys)
def _without_keys(function: Any, compiler: SQLCompiler, **how: Any) -> str:
    document, *keys = (compiler.process(clause, **how) for clause in function.clauses)
    paths = ", ".join(f"'$.' || {key}" for key in keys)
    return f"json_remove({document}, {paths})"


@compiles(without_keys, "postgresql")
def _without_keys_of_jsonb(function: Any, compiler: SQLCompiler, **how: Any) -> str:
    document, *keys = (compiler.process(clause, **how) for clause in function.clauses)
    removed = "".join(f" - {key}::text" for key in keys)
    return f"({document})::jsonb{removed}"


def one_of(column: str, values: type[StrEnum] | tuple[str, ...]) -> CheckConstraint:
    """Return the check that a column holds one of these values."""
    names = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({names})", name=f"{column}_is_known")


# Every constraint has a name, so that a later migration can refer to it.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

tuned_models = Table(
    "tuned_models",
    metadata,
    Column("id", Text, primary_key=True),
    Column("display_name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("base_model", Text, nullable=False),
    Column("base_digest", Text, nullable=False),
    Column("state", Text, nullable=False),  # `tuning.state_of` the task, stored here so that lists can filter by it
    Column("create_time", UtcDateTime, nullable=False),
    Column("update_time", UtcDateTime, nullable=False),
    # sampling defaults, unless a request sets its own
    Column("temperature", Float, nullable=False, server_default="0"),
    Column("top_p", Float, nullable=False, server_default="1"),
    Column("top_k", Integer),
    Column(
        "reader_project_numbers", JSON(none_as_null=True)
    ),  # stored and shown because old clients expect it; no effect
    Column("source_tuned_model", Text),  # id of the tuned model it was tuned from, which may have been deleted
    Column("base_name_asked", Text),  # the base as the user named it, possibly an API name
    Column("examples_shared", Boolean, nullable=False, server_default=false()),
    Column("chosen_epoch", Integer),  # the kept epoch that a user chose to serve; NULL: as published
    Column("fold_count", Integer, nullable=False, server_default="0"),  # folds that evaluate it after tuning
    # id of the tuned model whose examples and settings it repeats, perhaps changed; that model may have been deleted
    Column("tuned_again_from", Text),
    Column("settings_reason", Text),  # what `auto` chose and why
    one_of("state", State),
    Index(None, "display_name"),  # a model that is named by it
)

permissions = Table(
    "permissions",
    metadata,
    Column("id", Text, primary_key=True),  # [a-z0-9]+, as Google's clients demand
    Column("tuned_model_id", Text, ForeignKey("tuned_models.id", ondelete="CASCADE"), nullable=False),
    Column("grantee_type", Text, nullable=False),
    Column("grantee", Text, nullable=False),  # id of the user or group; empty for EVERYONE
    Column("role", Text, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    one_of("grantee_type", ("USER", "GROUP", "EVERYONE")),
    one_of("role", ("OWNER", "WRITER", "READER")),
    UniqueConstraint("tuned_model_id", "grantee_type", "grantee"),
    Index(None, "grantee_type", "grantee", "tuned_model_id"),  # the models a caller may see
)

tuning_tasks = Table(
    "tuning_tasks",
    metadata,
    # Place in the queue. SQLite numbers rows only if the primary key is of type INTEGER.
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("tuned_model_id", Text, ForeignKey("tuned_models.id", ondelete="CASCADE"), nullable=False, unique=True),
    Column("operation_id", Text, nullable=False, unique=True),
    Column("user_id", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("fencing_epoch", Integer, nullable=False, server_default="0"),
    Column("heartbeat", Integer, nullable=False, server_default="0"),
    Column("worker", Text),
    Column("lease_until", UtcDateTime),
    Column("not_before", UtcDateTime),
    Column("cancel_requested", Boolean, nullable=False, server_default=false()),
    Column("losses", Integer, nullable=False, server_default="0"),
    Column("lost_at_step", Integer),
    Column("losses_at_step", Integer, nullable=False, server_default="0"),
    Column("total_steps", Integer, nullable=False),
    Column("completed_steps", Integer, nullable=False, server_default="0"),
    Column("checkpoint_step", Integer, nullable=False, server_default="0"),
    Column("micro_batch_size", Integer),
    Column("request_sha256", Text, nullable=False),
    Column("idempotency_key", Text),
    Column("reply_sent", Boolean, nullable=False, server_default=false()),
    Column("artifact_epoch", Integer),
    Column("manifest_sha256", Text),
    Column("error_code", Integer),
    Column("error_message", Text),
    Column("create_time", UtcDateTime, nullable=False),
    Column("start_time", UtcDateTime),
    Column("complete_time", UtcDateTime),
    Column("epoch_count", Integer, nullable=False),
    Column("batch_size", Integer, nullable=False),
    Column("learning_rate", Float, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("data_rows", Integer, nullable=False),
    Column("data_sha256", Text, nullable=False),
    Column("data_source", Text, nullable=False),
    Column("held_out_rows", Integer, nullable=False),
    Column("epoch_losses", JSON(none_as_null=True)),
    Column("advice", JSON(none_as_null=True)),
    Column("settings", JSON(none_as_null=True)),
    Column("versions", JSON(none_as_null=True)),
    # 24 bytes a step, see models.py. This is the last column, so that reading the others does not have to skip it.
    Column("snapshots", LargeBinary, nullable=False),
    one_of("phase", Phase),
    UniqueConstraint("user_id", "idempotency_key"),
    Index(None, "phase", "number"),
    Index(None, "phase", "user_id", "number"),  # the first waiting task of each user
    Index(None, "phase", "start_time"),  # waiting tasks that were begun
    Index(None, "user_id", "start_time"),  # a user's last turn
    Index(None, "phase", "complete_time"),  # the last tasks that succeeded, for estimates
    Index(None, "request_sha256"),
)

tuning_examples = Table(
    "tuning_examples",
    metadata,
    Column("task_id", Text, ForeignKey("tuning_tasks.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),  # from 0, in the user's order; held-out rows after the others
    Column("is_held_out", Boolean, nullable=False),
    Column("text_input", Text, nullable=False),
    Column("output", Text, nullable=False),
)

# How often a server died while working on a task. This is separate from `tuning_tasks`, whose last column has to stay
# last.
server_deaths = Table(
    "server_deaths",
    metadata,
    Column("task_id", Text, ForeignKey("tuning_tasks.id", ondelete="CASCADE"), primary_key=True),
    Column("machine_start", Text),  # start of the machine at the last claim
    Column("at_step", Integer),  # of the last death
    Column("deaths", Integer, nullable=False, server_default="0"),  # deaths in a row at that step
)

reports = Table(
    "reports",
    metadata,
    Column("tuned_model_id", Text, ForeignKey("tuned_models.id", ondelete="CASCADE"), primary_key=True),
    Column("kind", Text, primary_key=True),  # a new report replaces an earlier one of its kind
    Column("document", JSON, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
)


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
    Column("id", Text, primary_key=True),  # `kid` of the tokens it signs
    Column("address", Text, nullable=False),  # `iss` and `sub` of the tokens it signs
    Column("public_key", Text, nullable=False),  # in PEM; the private half is only in the user's key file
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
    Column("access_seconds", Integer, nullable=False),  # lifetime of its access tokens
    _user(nullable=True),  # the user whose login created it
    Column("create_time", UtcDateTime, nullable=False),
    Column("revoke_time", UtcDateTime),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("sha256", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("family", Text, key="sign_in", nullable=False),  # shared by the tokens of one sign-in
    Column("client_id", Text, ForeignKey("oauth_clients.id", ondelete="CASCADE")),
    _user(),
    Column("scope", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    Column("expire_time", UtcDateTime, nullable=False),
    Column("last_use_time", UtcDateTime),
    Column("replace_time", UtcDateTime),  # set if a refresh token was exchanged for the next one
    Column("revoke_time", UtcDateTime),
    one_of("kind", ("ACCESS", "REFRESH", "PLAIN")),
    Index(None, "sign_in"),
    Index(None, "user_id"),
)

authorization_codes = Table(
    "authorization_codes",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("family", Text, key="sign_in", nullable=False),
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
    Column("family", Text, key="sign_in", nullable=False),
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
    Column("document", JSON, nullable=False),  # preamble, columns, rows; see `server/prompts.py`
    Column("create_time", UtcDateTime, nullable=False),
    Column("update_time", UtcDateTime, nullable=False),
    Index(None, "user_id"),
)

audit_events = Table(
    "audit_events",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("time", UtcDateTime, nullable=False),
    Column("actor", Text, nullable=False),  # no foreign key: an event outlives its user
    Column("action", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("details", JSON, nullable=False),
    Index(None, "actor", "number"),
    Index(None, "resource", "number"),
)

compatibility = Table(
    "compatibility",  # one row
    metadata,
    Column("oldest_program", Text, primary_key=True),  # its revision: programs from there on may work on these tables
)
