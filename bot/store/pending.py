"""Remember which answers people wait for, so that after a kill the next start can give them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, or_, select
from sqlalchemy.exc import SQLAlchemyError

from bot.request.pending import TOKENS_LIVE, PendingAnswer
from bot.store.database import writing
from bot.store.tables import pending_answers

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncEngine


class PendingTable:
    """The table of pending answers. A row exists from the acknowledgement to the answer.

    Commands come in bursts, and Discord allows three seconds for each. So all changes that arrive during one
    transaction are written together in the next. Of several changes for an interaction, only the last counts.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._changes: dict[int, PendingAnswer | None] = {}
        self._next: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()

    async def put(self, answer: PendingAnswer) -> None:
        """Remember an answer, replacing an earlier one of the same interaction."""
        await self._change(answer.interaction_id, answer)

    async def remove(self, interaction_id: int) -> None:
        """Forget an answer."""
        await self._change(interaction_id, None)

    async def of(self, application_id: int, *, process: int = 0) -> list[PendingAnswer]:
        """Return the answers that one process of an application owes, the oldest first."""
        query = (
            select(pending_answers)
            .where(pending_answers.c.application_id == application_id, pending_answers.c.process == process)
            .order_by(pending_answers.c.asked_at)
        )
        async with self._engine.connect() as connection:
            return [_answer(row) for row in await connection.execute(query)]

    async def remove_old(self, *, now: datetime) -> None:
        """Forget answers whose token has expired, and those dated in the future by a clock that was ahead."""
        asked_at = pending_answers.c.asked_at
        old = or_(asked_at < now - TOKENS_LIVE, asked_at > now + TOKENS_LIVE)
        async with writing(self._engine) as connection:
            await connection.execute(delete(pending_answers).where(old))

    async def _change(self, interaction_id: int, answer: PendingAnswer | None) -> None:
        self._changes[interaction_id] = answer
        if self._next is None:
            self._next = asyncio.create_task(self._write())
        # Shielded, so that a caller who is cancelled does not cancel the write of the others.
        await asyncio.shield(self._next)

    async def _write(self) -> None:
        async with self._writing:
            # Taken only once the lock is free: until then this transaction collects more changes.
            changes, self._changes, self._next = self._changes, {}, None
            rows = [_row(answer) for answer in changes.values() if answer is not None]
            try:
                async with writing(self._engine) as connection:
                    await connection.execute(
                        delete(pending_answers).where(pending_answers.c.interaction_id.in_(list(changes)))
                    )
                    if rows:
                        await connection.execute(insert(pending_answers), rows)
            except SQLAlchemyError:
                # Answered people must not be told after a restart that they got no answer, so the next write
                # removes them.
                for number, answer in changes.items():
                    if answer is None:
                        self._changes.setdefault(number, None)
                raise


def _row(answer: PendingAnswer) -> dict[str, Any]:
    return {name: getattr(answer, name) for name in PendingAnswer.__slots__}


def _answer(row: Row[Any]) -> PendingAnswer:
    return PendingAnswer(**row._asdict())
