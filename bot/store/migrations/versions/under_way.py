"""Maps under way, so that a person's limit holds over several processes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "under_way"
down_revision = "positions"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "maps_under_way",
        sa.Column("application_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("user_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("place", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("process", sa.Integer, nullable=False),
        sa.Column("begun_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("application_id", "user_id", "place", name="pk_maps_under_way"),
    )


def downgrade() -> None:
    """Remove the table."""
    op.drop_table("maps_under_way")
