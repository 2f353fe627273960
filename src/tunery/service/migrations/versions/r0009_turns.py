"""Indexes by which the next task is found without reading all that wait."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the indexes."""
    for columns in (["phase", "user_id", "number"], ["phase", "start_time"], ["user_id", "start_time"]):
        op.create_index(f"ix_tuning_tasks_{'_'.join(columns)}", "tuning_tasks", columns)
