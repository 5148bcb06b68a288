"""Store the defaults that servers have set."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, delete, insert, select, update

from bot.request.defaults import GuildDefaults
from bot.store.database import writing
from bot.store.owner import EVERYBODY, Owner
from bot.store.room import until_unique
from bot.store.tables import guilds

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncEngine

VALUE_LENGTH: Final = 40


class GuildTable:
    """An owner's guilds and their defaults. The table is small, so it is kept in memory."""

    def __init__(self, engine: AsyncEngine, owner: Owner = EVERYBODY) -> None:
        self._engine = engine
        self._owner = owner
        self._own = owner.owns(guilds)
        self._known: dict[int, GuildDefaults] = {}

    async def load(self) -> None:
        """Read the table."""
        # Ordered so that a bot's own row overrides an unclaimed one of the same guild.
        query = select(guilds).where(self._owner.serves(guilds)).order_by(guilds.c.application_id)
        async with self._engine.connect() as connection:
            self._known = {row.guild_id: _defaults(row) for row in await connection.execute(query)}

    def get(self, guild_id: int | None) -> GuildDefaults:
        """Return a guild's defaults, empty ones outside of guilds."""
        return self._known.get(guild_id or 0, GuildDefaults())

    def all(self) -> dict[int, GuildDefaults]:
        """Return the defaults of every guild that has set some."""
        return dict(self._known)

    async def change(self, guild_id: int, change: Callable[[GuildDefaults], GuildDefaults]) -> GuildDefaults:
        """Replace a guild's defaults by what `change` makes of them, and return the new ones.

        It happens in one transaction, so concurrent changes are not lost. Raises what `change` raises.
        """
        self._known[guild_id] = await until_unique(lambda: self._change(guild_id, change))
        return self._known[guild_id]

    async def put(self, guild_id: int, defaults: GuildDefaults) -> None:
        """Replace a guild's defaults."""
        await self.change(guild_id, lambda _: defaults)

    async def remove(self, guild_id: int) -> None:
        """Forget a guild's defaults."""
        async with writing(self._engine) as connection:
            await connection.execute(delete(guilds).where(self._own, guilds.c.guild_id == guild_id))
        self._known.pop(guild_id, None)

    async def remove_channel(self, channel_id: int) -> None:
        """Remove a channel from the allowed ones."""

        def without(defaults: GuildDefaults) -> GuildDefaults:
            left = tuple(each for each in defaults.channels if each != channel_id)
            return replace(defaults, channels=left)

        # Only guilds in memory are searched: a channel's id does not say which guild it belongs to.
        for guild_id, defaults in self.all().items():
            if channel_id in defaults.channels:
                await self.change(guild_id, without)

    async def _change(self, guild_id: int, change: Callable[[GuildDefaults], GuildDefaults]) -> GuildDefaults:
        key = {"application_id": self._owner.of_new_rows, "guild_id": guild_id}
        one = and_(*(guilds.c[name] == value for name, value in key.items()))
        async with writing(self._engine) as connection:
            # Read in the transaction and not from memory, where another process's change may be missing.
            row = (await connection.execute(select(guilds).where(one).with_for_update())).first()
            now = change(GuildDefaults() if row is None else _defaults(row))
            values = guild_columns(guild_id, now)
            if row is None:
                await connection.execute(insert(guilds).values(values | key))
            else:
                await connection.execute(update(guilds).where(one).values(values))
        return now


def guild_columns(guild_id: int, defaults: GuildDefaults) -> dict[str, Any]:
    """Return the columns of a guild's defaults."""
    return asdict(defaults) | {"guild_id": guild_id, "channels": ",".join(map(str, defaults.channels))}


def _defaults(row: Row[Any]) -> GuildDefaults:
    channels = tuple(int(each) for each in row.channels.split(",") if each)
    return GuildDefaults(row.exchange, row.mode, row.value, row.theme, row.leverages, row.timezone, channels)
