"""The kept epoch that a tuned model serves, and the folds that evaluate it after tuning."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the columns; models that are there already serve what was published, and no folds follow."""
    op.add_column("tuned_models", sa.Column("chosen_epoch", sa.Integer))
    op.add_column("tuned_models", sa.Column("fold_count", sa.Integer, nullable=False, server_default="0"))
