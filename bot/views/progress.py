"""Show progress in the acknowledged reply while a map is drawn, and say when it takes too long."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Self

from bot.interaction.patience import UNSENT
from bot.interaction.state import KeptMessage, ReplyKind, set_state, state_of
from bot.views.map import answer_view
from bot.views.replies import ANSWER_WITHIN, map_reply, progress_text
from liqmap import RequestError

if TYPE_CHECKING:
    import discord

    from bot.request.drawing import Draw
    from liqmap import MapRequest, MapResult, Progress

log = logging.getLogger(__name__)

PROGRESS_EVERY: Final = 2.0
"""Seconds before progress is first shown, and between two edits: Discord limits how many there may be."""

_STAYED = "The rest could not be fetched, so this map is incomplete; press Refresh to try again."
_SO_FAR = "This map is incomplete; the rest is being fetched, and the complete map will replace it."


async def drawn(
    draw: Draw, interaction: discord.Interaction[Any], request: MapRequest, *, partial: bool = False
) -> MapResult:
    """Draw `request` for an acknowledged reply that shows progress and, with `partial`, an incomplete map.

    Raises RequestError when it is too late to answer.
    """
    ticker = ProgressTicker(interaction)
    show_partial = ticker.show_partial if partial else None
    try:
        async with ticker, asyncio.timeout(ANSWER_WITHIN.total_seconds()):
            return await draw(request, progress=ticker.show, partial=show_partial)
    except TimeoutError:
        raise RequestError(
            "This took longer than the 15 minutes that Discord waits for an answer; the data fetched so far"
            " is kept, so ask again to continue."
        ) from None


class ProgressTicker:
    """Edits a deferred reply as the work goes on: not at once, not too often, never after `async with`."""

    def __init__(self, interaction: discord.Interaction[Any]) -> None:
        self._interaction = interaction
        self._started = self._edited = self._time()
        self._edit: asyncio.Task[None] | None = None

    def show(self, progress: Progress) -> None:
        """Show `progress`, unless it is too soon or the last edit is still on its way."""
        now = self._time()
        if now - self._edited < PROGRESS_EVERY or (self._edit and not self._edit.done()):
            return
        self._edited = now
        self._edit = asyncio.create_task(self._send(progress_text(progress, elapsed=now - self._started)))

    def show_partial(self, result: MapResult) -> None:
        """Show a map of the trades so far; progress is shown above it from then on."""
        before, self._edited = self._edit, self._time()
        self._edit = asyncio.create_task(self._send_partial(result, before))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        # An edit that is on its way must not overtake the answer.
        if self._edit:
            await self._edit

    def _time(self) -> float:
        return asyncio.get_running_loop().time()

    async def _send(self, text: str) -> None:
        await self._edit_reply(content=text)

    async def _send_partial(self, result: MapResult, before: asyncio.Task[None] | None) -> None:
        # Two edits on their way at once may arrive in either order.
        if before is not None:
            await before
        reply = map_reply(result)
        if await self._edit_reply(content=_SO_FAR, embeds=reply.embeds, attachments=reply.files):
            kept = KeptMessage(_STAYED, answer_view(self._interaction, result))
            state = replace(state_of(self._interaction), reply=ReplyKind.KEPT, kept=kept)
            set_state(self._interaction, state)
            await self._interaction.client.waiting.remember(self._interaction)

    async def _edit_reply(self, **changes: Any) -> bool:  # noqa: ANN401 - handed on as they are
        try:
            await self._interaction.edit_original_response(**changes)
        except UNSENT as error:
            # Progress is a courtesy; the answer itself still comes, or fails with a sentence of its own.
            self._edited += 10 * PROGRESS_EVERY
            log.info("progress could not be shown: %s", getattr(error, "status", type(error).__name__))
            return False
        return True
