"""How many maps one person and one server may request."""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Final, Protocol

from cachetools import TTLCache
from discord.app_commands import Cooldown

from liqmap import RequestError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import discord

    from bot.settings import LimitsSettings
    from liqmap import SteadyClock

_MINUTE: Final = 60.0
_MOST_REMEMBERED = 100_000


class Places(Protocol):
    """Counts a person's maps at all processes of a bot."""

    def __call__(self, user_id: int, most: int, /) -> AbstractAsyncContextManager[bool]:
        """Count a map inside the block, which gets False if the person has `most` under way already."""


class Limits:
    """Counts the maps under way and those of the last minute. Setting the clock changes neither.

    `places` counts a person's maps where a bot has several processes.
    """

    def __init__(self, settings: LimitsSettings, *, clock: SteadyClock, places: Places | None = None) -> None:
        self._settings = settings
        self._clock = clock
        self._places = places
        self._under_way: Counter[int] = Counter()
        self._users = self._buckets()
        self._guilds = self._buckets()

    @asynccontextmanager
    async def counted(self, user_id: int, guild_id: int | None) -> AsyncIterator[None]:
        """Count one map while it is under way. Raises RequestError if it is one too many."""
        most = self._settings.maps_per_user
        if self._under_way[user_id] >= most:
            raise _too_many(most)
        buckets = [self._bucket(self._users, user_id, self._settings.maps_per_user_a_minute, "You have")]
        if guild_id is not None:
            a_minute = self._settings.maps_per_guild_a_minute
            buckets.append(self._bucket(self._guilds, guild_id, a_minute, "This server has"))
        # Both buckets are checked before either is charged: a refused request costs nothing.
        for bucket in buckets:
            bucket.update_rate_limit(self._clock.steady())
        self._under_way[user_id] += 1
        try:
            if self._places is None:
                yield
                return
            async with self._places(user_id, most) as has_place:
                if not has_place:
                    raise _too_many(most)
                yield
        finally:
            self._under_way[user_id] -= 1
            # Deleted at zero: otherwise the counter would grow with everybody who ever drew a map.
            if not self._under_way[user_id]:
                del self._under_way[user_id]

    def _bucket(self, buckets: TTLCache[int, Cooldown], key: int, most: int, who: str) -> Cooldown:
        now = self._clock.steady()
        bucket = buckets[key] = buckets.get(key) or Cooldown(most, _MINUTE)
        if not bucket.get_tokens(now):
            again = self._clock.now().timestamp() + bucket.get_retry_after(now)
            when = f"<t:{int(again) + 1}:R>"
            raise RequestError(f"{who} asked for {most} maps within a minute; try again {when}.")
        return bucket

    def _buckets(self) -> TTLCache[int, Cooldown]:
        # A bucket has to outlive its minute; dropped earlier, it would start full again.
        return TTLCache(_MOST_REMEMBERED, ttl=2 * _MINUTE, timer=self._clock.steady)


def _too_many(most: int) -> RequestError:
    return RequestError(f"You already have {most} maps under way; wait until one is done, please.")


def check_channel(interaction: discord.Interaction, allowed: tuple[int, ...]) -> None:
    """Raise RequestError if the server allows maps only in other channels."""
    here = {interaction.channel_id, getattr(interaction.channel, "parent_id", None)}
    if interaction.guild_id is not None and allowed and not here & set(allowed):
        channels = " and ".join(f"<#{channel_id}>" for channel_id in allowed[:5])
        raise RequestError(
            f"On this server, maps are drawn only in {channels}; use the command there, please."
        )
