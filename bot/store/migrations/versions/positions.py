"""Alerts can have a position model of their own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "positions"
down_revision = "processes"

_WATCHED = ["exchange", "symbol", "distance", "notional", "positions"]


def upgrade() -> None:
    """Add the column. Existing alerts get "", which means the model of the settings."""
    op.add_column(
        "alerts", sa.Column("positions", sa.String(20), nullable=False, server_default=sa.text("''"))
    )
    for name, owner, condition in (
        ("uq_alerts_watched", "channel_id", "channel_id <> 0"),
        ("uq_alerts_own_watched", "creator_id", "channel_id = 0"),
    ):
        op.drop_index(name, "alerts")
        op.create_index(
            name,
            "alerts",
            ["application_id", owner, *_WATCHED],
            unique=True,
            sqlite_where=sa.text(condition),
            postgresql_where=sa.text(condition),
        )


def downgrade() -> None:
    """Change nothing: the column has a default, so the earlier code works with these tables too."""
