"""Do not give out ids of removed subscriptions and alerts again, in SQLite either."""

from __future__ import annotations

from alembic import op

revision = "lasting_ids"
down_revision = "first"


def upgrade() -> None:
    """Make both tables anew with all of their rows."""
    if op.get_bind().dialect.name != "sqlite":
        return  # other databases never give out an id again
    # Dropping the old table deletes the snapshots of its rows, so these are kept aside.
    op.execute("CREATE TEMPORARY TABLE kept AS SELECT * FROM snapshots")
    for table in ("subscriptions", "alerts"):
        with op.batch_alter_table(table, recreate="always", table_kwargs={"sqlite_autoincrement": True}):
            pass
    op.execute("INSERT INTO snapshots SELECT * FROM kept")
    op.execute("DROP TABLE kept")


def downgrade() -> None:
    """Change nothing: the earlier code works with these tables too."""
