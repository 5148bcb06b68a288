"""Alerts: who wants to know when the price comes near a large cluster."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from bot.store.tables import alerts
from liqmap import Exchange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncEngine


@dataclass(frozen=True, slots=True)
class NewAlert:
    """An alert as it is asked for: `distance` 0.01 is 1 %, `notional` is in quote currency."""

    guild_id: int
    channel_id: int
    creator_id: int
    exchange: Exchange
    symbol: str
    distance: float
    notional: float
    cooldown: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert(NewAlert):
    """An alert as it is stored."""

    id: int
    fired_at: datetime | None


class Alerts:
    """The table of alerts."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, new: NewAlert) -> int:
        """Store an alert; return its id."""
        values = asdict(new) | {"cooldown": int(new.cooldown.total_seconds())}
        async with self._engine.begin() as connection:
            stored = await connection.execute(insert(alerts).values(values).returning(alerts.c.id))
            return int(stored.scalar_one())

    async def all(self) -> Sequence[Alert]:
        """Return every alert."""
        return await self._select()

    async def of_guild(self, guild_id: int) -> Sequence[Alert]:
        """Return a guild's alerts, oldest first."""
        return await self._select(alerts.c.guild_id == guild_id)

    async def fired(self, alert_id: int, *, now: datetime) -> None:
        """Begin an alert's cooldown."""
        async with self._engine.begin() as connection:
            await connection.execute(update(alerts).where(alerts.c.id == alert_id).values(fired_at=now))

    async def remove(self, alert_id: int) -> bool:
        """Remove an alert; return whether it was there."""
        return await self._delete(alerts.c.id == alert_id)

    async def remove_guild(self, guild_id: int) -> None:
        """Remove a guild's alerts."""
        await self._delete(alerts.c.guild_id == guild_id)

    async def remove_channel(self, channel_id: int) -> None:
        """Remove a channel's alerts."""
        await self._delete(alerts.c.channel_id == channel_id)

    async def _select(self, *conditions: ColumnElement[bool]) -> list[Alert]:
        query = select(alerts).where(*conditions).order_by(alerts.c.id)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [_alert(dict(row)) for row in rows]

    async def _delete(self, *conditions: ColumnElement[bool]) -> bool:
        async with self._engine.begin() as connection:
            return (await connection.execute(delete(alerts).where(*conditions))).rowcount > 0


def _alert(row: dict[str, Any]) -> Alert:
    return Alert(
        **row | {"exchange": Exchange(row["exchange"]), "cooldown": timedelta(seconds=row["cooldown"])}
    )
