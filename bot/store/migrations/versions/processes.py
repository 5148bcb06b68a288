"""Several processes of one bot: pending answers belong to a process, and changes are notified."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "processes"
down_revision = "own_alerts"

_NOTIFY = """
CREATE OR REPLACE FUNCTION liqmap_notify() RETURNS trigger AS $$
BEGIN
    NOTIFY liqmap_changes;
    RETURN NULL;
END
$$ LANGUAGE plpgsql
"""
# Only columns that processes keep in memory: posts change the other ones all the time.
_TRIGGERS = {
    "subscriptions": "INSERT OR DELETE OR UPDATE OF state, application_id",
    "guilds": "INSERT OR DELETE OR UPDATE",
}


def upgrade() -> None:
    """Add the column, and in PostgreSQL the triggers."""
    op.add_column(
        "pending_answers", sa.Column("process", sa.Integer, nullable=False, server_default=sa.text("0"))
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_NOTIFY)
        for table, events in _TRIGGERS.items():
            op.execute(
                f"CREATE TRIGGER liqmap_notify AFTER {events} ON {table}"
                " FOR EACH STATEMENT EXECUTE FUNCTION liqmap_notify()"
            )


def downgrade() -> None:
    """Change nothing: the column has a default, and notifications do no harm if nobody listens."""
