"""What a server has set for everybody in it."""

from __future__ import annotations

from dataclasses import dataclass


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
    timezone: str | None = None
    channels: tuple[int, ...] = ()
