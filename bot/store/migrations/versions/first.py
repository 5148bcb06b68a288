"""Subscriptions and their snapshots, the servers' defaults, and alerts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "first"
down_revision = None


# Written out and not imported from `tables`, which goes on to change.
def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("guild_id", sa.BigInteger, nullable=False),
        sa.Column("channel_id", sa.BigInteger, nullable=False),
        sa.Column("creator_id", sa.BigInteger, nullable=False),
        sa.Column("spec", sa.String(300), nullable=False),
        sa.Column("every", sa.Integer, nullable=False),
        sa.Column("style", sa.String(10), nullable=False),
        sa.Column("role_id", sa.BigInteger),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("reason", sa.String(300), nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("message_id", sa.BigInteger),
        sa.Column("active_since", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_subscriptions"),
    )
    op.create_index("ix_subscriptions_guild_id", "subscriptions", ["guild_id"])
    op.create_index("ix_subscriptions_channel_id", "subscriptions", ["channel_id"])
    op.create_table(
        "snapshots",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("subscription_id", sa.Integer, nullable=False),
        sa.Column("due", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("message_id", sa.BigInteger),
        sa.Column("reason", sa.String(300), nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_snapshots"),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.id"],
            name="fk_snapshots_subscription_id",
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("subscription_id", "due", name="uq_snapshots_subscription_id"),
    )
    op.create_index("ix_snapshots_changed_at", "snapshots", ["changed_at"])
    op.create_table(
        "guilds",
        sa.Column("guild_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("exchange", sa.String(20)),
        sa.Column("mode", sa.String(20)),
        sa.Column("value", sa.String(40)),
        sa.Column("theme", sa.String(10)),
        sa.Column("leverages", sa.String(200)),
        sa.Column("channels", sa.String(2000), nullable=False),
        sa.PrimaryKeyConstraint("guild_id", name="pk_guilds"),
    )
    op.create_table(
        "alerts",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("guild_id", sa.BigInteger, nullable=False),
        sa.Column("channel_id", sa.BigInteger, nullable=False),
        sa.Column("creator_id", sa.BigInteger, nullable=False),
        sa.Column("exchange", sa.String(20), nullable=False),
        sa.Column("symbol", sa.String(40), nullable=False),
        sa.Column("distance", sa.Float, nullable=False),
        sa.Column("notional", sa.Float, nullable=False),
        sa.Column("cooldown", sa.Integer, nullable=False),
        sa.Column("fired_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
    )
    op.create_index("ix_alerts_guild_id", "alerts", ["guild_id"])
    op.create_index("ix_alerts_channel_id", "alerts", ["channel_id"])


def downgrade() -> None:
    """Remove the tables."""
    for table in ("alerts", "guilds", "snapshots", "subscriptions"):
        op.drop_table(table)
