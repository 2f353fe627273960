"""The tuned model whose examples and settings a tuned model repeats, perhaps changed."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the column; where models that are there come from is not known."""
    op.add_column("tuned_models", sa.Column("tuned_again_from", sa.Text))
