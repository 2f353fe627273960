"""Whether the readers of a tuned model may see its examples."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the column; of models that are there already, only owner and writers see the examples."""
    op.add_column("tuned_models", sa.Column("examples_shared", sa.Boolean, nullable=False, server_default=sa.false()))
