"""Tuned models with their tuning tasks, examples and permissions."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the first tables."""
    _make_tuned_models()
    _make_permissions()
    _make_tuning_tasks()
    _make_tuning_examples()


def _make_tuned_models() -> None:
    op.create_table(
        "tuned_models",
        sa.Column("id", sa.Text),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("base_model", sa.Text, nullable=False),
        sa.Column("base_digest", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('CREATING', 'ACTIVE', 'FAILED')", name="ck_tuned_models_state_is_known"),
        sa.PrimaryKeyConstraint("id", name="pk_tuned_models"),
    )


def _make_permissions() -> None:
    op.create_table(
        "permissions",
        sa.Column("id", sa.Text),
        sa.Column("tuned_model_id", sa.Text, nullable=False),
        sa.Column("grantee_type", sa.Text, nullable=False),
        sa.Column("grantee", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "grantee_type IN ('USER', 'GROUP', 'EVERYONE')", name="ck_permissions_grantee_type_is_known"
        ),
        sa.CheckConstraint("role IN ('OWNER', 'WRITER', 'READER')", name="ck_permissions_role_is_known"),
        sa.PrimaryKeyConstraint("id", name="pk_permissions"),
        sa.ForeignKeyConstraint(
            ["tuned_model_id"], ["tuned_models.id"], ondelete="CASCADE", name="fk_permissions_tuned_model_id"
        ),
        sa.UniqueConstraint(
            "tuned_model_id", "grantee_type", "grantee", name="uq_permissions_tuned_model_id_grantee_type_grantee"
        ),
    )


def _make_tuning_tasks() -> None:
    op.create_table(
        "tuning_tasks",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite")),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("tuned_model_id", sa.Text, nullable=False),
        sa.Column("operation_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("fencing_epoch", sa.Integer, nullable=False, server_default="0"),
        sa.Column("heartbeat", sa.Integer, nullable=False, server_default="0"),
        sa.Column("worker", sa.Text),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.Column("not_before", sa.DateTime(timezone=True)),
        sa.Column("cancel_requested", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("losses", sa.Integer, nullable=False, server_default="0"),
        sa.Column("lost_at_step", sa.Integer),
        sa.Column("losses_at_step", sa.Integer, nullable=False, server_default="0"),
        sa.Column("total_steps", sa.Integer, nullable=False),
        sa.Column("completed_steps", sa.Integer, nullable=False, server_default="0"),
        sa.Column("checkpoint_step", sa.Integer, nullable=False, server_default="0"),
        sa.Column("micro_batch_size", sa.Integer),
        sa.Column("request_sha256", sa.Text, nullable=False),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("reply_sent", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("artifact_epoch", sa.Integer),
        sa.Column("manifest_sha256", sa.Text),
        sa.Column("error_code", sa.Integer),
        sa.Column("error_message", sa.Text),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("start_time", sa.DateTime(timezone=True)),
        sa.Column("complete_time", sa.DateTime(timezone=True)),
        sa.Column("epoch_count", sa.Integer, nullable=False),
        sa.Column("batch_size", sa.Integer, nullable=False),
        sa.Column("learning_rate", sa.Float, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("data_rows", sa.Integer, nullable=False),
        sa.Column("data_sha256", sa.Text, nullable=False),
        sa.Column("data_source", sa.Text, nullable=False),
        sa.Column("held_out_rows", sa.Integer, nullable=False),
        sa.Column("epoch_losses", sa.JSON),
        sa.Column("advice", sa.JSON),
        sa.Column("settings", sa.JSON),
        sa.Column("versions", sa.JSON),
        sa.Column("snapshots", sa.LargeBinary, nullable=False),
        sa.CheckConstraint(
            "phase IN ('QUEUED', 'PREPARING', 'RUNNING', 'PUBLISHING', 'SUCCEEDED', 'FAILED', 'CANCELLED')",
            name="ck_tuning_tasks_phase_is_known",
        ),
        sa.PrimaryKeyConstraint("number", name="pk_tuning_tasks"),
        sa.ForeignKeyConstraint(
            ["tuned_model_id"], ["tuned_models.id"], ondelete="CASCADE", name="fk_tuning_tasks_tuned_model_id"
        ),
        sa.UniqueConstraint("id", name="uq_tuning_tasks_id"),
        sa.UniqueConstraint("tuned_model_id", name="uq_tuning_tasks_tuned_model_id"),
        sa.UniqueConstraint("operation_id", name="uq_tuning_tasks_operation_id"),
        sa.UniqueConstraint("user_id", "idempotency_key", name="uq_tuning_tasks_user_id_idempotency_key"),
    )
    op.create_index("ix_tuning_tasks_phase_number", "tuning_tasks", ["phase", "number"])
    op.create_index("ix_tuning_tasks_request_sha256", "tuning_tasks", ["request_sha256"])


def _make_tuning_examples() -> None:
    op.create_table(
        "tuning_examples",
        sa.Column("task_id", sa.Text),
        sa.Column("position", sa.Integer, autoincrement=False),
        sa.Column("is_held_out", sa.Boolean, nullable=False),
        sa.Column("text_input", sa.Text, nullable=False),
        sa.Column("output", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("task_id", "position", name="pk_tuning_examples"),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tuning_tasks.id"], ondelete="CASCADE", name="fk_tuning_examples_task_id"
        ),
    )
