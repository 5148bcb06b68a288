"""Alerts: who wants to know when the price comes near a large cluster."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, insert, select, update

from bot.store.database import writing
from bot.store.owner import EVERYBODY, Owner
from bot.store.room import free_place, has_equal, until_unique
from bot.store.tables import alerts
from liqmap import Exchange, RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine


ALERT_KEY: Final = ("channel_id", "exchange", "symbol", "distance", "notional")
"""What makes two alerts one: they would be posted together."""


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


_SHOWN: Final = [alerts.c[each.name] for each in fields(Alert)]


class AlertTable:
    """An owner's alerts."""

    def __init__(self, engine: AsyncEngine, owner: Owner = EVERYBODY) -> None:
        self._engine = engine
        self._owner = owner
        self._own = owner.owns(alerts)

    async def add(self, new: NewAlert, *, most: int | None = None) -> int:
        """Store an alert; return its id.

        Raises RequestError if its server has `most` already, or its channel is alerted of just that.
        """
        return await until_unique(lambda: self._add(new, most=most))

    async def check_room(self, new: NewAlert, *, most: int) -> None:
        """Raise RequestError if `new` could not be added at this moment, as `add` will check for good."""
        async with self._engine.connect() as connection:
            await _place_for(connection, self._row(new), most=most)

    async def all(self) -> Sequence[Alert]:
        """Return every alert, oldest first."""
        return await self._select()

    async def of_guild(self, guild_id: int) -> Sequence[Alert]:
        """Return a guild's alerts, oldest first."""
        return await self._select(alerts.c.guild_id == guild_id)

    async def fired(self, alert_id: int, *, now: datetime) -> None:
        """Begin an alert's cooldown."""
        async with writing(self._engine) as connection:
            await connection.execute(
                update(alerts).where(self._own, alerts.c.id == alert_id).values(fired_at=now)
            )

    async def remove(self, alert_id: int) -> bool:
        """Remove an alert; return whether it was there."""
        return await self._delete(alerts.c.id == alert_id)

    async def remove_guild(self, guild_id: int) -> None:
        """Remove a guild's alerts."""
        await self._delete(alerts.c.guild_id == guild_id)

    async def remove_channel(self, channel_id: int) -> None:
        """Remove a channel's alerts."""
        await self._delete(alerts.c.channel_id == channel_id)

    async def _add(self, new: NewAlert, *, most: int | None) -> int:
        row = self._row(new)
        async with writing(self._engine) as connection:
            place = await _place_for(connection, row, most=most)
            stored = await connection.execute(
                insert(alerts).values(**row, place=place).returning(alerts.c.id)
            )
            return int(stored.scalar_one())

    def _row(self, new: NewAlert) -> dict[str, Any]:
        return alert_columns(new) | {"application_id": self._owner.of_new_rows}

    async def _select(self, *conditions: ColumnElement[bool]) -> list[Alert]:
        query = select(*_SHOWN).where(self._own, *conditions).order_by(alerts.c.id)
        async with self._engine.connect() as connection:
            return [_alert(dict(row)) for row in (await connection.execute(query)).mappings()]

    async def _delete(self, which: ColumnElement[bool]) -> bool:
        async with writing(self._engine) as connection:
            gone = await connection.execute(delete(alerts).where(self._own, which))
            return gone.rowcount > 0


async def _place_for(connection: AsyncConnection, row: Mapping[str, Any], *, most: int | None) -> int:
    if await has_equal(connection, alerts, row, key=ALERT_KEY):
        raise RequestError(f"<#{row['channel_id']}> already has this alert; see /alert list.")
    return await free_place(connection, alerts, row, most=most)


def alert_columns(new: NewAlert) -> dict[str, Any]:
    """Return the columns of an alert as it is requested."""
    return asdict(new) | {"cooldown": int(new.cooldown.total_seconds())}


def _alert(row: dict[str, Any]) -> Alert:
    return Alert(
        **row | {"exchange": Exchange(row["exchange"]), "cooldown": timedelta(seconds=row["cooldown"])}
    )
