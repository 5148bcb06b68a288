"""Alerts can go to their creator, with separate keys and places, and they can be paused."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "own_alerts"
down_revision = "schedules"

_WATCHED = ["exchange", "symbol", "distance", "notional"]


def upgrade() -> None:
    """Add the reason of a pause, and split each unique key into one for channels and one for persons."""
    op.add_column("alerts", sa.Column("reason", sa.String(300), nullable=False, server_default=sa.text("''")))
    for name in ("uq_alerts_place", "uq_alerts_watched"):
        op.drop_index(name, "alerts")
    for name, columns, condition in (
        ("uq_alerts_place", ["guild_id", "place"], "channel_id <> 0"),
        ("uq_alerts_own_place", ["creator_id", "place"], "channel_id = 0"),
        ("uq_alerts_watched", ["channel_id", *_WATCHED], "channel_id <> 0"),
        ("uq_alerts_own_watched", ["creator_id", *_WATCHED], "channel_id = 0"),
    ):
        op.create_index(
            name,
            "alerts",
            ["application_id", *columns],
            unique=True,
            sqlite_where=sa.text(condition),
            postgresql_where=sa.text(condition),
        )


def downgrade() -> None:
    """Change nothing: the column has a default, so the earlier code works with these tables too."""
