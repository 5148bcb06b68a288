"""Answers that people wait for, so that after a kill the next start can give them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "pending_answers"
down_revision = "lasting_ids"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "pending_answers",
        sa.Column("interaction_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("application_id", sa.BigInteger, nullable=False),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("reply", sa.String(10), nullable=False),
        sa.Column("edits", sa.Boolean, nullable=False),
        sa.Column("content", sa.String(2000)),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("interaction_id", name="pk_pending_answers"),
    )
    op.create_index("ix_pending_answers_asked_at", "pending_answers", ["asked_at"])


def downgrade() -> None:
    """Remove the table."""
    op.drop_table("pending_answers")
