"""Users, groups and their credentials."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables, and the account of the person at this machine, who owns all that is there already."""
    _make_users()
    _make_groups()
    _make_group_members()
    _make_api_keys()
    _make_service_account_keys()
    _make_oauth_clients()
    _make_tokens()
    _make_authorization_codes()
    _make_device_codes()
    _make_setup_links()
    _make_sessions()
    users = sa.table("users", sa.column("id"), sa.column("is_admin"), sa.column("create_time", sa.DateTime))
    now = datetime.now(UTC).replace(tzinfo=None)
    op.execute(users.insert().values(id="local", is_admin=True, create_time=now))


def _make_users() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Text),
        sa.Column("password_hash", sa.Text),
        sa.Column("is_admin", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("is_disabled", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
    )


def _make_groups() -> None:
    op.create_table(
        "groups",
        sa.Column("id", sa.Text),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_groups"),
    )


def _make_group_members() -> None:
    op.create_table(
        "group_members",
        sa.Column("group_id", sa.Text),
        sa.Column("user_id", sa.Text),
        sa.PrimaryKeyConstraint("group_id", "user_id", name="pk_group_members"),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"], ondelete="CASCADE", name="fk_group_members_group_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE", name="fk_group_members_user_id"),
    )
    op.create_index("ix_group_members_user_id", "group_members", ["user_id"])


def _make_api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_use_time", sa.DateTime(timezone=True)),
        sa.Column("revoke_time", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE", name="fk_api_keys_user_id"),
        sa.UniqueConstraint("sha256", name="uq_api_keys_sha256"),
    )


def _make_service_account_keys() -> None:
    op.create_table(
        "service_account_keys",
        sa.Column("id", sa.Text),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("public_key", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_use_time", sa.DateTime(timezone=True)),
        sa.Column("revoke_time", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_service_account_keys"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE", name="fk_service_account_keys_user_id"),
    )


def _make_oauth_clients() -> None:
    op.create_table(
        "oauth_clients",
        sa.Column("id", sa.Text),
        sa.Column("secret_sha256", sa.Text),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("redirect_uris", sa.JSON, nullable=False),
        sa.Column("grant_types", sa.JSON, nullable=False),
        sa.Column("access_seconds", sa.Integer, nullable=False),
        sa.Column("user_id", sa.Text),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoke_time", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_oauth_clients"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE", name="fk_oauth_clients_user_id"),
    )


def _make_tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("family", sa.Text, nullable=False),
        sa.Column("client_id", sa.Text),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_use_time", sa.DateTime(timezone=True)),
        sa.Column("replace_time", sa.DateTime(timezone=True)),
        sa.Column("revoke_time", sa.DateTime(timezone=True)),
        sa.CheckConstraint("kind IN ('ACCESS', 'REFRESH', 'PLAIN')", name="ck_tokens_kind_is_known"),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.ForeignKeyConstraint(["client_id"], ["oauth_clients.id"], ondelete="CASCADE", name="fk_tokens_client_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE", name="fk_tokens_user_id"),
        sa.UniqueConstraint("sha256", name="uq_tokens_sha256"),
    )
    op.create_index("ix_tokens_family", "tokens", ["family"])
    op.create_index("ix_tokens_user_id", "tokens", ["user_id"])


def _make_authorization_codes() -> None:
    op.create_table(
        "authorization_codes",
        sa.Column("sha256", sa.Text),
        sa.Column("family", sa.Text, nullable=False),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("redirect_uri", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("code_challenge", sa.Text, nullable=False),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("use_time", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("sha256", name="pk_authorization_codes"),
        sa.ForeignKeyConstraint(
            ["client_id"], ["oauth_clients.id"], ondelete="CASCADE", name="fk_authorization_codes_client_id"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE", name="fk_authorization_codes_user_id"),
    )


def _make_device_codes() -> None:
    op.create_table(
        "device_codes",
        sa.Column("sha256", sa.Text),
        sa.Column("user_code_sha256", sa.Text, nullable=False),
        sa.Column("family", sa.Text, nullable=False),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("interval_seconds", sa.Integer, nullable=False),
        sa.Column("poll_time", sa.DateTime(timezone=True)),
        sa.Column("user_id", sa.Text),
        sa.Column("is_approved", sa.Boolean),
        sa.Column("use_time", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("sha256", name="pk_device_codes"),
        sa.ForeignKeyConstraint(
            ["client_id"], ["oauth_clients.id"], ondelete="CASCADE", name="fk_device_codes_client_id"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE", name="fk_device_codes_user_id"),
        sa.UniqueConstraint("user_code_sha256", name="uq_device_codes_user_code_sha256"),
    )


def _make_setup_links() -> None:
    op.create_table(
        "setup_links",
        sa.Column("sha256", sa.Text),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("use_time", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("sha256", name="pk_setup_links"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE", name="fk_setup_links_user_id"),
    )


def _make_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("sha256", sa.Text),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_use_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoke_time", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("sha256", name="pk_sessions"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE", name="fk_sessions_user_id"),
    )
