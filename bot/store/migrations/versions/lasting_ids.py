"""Ids of subscriptions and alerts that are gone are not given out again, by SQLite either."""

from __future__ import annotations

from alembic import op

revision = "lasting_ids"
down_revision = "first"


def upgrade() -> None:
    """Make both tables anew, with all that is in them."""
    if op.get_bind().dialect.name != "sqlite":
        return  # others count on by themselves
    # The old table goes, and would take with it the snapshots that belong to its rows.
    op.execute("CREATE TEMPORARY TABLE kept AS SELECT * FROM snapshots")
    for table in ("subscriptions", "alerts"):
        with op.batch_alter_table(table, recreate="always", table_kwargs={"sqlite_autoincrement": True}):
            pass
    op.execute("INSERT INTO snapshots SELECT * FROM kept")
    op.execute("DROP TABLE kept")


def downgrade() -> None:
    """Change nothing: the code of before takes these tables too."""
