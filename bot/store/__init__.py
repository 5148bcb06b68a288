"""What the bot remembers, in a real database."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.store.alerts import AlertTable
from bot.store.alone import ProcessLocks
from bot.store.database import open_database
from bot.store.guilds import GuildTable
from bot.store.interactions import InteractionTable
from bot.store.pending import PendingTable
from bot.store.snapshots import SnapshotTable
from bot.store.subscriptions import SubscriptionTable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncEngine

    from bot.settings import BotSettings


@dataclass(frozen=True, slots=True)
class Store:
    """The tables, one object each, the database that they are in, and who else uses it."""

    engine: AsyncEngine
    subscriptions: SubscriptionTable
    snapshots: SnapshotTable
    guilds: GuildTable
    alerts: AlertTable
    pending: PendingTable
    interactions: InteractionTable
    processes: ProcessLocks


@asynccontextmanager
async def open_store(settings: BotSettings) -> AsyncIterator[Store]:
    """Open the database of the settings. Raises SettingsError."""
    async with (
        open_database(settings.database.url, folder=settings.storage.path) as engine,
        ProcessLocks(engine) as processes,
    ):
        store = Store(
            engine,
            SubscriptionTable(engine),
            SnapshotTable(engine),
            GuildTable(engine),
            AlertTable(engine),
            PendingTable(engine),
            InteractionTable(engine),
            processes,
        )
        await store.guilds.load()
        await store.alerts.load()
        yield store
