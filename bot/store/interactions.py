"""Record which process answers each command and press, so that only one does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, or_
from sqlalchemy.exc import IntegrityError

from bot.request.pending import TOKENS_LIVE
from bot.store.database import writing
from bot.store.tables import interactions

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncEngine


class InteractionTable:
    """The table of interactions, unique by the id that Discord gives each of them."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def take(self, interaction_id: int, *, application_id: int, now: datetime) -> bool:
        """Take an interaction for this process; return False if it has been taken before."""
        # The insert itself is the test: of two processes that looked first, both would find nothing.
        row = {"id": interaction_id, "application_id": application_id, "taken_at": now}
        try:
            async with writing(self._engine) as connection:
                await connection.execute(insert(interactions).values(row))
        except IntegrityError:
            return False
        return True

    async def forget_old(self, *, now: datetime) -> None:
        """Forget interactions whose token has expired, and those noted by a clock that was ahead."""
        taken_at = interactions.c.taken_at
        old = or_(taken_at < now - TOKENS_LIVE, taken_at > now + TOKENS_LIVE)
        async with writing(self._engine) as connection:
            await connection.execute(delete(interactions).where(old))
