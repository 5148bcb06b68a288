"""What is stored of an unanswered request, so that a later process can answer it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

TOKENS_LIVE: Final = timedelta(minutes=15)
"""How long Discord accepts an answer to an interaction."""


@dataclass(frozen=True, slots=True)
class PendingAnswer:
    """An interaction that was acknowledged and not answered yet.

    Whoever has the `token` can write in the bot's name, so no text shows it. `reply` is a
    `bot.interaction.state.ReplyKind`. Where the message that stays `edits`, its text becomes `content`.
    `process` is which of the bot's processes owes it: the first of its shards.
    """

    interaction_id: int
    application_id: int
    token: str = field(repr=False)
    reply: str
    edits: bool
    content: str | None
    asked_at: datetime
    process: int = 0
