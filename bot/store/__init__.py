"""What the bot remembers, in a real database."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.store.alerts import Alerts
from bot.store.database import open_database
from bot.store.guilds import Guilds
from bot.store.snapshots import Snapshots
from bot.store.subscriptions import Subscriptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bot.settings import BotSettings


@dataclass(frozen=True, slots=True)
class Store:
    """The tables, one object each."""

    subscriptions: Subscriptions
    snapshots: Snapshots
    guilds: Guilds
    alerts: Alerts


@asynccontextmanager
async def open_store(settings: BotSettings) -> AsyncIterator[Store]:
    """Open the database of the settings. Raises SettingsError."""
    async with open_database(settings.database.url, folder=settings.storage.path) as engine:
        store = Store(Subscriptions(engine), Snapshots(engine), Guilds(engine), Alerts(engine))
        await store.guilds.load()
        await store.alerts.load()
        yield store
