"""Run the steps over the connection that the bot has opened."""

from __future__ import annotations

from alembic import context

from bot.store.tables import metadata

# Batches, because SQLite cannot alter most things in place: Alembic copies the table instead.
context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
