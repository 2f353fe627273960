"""Indexes by which lists, names and estimates are read without looking at all models."""

from alembic import op

revision = "0012"
down_revision = "0011"
oldest_program = "0011"


def upgrade() -> None:
    """Add the indexes."""
    for table, columns in (
        ("permissions", ["grantee_type", "grantee", "tuned_model_id"]),
        ("tuned_models", ["display_name"]),
        ("tuning_tasks", ["phase", "complete_time"]),
    ):
        op.create_index(f"ix_{table}_{'_'.join(columns)}", table, columns)
