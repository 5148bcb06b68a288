"""Alerts: who wants to know when the price comes near a large cluster."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from bot.store.database import writing
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


class AlertTable:
    """The table of alerts. It is looked at each minute, so all of it is kept in memory."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._known: dict[int, Alert] = {}

    async def load(self) -> None:
        """Read the table."""
        async with self._engine.connect() as connection:
            rows = (await connection.execute(select(alerts).order_by(alerts.c.id))).mappings().all()
        self._known = {row["id"]: _alert(dict(row)) for row in rows}

    async def add(self, new: NewAlert) -> int:
        """Store an alert; return its id."""
        async with writing(self._engine) as connection:
            stored = await connection.execute(
                insert(alerts).values(alert_columns(new)).returning(alerts.c.id)
            )
            number = int(stored.scalar_one())
        self._known[number] = Alert(**asdict(new), id=number, fired_at=None)
        return number

    def all(self) -> Sequence[Alert]:
        """Return every alert, oldest first."""
        return list(self._known.values())

    def of_guild(self, guild_id: int) -> Sequence[Alert]:
        """Return a guild's alerts, oldest first."""
        return [each for each in self._known.values() if each.guild_id == guild_id]

    async def fired(self, alert_id: int, *, now: datetime) -> None:
        """Begin an alert's cooldown."""
        # Known first: it must not be told again each minute while the database is away.
        if alert_id in self._known:
            self._known[alert_id] = replace(self._known[alert_id], fired_at=now)
        async with writing(self._engine) as connection:
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

    async def _delete(self, which: ColumnElement[bool]) -> bool:
        async with writing(self._engine) as connection:
            gone = list(
                (await connection.execute(delete(alerts).where(which).returning(alerts.c.id))).scalars()
            )
        for number in gone:
            self._known.pop(number, None)
        return bool(gone)


def alert_columns(new: NewAlert) -> dict[str, Any]:
    """Return the columns of an alert as it is requested."""
    return asdict(new) | {"cooldown": int(new.cooldown.total_seconds())}


def _alert(row: dict[str, Any]) -> Alert:
    return Alert(
        **row | {"exchange": Exchange(row["exchange"]), "cooldown": timedelta(seconds=row["cooldown"])}
    )
