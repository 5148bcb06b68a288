"""Answers that people wait for: enough to give them a sentence after the process was killed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, insert, or_, select, update

from bot.store.database import writing
from bot.store.tables import pending_answers

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncEngine

TOKENS_LIVE: Final = timedelta(minutes=15)
"""How long Discord takes an answer to an interaction."""


@dataclass(frozen=True, slots=True)
class PendingAnswer:
    """An interaction that was acknowledged and not answered yet.

    Whoever holds its `token` can write in the bot's name, so that shows in no text. `reply` is a
    `bot.interaction.state.ReplyKind`. Where the message `edits`, its text becomes `content`.
    """

    interaction_id: int
    application_id: int
    token: str = field(repr=False)
    reply: str
    edits: bool
    content: str | None
    asked_at: datetime


class PendingTable:
    """The table of pending answers. A row is there from the acknowledgement to the answer."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def put(self, answer: PendingAnswer) -> None:
        """Remember an answer; what was remembered of the same interaction is replaced."""
        row = {name: getattr(answer, name) for name in PendingAnswer.__slots__}
        async with writing(self._engine) as connection:
            changed = await connection.execute(
                update(pending_answers)
                .where(pending_answers.c.interaction_id == answer.interaction_id)
                .values(row)
            )
            if not changed.rowcount:
                await connection.execute(insert(pending_answers).values(row))

    async def remove(self, interaction_id: int) -> None:
        """Forget an answer."""
        async with writing(self._engine) as connection:
            await connection.execute(
                delete(pending_answers).where(pending_answers.c.interaction_id == interaction_id)
            )

    async def of(self, application_id: int) -> list[PendingAnswer]:
        """Return the answers that one application owes, the oldest first."""
        query = (
            select(pending_answers)
            .where(pending_answers.c.application_id == application_id)
            .order_by(pending_answers.c.asked_at)
        )
        async with self._engine.connect() as connection:
            return [_answer(row) for row in await connection.execute(query)]

    async def remove_old(self, *, now: datetime) -> None:
        """Forget what cannot be answered any more, and what a clock that was ahead has left."""
        asked_at = pending_answers.c.asked_at
        old = or_(asked_at < now - TOKENS_LIVE, asked_at > now + TOKENS_LIVE)
        async with writing(self._engine) as connection:
            await connection.execute(delete(pending_answers).where(old))


def _answer(row: Row[Any]) -> PendingAnswer:
    return PendingAnswer(**row._asdict())
