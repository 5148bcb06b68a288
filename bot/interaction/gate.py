"""The gate before every command and press: it lets each interaction through once."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from cachetools import LRUCache
from sqlalchemy.exc import SQLAlchemyError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    import discord

log = logging.getLogger(__name__)

_TAKING_SECONDS: Final = 1.0
_MOST_REMEMBERED: Final = 10_000


class Gate:
    """Lets each interaction through once, even if it arrives twice or at several processes.

    `take` takes an interaction, of an id and an application, among all processes; it returns False if
    another has taken it. Discord waits three seconds for the first answer, so who cannot be answered in a
    second is let through: what an interaction does is unique in the database too.
    """

    def __init__(self, take: Callable[[int, int], Coroutine[Any, Any, bool]]) -> None:
        self._take = take
        self._seen: LRUCache[int, bool] = LRUCache(_MOST_REMEMBERED)

    async def admits(self, interaction: discord.Interaction[Any]) -> bool:
        """Return whether this process is to answer."""
        if interaction.id in self._seen:
            log.info("interaction %d came twice", interaction.id)
            return False
        # Noted before the first await: the second of two deliveries may run meanwhile.
        self._seen[interaction.id] = True
        taking = asyncio.ensure_future(self._take(interaction.id, interaction.application_id))
        await asyncio.wait({taking}, timeout=_TAKING_SECONDS)
        if not taking.done():
            taking.add_done_callback(_end)
            log.warning("an interaction is answered untaken: the database is slow")
            return True
        return _end(taking)


def _end(taking: asyncio.Future[bool]) -> bool:
    try:
        return taking.cancelled() or taking.result()
    except (SQLAlchemyError, OSError) as error:
        log.warning("an interaction is answered untaken: %s", type(error).__name__)
        return True
