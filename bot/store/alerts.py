"""Store alerts: who wants to know when the price comes near a large cluster."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, insert, select, true, update

from bot.store.database import writing
from bot.store.owner import EVERYBODY, Owner
from bot.store.room import equal_id, free_place, until_unique
from bot.store.tables import alerts
from liqmap import Market, PositionModel, RequestError
from liqmap.parsing import parse_exchanges

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine


TO_CREATOR: Final = 0
"""The channel of an alert that goes to its creator as a private message."""

ANYWHERE: Final = "ANY"
"""The symbol of an alert that watches all recorded markets of its exchanges; no contract has that name."""

# Without the cooldown: two alerts that differ in it alone would both be posted.
_KEY: Final = ("channel_id", "exchange", "symbol", "distance", "notional", "positions")


@dataclass(frozen=True, slots=True)
class NewAlert:
    """An alert as it is requested: `distance` 0.01 is 1 %, `notional` is in quote currency.

    `exchange` is text for `parse_exchanges`, and `symbol` is spelled as on the first of these exchanges.
    `positions` says how much of the trades stands; None leaves that to the settings. `reason` says why the
    alert is paused, and is "" while it is watched.
    """

    guild_id: int
    channel_id: int
    creator_id: int
    exchange: str
    symbol: str
    distance: float
    notional: float
    cooldown: timedelta
    reason: str = ""
    positions: PositionModel | None = None

    @property
    def is_private(self) -> bool:
        """Whether it goes to its creator alone."""
        return self.channel_id == TO_CREATOR

    @property
    def is_of_all(self) -> bool:
        """Whether it watches all recorded markets."""
        return self.symbol == ANYWHERE

    @property
    def markets(self) -> tuple[Market, ...]:
        """The markets that are watched in one map."""
        return tuple(Market(each, self.symbol) for each in parse_exchanges(self.exchange))


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert(NewAlert):
    """An alert as it is stored."""

    id: int
    fired_at: datetime | None


_SHOWN: Final = [alerts.c[each.name] for each in fields(Alert)]
_PRIVATE: Final = alerts.c.channel_id == TO_CREATOR


class AlertTable:
    """An owner's alerts."""

    def __init__(self, engine: AsyncEngine, owner: Owner = EVERYBODY) -> None:
        self._engine = engine
        self._owner = owner
        self._own = owner.owns(alerts)

    async def add(self, new: NewAlert, *, most: int | None = None) -> int:
        """Store an alert, or resume an equal one that is paused; return its id.

        Raises RequestError if its server or person already has `most` alerts, or an equal one that is active.
        """
        return await until_unique(lambda: self._add(new, most=most))

    async def check_room(self, new: NewAlert, *, most: int) -> None:
        """Raise RequestError if `new` could not be added now. Only the check that `add` makes is binding."""
        async with self._engine.connect() as connection:
            await _place_for(connection, self._row(new), most=most)

    async def all(self) -> Sequence[Alert]:
        """Return every alert that this process watches, oldest first."""
        return await self._select(self._owner.serves(alerts))

    async def is_watched(self, alert_id: int) -> bool:
        """Return whether an alert is there and not paused."""
        return bool(await self._select(alerts.c.id == alert_id, alerts.c.reason == ""))

    async def of_guild(self, guild_id: int) -> Sequence[Alert]:
        """Return the alerts of a guild's channels, oldest first."""
        return await self._select(alerts.c.guild_id == guild_id, ~_PRIVATE)

    async def of_person(self, user_id: int) -> Sequence[Alert]:
        """Return the alerts that a person gets as private messages, oldest first."""
        return await self._select(alerts.c.creator_id == user_id, _PRIVATE)

    async def pause(self, alert_id: int, *, reason: str) -> None:
        """Stop watching for an alert until it is set again."""
        async with writing(self._engine) as connection:
            await connection.execute(
                update(alerts).where(self._own, alerts.c.id == alert_id).values(reason=reason)
            )

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
            paused = await equal_alert(connection, row, there=alerts.c.reason != "")
            if paused is not None:
                # Like a new one, it begins without a cooldown.
                again = update(alerts).where(alerts.c.id == paused).values(**row, fired_at=None)
                await connection.execute(again)
                return paused
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
    if await equal_alert(connection, row, there=alerts.c.reason == "") is not None:
        who = "You already have" if row["channel_id"] == TO_CREATOR else f"<#{row['channel_id']}> already has"
        raise RequestError(f"{who} this alert; see /alert list.")
    if await equal_alert(connection, row) is not None:
        return 0  # not used: the paused one is resumed in its own place
    return await alert_place(connection, row, most=most)


def alert_key(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the columns that equal alerts have in common: they would be posted together."""
    return ("creator_id", *_KEY) if row["channel_id"] == TO_CREATOR else _KEY


async def equal_alert(
    connection: AsyncConnection, row: Mapping[str, Any], *, there: ColumnElement[bool] | None = None
) -> int | None:
    """Return the id of an alert that equals `row`, None if there is none."""
    return await equal_id(
        connection, alerts, row, key=alert_key(row), there=true() if there is None else there
    )


async def alert_place(connection: AsyncConnection, row: Mapping[str, Any], *, most: int | None) -> int:
    """Return a free place for an alert, among those of its server or of its person.

    Raises RequestError if there are `most` already.
    """
    private = row["channel_id"] == TO_CREATOR
    there, owner = (_PRIVATE, "creator_id") if private else (~_PRIVATE, "guild_id")
    return await free_place(connection, alerts, row, there=there, owner=owner, most=most)


def alert_columns(new: NewAlert) -> dict[str, Any]:
    """Return the columns of an alert as it is requested."""
    # "" and not NULL: a unique key takes any number of equal rows with NULL in one of its columns.
    positions = "" if new.positions is None else new.positions.value
    return asdict(new) | {"cooldown": int(new.cooldown.total_seconds()), "positions": positions}


def _alert(row: dict[str, Any]) -> Alert:
    positions = PositionModel(row["positions"]) if row["positions"] else None
    return Alert(**row | {"cooldown": timedelta(seconds=row["cooldown"]), "positions": positions})
