"""Defaults for answers, and where a tuned model comes from."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns; what was tuned before answers as it did: the likeliest token."""
    with op.batch_alter_table("tuned_models") as table:
        table.add_column(sa.Column("temperature", sa.Float, nullable=False, server_default="0"))
        table.add_column(sa.Column("top_p", sa.Float, nullable=False, server_default="1"))
        table.add_column(sa.Column("top_k", sa.Integer))
        table.add_column(sa.Column("reader_project_numbers", sa.JSON(none_as_null=True)))
        table.add_column(sa.Column("source_tuned_model", sa.Text))
        table.add_column(sa.Column("base_name_asked", sa.Text))
