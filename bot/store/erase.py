"""Erase a server or a person from all tables of the database, in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, func, update

from bot.store.alerts import TO_CREATOR
from bot.store.database import writing
from bot.store.subscriptions import SubscriptionState
from bot.store.tables import alerts, maps_under_way, metadata, subscriptions

if TYPE_CHECKING:
    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

NOBODY: Final = 0
"""The creator of a server's rows after their real creator has been erased."""

_TEXTS: Final = frozenset({"content", "reason"})  # columns with sentences, which can mention a person


async def erase_guild(engine: AsyncEngine, guild_id: int) -> int:
    """Erase a server: subscriptions with their snapshots, alerts, settings. Return the number of rows."""
    gone = 0
    async with writing(engine) as connection:
        await _overwrite_what_goes(connection)
        # By the columns and not by a list of tables, so that a new table cannot be forgotten.
        for table in metadata.sorted_tables:
            if "guild_id" in table.c:
                gone += (await connection.execute(delete(table).where(table.c.guild_id == guild_id))).rowcount
    return gone


async def erase_user(engine: AsyncEngine, user_id: int) -> int:
    """Erase a person; return how many rows named them.

    Their drafts and private alerts are deleted. What they set up for a server stays with the server, without
    their id: so nobody is informed if one of its posts fails.
    """
    named = 0
    drafts = (subscriptions.c.creator_id == user_id, subscriptions.c.state == SubscriptionState.DRAFT)
    async with writing(engine) as connection:
        await _overwrite_what_goes(connection)
        named += (await connection.execute(delete(subscriptions).where(*drafts))).rowcount
        private = (alerts.c.creator_id == user_id, alerts.c.channel_id == TO_CREATOR)
        named += (await connection.execute(delete(alerts).where(*private))).rowcount
        await connection.execute(delete(maps_under_way).where(maps_under_way.c.user_id == user_id))
        for table in metadata.sorted_tables:
            named += await _take_out(connection, table, user_id)
    return named


async def _take_out(connection: AsyncConnection, table: Table, user_id: int) -> int:
    """Take a person out of rows that stay; return how many of the table's fields named them."""
    named = 0
    if "creator_id" in table.c:
        theirs = update(table).where(table.c.creator_id == user_id)
        named += (await connection.execute(theirs.values(creator_id=NOBODY))).rowcount
    # A reason or a kept answer can name the person in its text.
    for column in table.c:
        if column.name in _TEXTS:
            mentioning = update(table).where(column.contains(f"<@{user_id}>"))
            without = func.replace(column, f"<@{user_id}>", "somebody")
            named += (await connection.execute(mentioning.values({column.name: without}))).rowcount
    return named


async def _overwrite_what_goes(connection: AsyncConnection) -> None:
    # By default SQLite leaves deleted bytes in the file until the space is needed.
    if connection.dialect.name == "sqlite":
        await connection.exec_driver_sql("PRAGMA secure_delete = ON")
