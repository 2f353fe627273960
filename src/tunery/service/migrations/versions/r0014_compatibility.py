"""Which versions of tunery may work on the tables: those that run beside a newer one while a team upgrades."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
oldest_program = "0011"


def upgrade() -> None:
    """Make the table; `database.connection.upgrade` fills it."""
    op.create_table(
        "compatibility",
        sa.Column("oldest_program", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("oldest_program", name="pk_compatibility"),
    )
