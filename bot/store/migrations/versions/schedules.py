"""Subscriptions get a time of day, weekdays, a time zone and publishing; servers get a time zone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "schedules"
down_revision = "applications"

_ACTIVE = sa.text("state = 'active'")


def upgrade() -> None:
    """Add the columns. Existing subscriptions post as before: at full hours UTC, every day, unpublished."""
    for name, default, check in (
        ("at_minute", 0, "at_minute BETWEEN 0 AND 1439"),
        ("weekdays", 127, "weekdays BETWEEN 1 AND 127"),
    ):
        op.execute(
            f"ALTER TABLE subscriptions ADD COLUMN {name} INTEGER DEFAULT {default} NOT NULL"
            f" CONSTRAINT ck_subscriptions_{name} CHECK ({check})"
        )
    op.add_column(
        "subscriptions", sa.Column("timezone", sa.String(40), nullable=False, server_default=sa.text("'UTC'"))
    )
    op.add_column(
        "subscriptions", sa.Column("publish", sa.Boolean, nullable=False, server_default=sa.text("false"))
    )
    op.add_column("guilds", sa.Column("timezone", sa.String(40)))
    op.drop_index("uq_subscriptions_active", "subscriptions")
    op.create_index(
        "uq_subscriptions_active",
        "subscriptions",
        ["application_id", "channel_id", "spec", "every", "at_minute", "weekdays", "timezone"],
        unique=True,
        sqlite_where=_ACTIVE,
        postgresql_where=_ACTIVE,
    )


def downgrade() -> None:
    """Change nothing: the columns have defaults, so the earlier code works with these tables too."""
