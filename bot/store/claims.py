"""Claim rows that belong to no bot for the first bot in their server.

Such rows were imported, or written by versions that knew no owners.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, select, union, update

from bot.store.alerts import alert_place, equal_alert
from bot.store.database import writing
from bot.store.owner import UNCLAIMED, Owner
from bot.store.room import equal_id, free_place, until_unique
from bot.store.subscriptions import DOUBLED, SUBSCRIPTION_KEY, SubscriptionState
from bot.store.tables import alerts, guilds, subscriptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a bot has claimed in a server: ids of subscriptions and alerts, and whether it had defaults."""

    subscriptions: Sequence[int]
    alerts: Sequence[int]
    defaults: bool


class Claims:
    """The rows that belong to no bot, as an application sees them."""

    def __init__(self, engine: AsyncEngine, owner: Owner) -> None:
        self._engine = engine
        self._owner = owner
        self._guilds: set[int] = set()

    @property
    def open(self) -> int:
        """How many servers have rows that belong to no bot."""
        return len(self._guilds)

    async def load(self) -> None:
        """Find the servers that have unclaimed rows."""
        tables = (subscriptions, alerts, guilds)
        query = union(*(select(each.c.guild_id).where(each.c.application_id == UNCLAIMED) for each in tables))
        async with self._engine.connect() as connection:
            self._guilds = set((await connection.execute(query)).scalars())

    async def claim(self, guild_id: int) -> Claimed | None:
        """Claim the unclaimed rows of a server for this application; return them, None if there were none."""
        # From memory, because this is called for every server at the start, and nearly none has such rows.
        if guild_id not in self._guilds:
            return None
        claimed = await until_unique(lambda: self._claim(guild_id))
        self._guilds.discard(guild_id)
        return claimed if claimed.subscriptions or claimed.alerts or claimed.defaults else None

    async def _claim(self, guild_id: int) -> Claimed:
        async with writing(self._engine) as connection:
            return Claimed(
                await self._claim_subscriptions(connection, guild_id),
                await self._claim_alerts(connection, guild_id),
                await self._claim_defaults(connection, guild_id),
            )

    async def _claim_subscriptions(self, connection: AsyncConnection, guild_id: int) -> list[int]:
        # One by one, because the place that a row gets depends on those claimed before it.
        rows = await self._left(connection, subscriptions, guild_id)
        for row in rows:
            mine = row | {"application_id": self._owner.of_new_rows}
            # Without a limit: what a server had before must not be lost because it is too much now.
            if row["state"] != SubscriptionState.DRAFT:
                mine["place"] = await free_place(connection, subscriptions, mine, most=None)
            active = subscriptions.c.state == SubscriptionState.ACTIVE
            # Paused instead of deleted, so that people see it and can decide.
            equal = await equal_id(connection, subscriptions, mine, there=active, key=SUBSCRIPTION_KEY)
            if row["state"] == SubscriptionState.ACTIVE and equal is not None:
                mine |= {"state": SubscriptionState.PAUSED, "reason": DOUBLED}
            await _put(connection, subscriptions, mine)
        return [row["id"] for row in rows]

    async def _claim_alerts(self, connection: AsyncConnection, guild_id: int) -> list[int]:
        claimed = []
        for row in await self._left(connection, alerts, guild_id):
            mine = row | {"application_id": self._owner.of_new_rows}
            # An equal alert of the bot's own would be posted together with it, so one is enough.
            if await equal_alert(connection, mine) is not None:
                await connection.execute(delete(alerts).where(alerts.c.id == row["id"]))
                continue
            mine["place"] = await alert_place(connection, mine, most=None)
            await _put(connection, alerts, mine)
            claimed.append(row["id"])
        return claimed

    async def _claim_defaults(self, connection: AsyncConnection, guild_id: int) -> bool:
        left = and_(guilds.c.guild_id == guild_id, guilds.c.application_id == UNCLAIMED)
        if (
            await connection.execute(select(guilds.c.guild_id).where(left).with_for_update())
        ).first() is None:
            return False
        # Imported defaults replace the present ones.
        own = and_(guilds.c.guild_id == guild_id, self._owner.owns(guilds))
        await connection.execute(delete(guilds).where(own))
        await connection.execute(update(guilds).where(left).values(application_id=self._owner.of_new_rows))
        return True

    @staticmethod
    async def _left(connection: AsyncConnection, table: Table, guild_id: int) -> list[dict[str, Any]]:
        left = and_(table.c.guild_id == guild_id, table.c.application_id == UNCLAIMED)
        query = select(table).where(left).order_by(table.c.id).with_for_update()
        return [dict(row) for row in (await connection.execute(query)).mappings()]


async def _put(connection: AsyncConnection, table: Table, row: Mapping[str, Any]) -> None:
    await connection.execute(update(table).where(table.c.id == row["id"]).values(row))
