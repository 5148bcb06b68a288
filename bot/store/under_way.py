"""Count the maps that a person has under way, and requested within a minute, in all processes of a bot."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sqlalchemy import and_, delete, insert, not_, or_, select, update
from sqlalchemy.exc import SQLAlchemyError

from bot.request.pending import TOKENS_LIVE
from bot.request.quota import MINUTE, too_many_a_minute, too_many_under_way
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
    """The table of maps that are under way or began within a minute.

    Each has a unique place among its person's maps (see `bot.store.room`).
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def counted(
        self, application_id: int, user_id: int, *, most: int, a_minute: int, process: int, now: datetime
    ) -> AsyncIterator[None]:
        """Count a map while the block runs.

        Raises RequestError if the person has `most` maps under way, or has requested `a_minute` within one.
        """
        row = {"application_id": application_id, "user_id": user_id, "process": process}
        place = await until_unique(lambda: self._take(row, most=most, a_minute=a_minute, now=now))
        try:
            yield
        finally:
            await self._give_back(application_id, user_id, place)

    async def forget(self, application_id: int, *, process: int) -> None:
        """Forget what a process had under way when it was killed."""
        its = (maps_under_way.c.application_id == application_id, maps_under_way.c.process == process)
        async with writing(self._engine) as connection:
            await connection.execute(delete(maps_under_way).where(*its))

    async def forget_old(self, *, now: datetime) -> None:
        """Forget maps that count no more."""
        async with writing(self._engine) as connection:
            await connection.execute(delete(maps_under_way).where(_is_over(now)))

    async def _take(self, row: dict[str, int], *, most: int, a_minute: int, now: datetime) -> int:
        table = maps_under_way
        its = (table.c.application_id == row["application_id"], table.c.user_id == row["user_id"])
        query = select(table.c.place, table.c.ended, table.c.begun_at).where(*its)
        async with writing(self._engine) as connection:
            # Rows that a killed process left would otherwise count against the person for ever.
            await connection.execute(delete(table).where(*its, _is_over(now)))
            maps = (await connection.execute(query)).all()
            if sum(not each.ended for each in maps) >= most:
                raise too_many_under_way(most)
            # One that began longer ago is still under way.
            lately = [each.begun_at for each in maps if abs(now - each.begun_at) < MINUTE]
            if len(lately) >= a_minute:
                raise too_many_a_minute("You have", a_minute, oldest=min(lately))
            # A row that another process adds at the same time takes the place, and this one tries again.
            place = first_free([each.place for each in maps])
            await connection.execute(insert(table).values(row | {"place": place, "begun_at": now}))
        return place

    async def _give_back(self, application_id: int, user_id: int, place: int) -> None:
        table = maps_under_way
        its = (table.c.application_id == application_id, table.c.user_id == user_id, table.c.place == place)
        try:
            async with writing(self._engine) as connection:
                await connection.execute(update(table).where(*its).values(ended=True))
        except SQLAlchemyError as error:  # the map is answered all the same, and the row is forgotten later
            log.warning("a map under way could not be counted off (%s)", type(error).__name__)


def _is_over(now: datetime) -> ColumnElement[bool]:
    """Return which maps count no more. Those of a clock that was far ahead are over, too."""
    begun_at, ended = maps_under_way.c.begun_at, maps_under_way.c.ended
    return or_(
        and_(ended, not_(begun_at.between(now - MINUTE, now + MINUTE))),
        not_(begun_at.between(now - TOKENS_LIVE, now + TOKENS_LIVE)),
    )
