"""Crashes of the server while a task runs, which count against the task only if they are repeated."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the table; no death is known of tasks that are there already."""
    op.create_table(
        "server_deaths",
        sa.Column("task_id", sa.Text),
        sa.Column("machine_start", sa.Text),
        sa.Column("at_step", sa.Integer),
        sa.Column("deaths", sa.Integer, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("task_id", name="pk_server_deaths"),
        sa.ForeignKeyConstraint(["task_id"], ["tuning_tasks.id"], ondelete="CASCADE", name="fk_server_deaths_task_id"),
    )
