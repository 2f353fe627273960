"""Why a tuned model has the settings that fit its data, if it was tuned with `auto`."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
oldest_program = "0011"


def upgrade() -> None:
    """Add the column; of models that are there it is not known."""
    op.add_column("tuned_models", sa.Column("settings_reason", sa.Text))
