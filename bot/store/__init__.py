"""The bot's database: subscriptions, snapshots, alerts, servers' defaults, and interactions."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bot.store.alerts import AlertTable
from bot.store.alone import ProcessLocks
from bot.store.claims import Claims
from bot.store.database import open_database
from bot.store.guilds import GuildTable
from bot.store.interactions import InteractionTable
from bot.store.owner import EVERYBODY, Owner, Shards
from bot.store.pending import PendingTable
from bot.store.snapshots import SnapshotTable
from bot.store.subscriptions import SubscriptionTable
from bot.store.under_way import MapsUnderWay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime, timedelta

    from sqlalchemy.ext.asyncio import AsyncEngine

    from bot.settings import BotSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Store:
    """The tables as one owner sees them, the database that they are in, and the locks of its processes."""

    engine: AsyncEngine
    owner: Owner
    subscriptions: SubscriptionTable
    snapshots: SnapshotTable
    guilds: GuildTable
    alerts: AlertTable
    claims: Claims
    pending: PendingTable
    interactions: InteractionTable
    under_way: MapsUnderWay
    processes: ProcessLocks

    async def of(self, application_id: int, shards: Shards | None = None) -> Store:
        """Return the store as one application sees it: its own rows, and unclaimed ones that it can claim.

        With `shards`, its process posts and watches only for the servers on these shards.
        """
        owner = Owner(application_id, shards)
        # The database is open by then, so only the view of it changes.
        store = self if owner == self.owner else replace(self, **_owned_tables(self.engine, owner))
        await store.guilds.load()
        await store.claims.load()
        if store.claims.open:
            log.info("rows of %d servers belong to no bot yet", store.claims.open)
        return store

    async def rewind(self, *, now: datetime, back: timedelta) -> None:
        """Undo what was noted with times in the future, before the clock was set back by `back`."""
        # Posts that count as done, and subscriptions that count as not begun, would be missing until then.
        await self.snapshots.forget_future(now=now, back=back)
        await self.subscriptions.begin_by(now)


@asynccontextmanager
async def open_store(settings: BotSettings) -> AsyncIterator[Store]:
    """Open the database of the settings, with the rows of all applications. Raises SettingsError."""
    async with (
        open_database(settings.database.url, folder=settings.storage.path) as engine,
        ProcessLocks(engine) as processes,
    ):
        store = Store(
            engine,
            **_owned_tables(engine, EVERYBODY),
            pending=PendingTable(engine),
            interactions=InteractionTable(engine),
            under_way=MapsUnderWay(engine),
            processes=processes,
        )
        await store.guilds.load()
        yield store


def _owned_tables(engine: AsyncEngine, owner: Owner) -> dict[str, Any]:
    return {
        "owner": owner,
        "subscriptions": SubscriptionTable(engine, owner),
        "snapshots": SnapshotTable(engine, owner),
        "guilds": GuildTable(engine, owner),
        "alerts": AlertTable(engine, owner),
        "claims": Claims(engine, owner),
    }
