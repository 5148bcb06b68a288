"""People who wait for an answer: each gets one when the bot stops, or at the start after a kill."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, Protocol, Unpack

import discord
from sqlalchemy.exc import SQLAlchemyError

from bot.interaction.errors import answer_error, say
from bot.interaction.patience import UNSENT, failure_text
from bot.interaction.state import InteractionState, KeptMessage, ReplyKind, state_of
from bot.request.pending import PendingAnswer
from liqmap import LiqmapError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from datetime import datetime

    from bot.request.drawing import Draw, Listeners
    from liqmap import MapRequest, MapResult

log = logging.getLogger(__name__)

RESTARTED: Final = "The bot was restarted before it could answer; ask again, please."

_REMEMBERING_SECONDS: Final = 0.5
_ENDING_SECONDS: Final = 4.0
_UNWINDING_SECONDS: Final = 0.5
_TELLING_SECONDS: Final = 3.0
_TOLD_AT_ONCE: Final = 20
_ORIGINAL: Final[Any] = "@original"  # takes the place of an id


class Restarting(LiqmapError):
    """The bot stops before it could answer."""

    def __init__(self) -> None:
        super().__init__("The bot is restarting; ask again in a minute.")


class PendingStore(Protocol):
    """Where pending answers outlive the process: `bot.store.pending.PendingTable`."""

    async def put(self, answer: PendingAnswer) -> None:
        """Remember an answer."""

    async def remove(self, interaction_id: int) -> None:
        """Forget an answer."""


class Waiting:
    """Tracks who is waiting, from the start of a command or press to the end of its task."""

    def __init__(self, pending: PendingStore, *, now: Callable[[], datetime], process: int = 0) -> None:
        self._pending = pending
        self._process = process
        self._now = now
        self._people: dict[asyncio.Task[Any], discord.Interaction[Any]] = {}
        self._drawings: set[asyncio.Future[MapResult]] = set()
        self._remembered: dict[int, discord.Interaction[Any]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    def begin(self, interaction: discord.Interaction[Any]) -> None:
        """Note that the current task answers `interaction`."""
        task = asyncio.current_task()
        if task is not None:
            self._people[task] = interaction
            task.add_done_callback(self._end)

    def check_open(self) -> None:
        """Raise Restarting if the bot is stopping."""
        if self._is_stopping:
            raise Restarting

    def until_stopped(self, draw: Draw) -> Draw:
        """Return `draw`, which raises Restarting as soon as the bot stops."""

        async def run(request: MapRequest, **listeners: Unpack[Listeners]) -> MapResult:
            self.check_open()
            drawing = asyncio.ensure_future(draw(request, **listeners))
            self._drawings.add(drawing)
            try:
                return await drawing
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if self._is_stopping and not (task and task.cancelling()):
                    raise Restarting from None
                raise
            finally:
                self._drawings.discard(drawing)

        return run

    async def remember(self, interaction: discord.Interaction[Any]) -> None:
        """Note in the database what was promised, so that the next start keeps it if this process is killed.

        Discord wants the promise itself within three seconds, so a slow database is not waited for.
        """
        writing = self._spawn(self._pending.put(self._owed(interaction)))
        self._remembered[interaction.id] = interaction
        await asyncio.wait({writing}, timeout=_REMEMBERING_SECONDS)

    def _owed(self, interaction: discord.Interaction[Any]) -> PendingAnswer:
        return _pending_answer(interaction, now=self._now(), process=self._process)

    def answer_left(self, client: discord.Client, left: Iterable[PendingAnswer]) -> None:
        """Begin to answer those whom a process that was killed has left waiting."""
        slots = asyncio.Semaphore(_TOLD_AT_ONCE)
        for answer in left:
            self._spawn(self._answer_left(client, answer, slots))

    async def close(self) -> None:
        """Answer everybody who waits, within seconds; from now on nobody is taken on."""
        self._is_stopping = True
        for drawing in self._drawings:
            drawing.cancel()
        await self._until_nobody_waits(_ENDING_SECONDS)
        # What still goes on waits for the database, or for Discord to take something else.
        cut = dict(self._people)
        for task in cut:
            task.cancel()
        if cut:
            await asyncio.wait(cut, timeout=_UNWINDING_SECONDS)
        tellings = [self._spawn(self._tell_cut(interaction)) for interaction in cut.values()]
        if tellings or self._background:
            await asyncio.wait({*tellings, *self._background}, timeout=_TELLING_SECONDS)
        for task in tuple(self._background):
            task.cancel()

    async def _until_nobody_waits(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while self._people:  # others may come meanwhile
                    await asyncio.wait(set(self._people))
        except TimeoutError:
            log.info("%d are answered while their command still runs", len(self._people))

    def _end(self, task: asyncio.Task[Any]) -> None:
        interaction = self._people.pop(task, None)
        # A task that was cancelled has not answered yet.
        if interaction is not None and not task.cancelled():
            self._spawn(self._forget(interaction))

    async def _tell_cut(self, interaction: discord.Interaction[Any]) -> None:
        if await answer_error(interaction, Restarting()):
            await self._forget(interaction)

    async def _forget(self, interaction: discord.Interaction[Any]) -> None:
        # An interaction may arrive twice. The second ends at once and must not forget the first.
        if self._remembered.get(interaction.id) is interaction:
            del self._remembered[interaction.id]
            await self._pending.remove(interaction.id)

    async def _answer_left(
        self, client: discord.Client, answer: PendingAnswer, slots: asyncio.Semaphore
    ) -> None:
        kept = KeptMessage(answer.content) if answer.edits else None
        state = InteractionState(reply=ReplyKind(answer.reply), kept=kept)
        async with slots:
            try:
                await say(_LeftInteraction(client, answer), RESTARTED, state=state)
            except UNSENT as error:
                log.info("somebody from before the restart could not be answered: %s", failure_text(error))
        await self._pending.remove(answer.interaction_id)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(_noted(work))
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task


class _LeftInteraction:
    """What can still be answered of another process's interaction: its token does for that."""

    def __init__(self, client: discord.Client, answer: PendingAnswer) -> None:
        self.followup = discord.Webhook.partial(answer.application_id, answer.token, client=client)
        self.followup.type = discord.WebhookType.application  # others cannot write to one person alone

    async def edit_original_response(self, **changes: Any) -> None:  # noqa: ANN401 - handed on as they are
        await self.followup.edit_message(_ORIGINAL, **changes)

    async def delete_original_response(self) -> None:
        await self.followup.delete_message(_ORIGINAL)


async def _noted(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except (SQLAlchemyError, OSError) as error:
        log.warning("what was promised could not be noted in the database: %s", type(error).__name__)


def _pending_answer(interaction: discord.Interaction[Any], *, now: datetime, process: int) -> PendingAnswer:
    state = state_of(interaction)
    return PendingAnswer(
        interaction_id=interaction.id,
        application_id=interaction.application_id,
        token=interaction.token,
        reply=(state.reply or ReplyKind.PRIVATE).value,
        edits=state.kept is not None,
        content=state.kept.content if state.kept else None,
        asked_at=now,
        process=process,
    )
