"""How much one person, and one server, may ask for."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cachetools import TTLCache
from discord.app_commands import Cooldown

from liqmap import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    import discord

    from bot.settings import LimitsSettings

_MINUTE: Final = 60.0
_MOST_REMEMBERED = 100_000


class Limits:
    """Counts maps under way, and maps asked for within a minute."""

    def __init__(self, settings: LimitsSettings, *, now: Callable[[], datetime]) -> None:
        self._settings = settings
        self._now = now
        self._under_way: Counter[int] = Counter()
        self._users = self._buckets()
        self._guilds = self._buckets()

    @contextmanager
    def counted(self, user_id: int, guild_id: int | None) -> Iterator[None]:
        """Count one map while it is under way. Raises RequestError if it is one too many."""
        most = self._settings.maps_per_user
        if self._under_way[user_id] >= most:
            raise RequestError(f"You have {most} maps under way already; wait for one of them, please.")
        self._spend(self._users, user_id, self._settings.maps_per_user_a_minute, "You have")
        if guild_id is not None:
            self._spend(self._guilds, guild_id, self._settings.maps_per_guild_a_minute, "This server has")
        self._under_way[user_id] += 1
        try:
            yield
        finally:
            self._under_way[user_id] -= 1
            if not self._under_way[user_id]:
                del self._under_way[user_id]

    def _spend(self, buckets: TTLCache[int, Cooldown], key: int, most: int, who: str) -> None:
        now = self._now()
        bucket = buckets.get(key) or Cooldown(most, _MINUTE)
        wait = bucket.update_rate_limit(now.timestamp())
        buckets[key] = bucket
        if wait is not None:
            when = f"<t:{int(now.timestamp() + wait) + 1}:R>"
            raise RequestError(f"{who} asked for {most} maps within a minute; try again {when}.")

    def _buckets(self) -> TTLCache[int, Cooldown]:
        return TTLCache(_MOST_REMEMBERED, ttl=2 * _MINUTE, timer=lambda: self._now().timestamp())


def check_channel(interaction: discord.Interaction, allowed: tuple[int, ...]) -> None:
    """Raise RequestError if the server draws in other channels than this only."""
    here = {interaction.channel_id, getattr(interaction.channel, "parent_id", None)}
    if interaction.guild_id is not None and allowed and not here & set(allowed):
        channels = " and ".join(f"<#{channel_id}>" for channel_id in allowed[:5])
        raise RequestError(f"On this server, maps are drawn in {channels}; ask there, please.")
