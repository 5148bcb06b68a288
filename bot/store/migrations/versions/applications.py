"""Each row belongs to an application. Unique keys enforce limits and forbid duplicates."""

from __future__ import annotations

import logging

import sqlalchemy as sa
from alembic import op

revision = "applications"
down_revision = "interactions"

log = logging.getLogger(__name__)

# The oldest of several equal ones stays as it is.
_POSTED_TWICE = """
UPDATE subscriptions SET state = 'paused', reason = 'the channel already gets exactly these posts'
WHERE state = 'active' AND EXISTS (
    SELECT 1 FROM subscriptions AS older
    WHERE older.id < subscriptions.id AND older.state = 'active'
    AND older.channel_id = subscriptions.channel_id
    AND older.spec = subscriptions.spec AND older.every = subscriptions.every
)
"""
_REPEATED = """
DELETE FROM alerts WHERE EXISTS (
    SELECT 1 FROM alerts AS older
    WHERE older.id < alerts.id AND older.channel_id = alerts.channel_id
    AND older.exchange = alerts.exchange AND older.symbol = alerts.symbol
    AND older.distance = alerts.distance AND older.notional = alerts.notional
)
"""


def upgrade() -> None:
    """Give each row an owner, and resolve duplicates that simultaneous presses have made."""
    for table in ("subscriptions", "alerts"):
        op.execute(f"DELETE FROM {table} WHERE guild_id <= 0")  # noqa: S608 - one of the two names above
        # Existing rows belong to no bot until one claims them.
        op.execute(
            f"ALTER TABLE {table} ADD COLUMN application_id BIGINT DEFAULT 0 NOT NULL"
            f" CONSTRAINT ck_{table}_guild_id CHECK (guild_id > 0)"
        )
        op.add_column(table, sa.Column("place", sa.Integer))
        op.create_index(f"uq_{table}_place", table, ["application_id", "guild_id", "place"], unique=True)
    _change(_POSTED_TWICE, "paused %d subscriptions that were there twice")
    op.create_index(
        "uq_subscriptions_active",
        "subscriptions",
        ["application_id", "channel_id", "spec", "every"],
        unique=True,
        sqlite_where=sa.text("state = 'active'"),
        postgresql_where=sa.text("state = 'active'"),
    )
    _change(_REPEATED, "removed %d alerts that were there twice")
    op.create_index(
        "uq_alerts_watched",
        "alerts",
        ["application_id", "channel_id", "exchange", "symbol", "distance", "notional"],
        unique=True,
    )
    _make_guilds_anew()


def downgrade() -> None:
    """Change nothing: the columns have defaults, so the earlier code works with these tables too."""


def _make_guilds_anew() -> None:
    # SQLite cannot change a primary key, so the table is made anew from a copy.
    op.execute("CREATE TEMPORARY TABLE kept AS SELECT * FROM guilds WHERE guild_id > 0")
    op.drop_table("guilds")
    op.create_table(
        "guilds",
        sa.Column("guild_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("exchange", sa.String(20)),
        sa.Column("mode", sa.String(20)),
        sa.Column("value", sa.String(40)),
        sa.Column("theme", sa.String(10)),
        sa.Column("leverages", sa.String(200)),
        sa.Column("channels", sa.String(2000), nullable=False),
        sa.Column(
            "application_id", sa.BigInteger, nullable=False, autoincrement=False, server_default=sa.text("0")
        ),
        sa.PrimaryKeyConstraint("application_id", "guild_id", name="pk_guilds"),
        sa.CheckConstraint("guild_id > 0", name="ck_guilds_guild_id"),
    )
    op.execute("INSERT INTO guilds SELECT kept.*, 0 FROM kept")
    op.execute("DROP TABLE kept")


def _change(statement: str, said: str) -> None:
    changed = op.get_bind().execute(sa.text(statement)).rowcount
    if changed:
        log.warning(said, changed)
