"""Reports about tuned models, the newest of each kind."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the table; models that are there already have no reports."""
    op.create_table(
        "reports",
        sa.Column("tuned_model_id", sa.Text),
        sa.Column("kind", sa.Text),
        sa.Column("document", sa.JSON, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tuned_model_id", "kind", name="pk_reports"),
        sa.ForeignKeyConstraint(
            ["tuned_model_id"], ["tuned_models.id"], ondelete="CASCADE", name="fk_reports_tuned_model_id"
        ),
    )
