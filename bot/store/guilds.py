"""What a server has set for everybody in it."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, insert, select

from bot.request.defaults import GuildDefaults
from bot.store.database import writing
from bot.store.tables import guilds

if TYPE_CHECKING:
    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncEngine

VALUE_LENGTH: Final = 40


class GuildTable:
    """The table of guilds' defaults. All of it is small, and kept in memory."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._known: dict[int, GuildDefaults] = {}

    async def load(self) -> None:
        """Read the table."""
        async with self._engine.connect() as connection:
            self._known = {row.guild_id: _defaults(row) for row in await connection.execute(select(guilds))}

    def get(self, guild_id: int | None) -> GuildDefaults:
        """Return a guild's defaults; outside of guilds there are none."""
        return self._known.get(guild_id or 0, GuildDefaults())

    def all(self) -> dict[int, GuildDefaults]:
        """Return the defaults of every guild that has set some."""
        return dict(self._known)

    async def put(self, guild_id: int, defaults: GuildDefaults) -> None:
        """Replace a guild's defaults."""
        async with writing(self._engine) as connection:
            await connection.execute(delete(guilds).where(guilds.c.guild_id == guild_id))
            await connection.execute(insert(guilds).values(guild_columns(guild_id, defaults)))
        self._known[guild_id] = defaults

    async def remove(self, guild_id: int) -> None:
        """Forget a guild's defaults."""
        async with writing(self._engine) as connection:
            await connection.execute(delete(guilds).where(guilds.c.guild_id == guild_id))
        self._known.pop(guild_id, None)

    async def remove_channel(self, channel_id: int) -> None:
        """Take a channel out of the allowed ones."""
        for guild_id, defaults in self.all().items():
            if channel_id in defaults.channels:
                left = tuple(each for each in defaults.channels if each != channel_id)
                await self.put(guild_id, replace(defaults, channels=left))


def guild_columns(guild_id: int, defaults: GuildDefaults) -> dict[str, Any]:
    """Return the columns of a guild's defaults."""
    return asdict(defaults) | {"guild_id": guild_id, "channels": ",".join(map(str, defaults.channels))}


def _defaults(row: Row[Any]) -> GuildDefaults:
    channels = tuple(int(each) for each in row.channels.split(",") if each)
    return GuildDefaults(row.exchange, row.mode, row.value, row.theme, row.leverages, channels)
