"""The defaults that a server has set."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GuildDefaults:
    """The options that a guild's commands take if they are left out, as they are typed.

    The bot draws only in `channels`, or everywhere if there are none.
    """

    exchange: str | None = None
    mode: str | None = None
    value: str | None = None
    theme: str | None = None
    leverages: str | None = None
    timezone: str | None = None
    channels: tuple[int, ...] = ()
