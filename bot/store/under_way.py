"""Count the maps that a person has under way in all processes of a bot."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, or_, select
from sqlalchemy.exc import SQLAlchemyError

from bot.request.pending import TOKENS_LIVE
from bot.store.database import writing
from bot.store.room import first_free, until_unique
from bot.store.tables import maps_under_way

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncEngine

log = logging.getLogger(__name__)


class MapsUnderWay:
    """The table of maps under way. Each has a unique place among its person's maps (see `bot.store.room`)."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def counted(
        self, application_id: int, user_id: int, *, most: int, process: int, now: datetime
    ) -> AsyncIterator[bool]:
        """Count a map while the block runs. Yields False if the person already has `most` under way."""
        row = {"application_id": application_id, "user_id": user_id, "process": process}
        place = await until_unique(lambda: self._take(row, most=most, now=now))
        try:
            yield place is not None
        finally:
            if place is not None:
                await self._give_back(application_id, user_id, place)

    async def forget(self, application_id: int, *, process: int) -> None:
        """Forget what a process had under way when it was killed."""
        its = (maps_under_way.c.application_id == application_id, maps_under_way.c.process == process)
        async with writing(self._engine) as connection:
            await connection.execute(delete(maps_under_way).where(*its))

    async def forget_old(self, *, now: datetime) -> None:
        """Forget maps whose token has expired, and those noted by a clock that was ahead."""
        async with writing(self._engine) as connection:
            await connection.execute(delete(maps_under_way).where(_is_over(now)))

    async def _take(self, row: dict[str, int], *, most: int, now: datetime) -> int | None:
        table = maps_under_way
        its = (table.c.application_id == row["application_id"], table.c.user_id == row["user_id"])
        async with writing(self._engine) as connection:
            # Rows that a killed process left would otherwise count against the person for ever.
            await connection.execute(delete(table).where(*its, _is_over(now)))
            taken = (await connection.execute(select(table.c.place).where(*its))).scalars().all()
            if len(taken) >= most:
                return None
            # A row that another process adds at the same time takes the place, and this one tries again.
            place = first_free(taken)
            await connection.execute(insert(table).values(row | {"place": place, "begun_at": now}))
        return place

    async def _give_back(self, application_id: int, user_id: int, place: int) -> None:
        table = maps_under_way
        its = (table.c.application_id == application_id, table.c.user_id == user_id, table.c.place == place)
        try:
            async with writing(self._engine) as connection:
                await connection.execute(delete(table).where(*its))
        except SQLAlchemyError as error:  # the map is answered all the same, and the row is forgotten later
            log.warning("a map under way could not be counted off (%s)", type(error).__name__)


def _is_over(now: datetime) -> ColumnElement[bool]:
    begun_at = maps_under_way.c.begun_at
    return or_(begun_at < now - TOKENS_LIVE, begun_at > now + TOKENS_LIVE)
