"""What a server has set for everybody in it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from bot.store.tables import guilds

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine


@dataclass(frozen=True, slots=True)
class GuildDefaults:
    """What holds in a guild where a command does not say otherwise, in the words of the options.

    `channels` are the only ones in which the bot draws; none means all.
    """

    exchange: str | None = None
    mode: str | None = None
    value: str | None = None
    theme: str | None = None
    leverages: str | None = None
    channels: tuple[int, ...] = ()


class Guilds:
    """The table of guilds' defaults."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def get(self, guild_id: int) -> GuildDefaults:
        """Return a guild's defaults."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(guilds).where(guilds.c.guild_id == guild_id))).first()
        if row is None:
            return GuildDefaults()
        channels = tuple(int(each) for each in row.channels.split(",") if each)
        return GuildDefaults(row.exchange, row.mode, row.value, row.theme, row.leverages, channels)

    async def put(self, guild_id: int, defaults: GuildDefaults) -> None:
        """Replace a guild's defaults."""
        values = asdict(defaults) | {"guild_id": guild_id, "channels": ",".join(map(str, defaults.channels))}
        async with self._engine.begin() as connection:
            await connection.execute(delete(guilds).where(guilds.c.guild_id == guild_id))
            await connection.execute(insert(guilds).values(values))

    async def all(self) -> dict[int, GuildDefaults]:
        """Return the defaults of every guild that has set some."""
        async with self._engine.connect() as connection:
            ids = (await connection.execute(select(guilds.c.guild_id))).scalars().all()
        return {guild_id: await self.get(guild_id) for guild_id in ids}

    async def remove(self, guild_id: int) -> None:
        """Forget a guild's defaults."""
        async with self._engine.begin() as connection:
            await connection.execute(delete(guilds).where(guilds.c.guild_id == guild_id))
