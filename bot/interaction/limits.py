"""How many maps one person and one server may request."""

from __future__ import annotations

from collections import Counter, deque
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from cachetools import TTLCache

from bot.request.quota import MINUTE, too_many_a_minute, too_many_under_way
from liqmap import RequestError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import discord

    from bot.settings import LimitsSettings
    from liqmap import SteadyClock

_MINUTE: Final = MINUTE.total_seconds()
_MOST_REMEMBERED = 100_000  # people, and as many servers: a bound on the memory
_Times = TTLCache[int, deque[float]]


class Places(Protocol):
    """Counts a person's maps at all processes of a bot."""

    def __call__(self, user_id: int, /) -> AbstractAsyncContextManager[None]:
        """Count a map inside the block. Raises RequestError if it is one too many."""


class Limits:
    """Counts the maps under way and those of the last minute. Setting the clock changes neither.

    `places` counts a person's maps where a bot has several processes.
    """

    def __init__(self, settings: LimitsSettings, *, clock: SteadyClock, places: Places | None = None) -> None:
        self._settings = settings
        self._clock = clock
        self._places = places
        self._under_way: Counter[int] = Counter()
        self._users = self._times()
        self._guilds = self._times()

    @asynccontextmanager
    async def counted(self, user_id: int, guild_id: int | None) -> AsyncIterator[None]:
        """Count one map while it is under way. Raises RequestError if it is one too many."""
        most = self._settings.maps_per_user
        if self._under_way[user_id] >= most:
            raise too_many_under_way(most)
        minutes = [self._minute(self._users, user_id, self._settings.maps_per_user_a_minute, "You have")]
        if guild_id is not None:
            a_minute = self._settings.maps_per_guild_a_minute
            minutes.append(self._minute(self._guilds, guild_id, a_minute, "This server has"))
        # All are checked before any is charged, and a refusal elsewhere takes the charge back: what is
        # refused costs nothing.
        now = self._clock.steady()
        for minute in minutes:
            minute.append(now)
        self._under_way[user_id] += 1
        try:
            async with AsyncExitStack() as elsewhere:
                if self._places is not None:
                    try:
                        await elsewhere.enter_async_context(self._places(user_id))
                    except RequestError:
                        for minute in minutes:
                            if now in minute:  # it may be over by now
                                minute.remove(now)
                        raise
                yield
        finally:
            self._under_way[user_id] -= 1
            # Deleted at zero: otherwise the counter would grow with everybody who ever drew a map.
            if not self._under_way[user_id]:
                del self._under_way[user_id]

    def _minute(self, times: _Times, key: int, most: int, who: str) -> deque[float]:
        """Return when somebody requested maps within the last minute. Raises RequestError if it is full."""
        now = self._clock.steady()
        minute = times[key] = times.get(key) or deque()
        while minute and minute[0] <= now - _MINUTE:
            minute.popleft()
        if len(minute) >= most:
            oldest = self._clock.now() - timedelta(seconds=now - minute[0])
            raise too_many_a_minute(who, most, oldest=oldest)
        return minute

    def _times(self) -> _Times:
        # They have to outlive their minute; dropped earlier, they would start empty again.
        return TTLCache(_MOST_REMEMBERED, ttl=2 * _MINUTE, timer=self._clock.steady)


def check_channel(interaction: discord.Interaction, allowed: tuple[int, ...]) -> None:
    """Raise RequestError if the server allows maps only in other channels."""
    here = {interaction.channel_id, getattr(interaction.channel, "parent_id", None)}
    if interaction.guild_id is not None and allowed and not here & set(allowed):
        channels = " and ".join(f"<#{channel_id}>" for channel_id in allowed[:5])
        raise RequestError(
            f"On this server, maps are drawn only in {channels}; use the command there, please."
        )
