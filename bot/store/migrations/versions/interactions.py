"""Interactions that a process has taken, so that no other process answers them as well."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "interactions"
down_revision = "pending_answers"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "interactions",
        sa.Column("id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("application_id", sa.BigInteger, nullable=False),
        sa.Column("taken_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_interactions"),
    )
    op.create_index("ix_interactions_taken_at", "interactions", ["taken_at"])


def downgrade() -> None:
    """Remove the table."""
    op.drop_table("interactions")
