"""Turn the exchanges' published day files into segments; each is fetched once, however many jobs wait."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from liqmap.clock import is_recent
from liqmap.collect.borders import lacks_trades_of, reaches_into, store_quiet_day
from liqmap.collect.day import Day, absence
from liqmap.collect.waited import WaitedFor
from liqmap.errors import DataError, EmptyDay, JobFailed, NotPublished
from liqmap.model import Exchange
from liqmap.store.segments import Segment
from liqmap.store.writer import restate_origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from liqmap.clock import Clock
    from liqmap.collect.published import PublishedDays
    from liqmap.store.local import SegmentStore

log = logging.getLogger(__name__)

ABSENT_FOR: Final = timedelta(minutes=5)
"""How long an exchange's answer "no such file" counts before the next request."""

VERIFIED_AGAIN: Final = timedelta(hours=1)
"""The time between two looks for a checksum that is not published yet."""

_MOST_QUIET_DAYS = 7  # how many days without trades are passed over in the search for ids


class DayFiles:
    """Fetches days into the store, each once however many wait for it, and `at_once` of each exchange."""

    def __init__(self, published: PublishedDays, *, store: SegmentStore, clock: Clock, at_once: int) -> None:
        self._published = published
        self._store = store
        self._clock = clock
        # For each exchange separately, so that a slow one does not keep the others waiting.
        self._slots = {each: asyncio.Semaphore(at_once) for each in Exchange}
        self._fetches: WaitedFor[Day, Segment, Callable[[float], None]] = WaitedFor()
        self._verifying: set[asyncio.Task[None]] = set()
        self._absent_at: dict[Day, datetime] = {}
        self._verified_at: dict[Day, datetime] = {}
        self._completing = asyncio.Lock()

    async def close(self) -> None:
        """Stop all fetching; the next run fetches those days again."""
        for task in self._verifying:
            task.cancel()
        await asyncio.gather(self._fetches.close(), *self._verifying, return_exceptions=True)

    async def obtain(self, day: Day, report: Callable[[float], None]) -> Segment | DataError:
        """Return `day`'s segment, fetched if need be, or what prevents that; `report` gets the share done."""
        outcome = await self._obtain(day, report)
        return await self._judged(day, outcome) if isinstance(outcome, EmptyDay) else outcome

    async def _judged(self, day: Day, error: EmptyDay) -> Segment | DataError:
        """Return an empty day as a segment if the ids of the days beside show that nobody traded."""
        # These are taken as published, so that two empty days never wait for each other.
        before = await self._nearest(day, step=-1)
        if before is None or before.origin.last_id is None:
            return error
        after = await self._nearest(day, step=1)
        try:
            return await asyncio.to_thread(
                store_quiet_day, self._store, day.window, error, ends=(before, after)
            )
        except DataError as trouble:
            return trouble

    async def _nearest(self, day: Day, *, step: int) -> Segment | None:
        """Return the nearest day with trades before (step -1) or after `day`, None if it is unknown."""
        for _ in range(_MOST_QUIET_DAYS):
            day = day.shifted(step)
            if day.window.end > self._clock.now():
                return None
            found = await self._obtain(day, lambda _: None)
            if isinstance(found, Segment) and found.buys + found.sells:
                return found
            if not isinstance(found, Segment | EmptyDay):
                return None
        return None

    async def _obtain(self, day: Day, report: Callable[[float], None]) -> Segment | DataError:
        stored = self._stored(day)
        if stored is not None:
            return stored
        if is_recent(self._absent_at.get(day), now=self._clock.now(), within=ABSENT_FOR):
            return absence(day)
        try:
            return await self._fetches.result(day, lambda: self._fetch_whole(day), report)
        except NotPublished:
            self._absent_at[day] = self._clock.now()
            return absence(day)
        except JobFailed:  # it took too long, or its worker died twice: other days may still be readable
            return DataError(f"The {day.symbol} trades of {day.day} could not be read; try again later.")
        except DataError as error:
            return error

    def verify_later(self, segments: Iterable[Segment]) -> None:
        """Look in the background for the checksums that were not published when `segments` were stored."""
        now = self._clock.now()
        for segment in segments:
            origin = segment.origin
            day = Day.touched(origin.exchange, origin.symbol, [origin.window])[0]
            looked = is_recent(self._verified_at.get(day), now=now, within=VERIFIED_AGAIN)
            if origin.unverified and not looked:
                self._verified_at[day] = now
                task = asyncio.create_task(self._verify(day, segment))
                self._verifying.add(task)
                task.add_done_callback(self._verifying.discard)

    async def _verify(self, day: Day, segment: Segment) -> None:
        """Compare a stored day with its checksum. If another file has been published since, store that."""
        try:
            expected = await self._published.checksum(day)
            if expected == segment.origin.sha256:
                verified = replace(segment.origin, unverified=False, differs=False)
                await asyncio.to_thread(restate_origin, segment, verified, incoming=self._store.incoming)
                log.info("verified %s %s %s", day.exchange, day.symbol, day.day)
            elif expected:
                log.warning(
                    "%s %s %s differs from its checksum; fetching it again", day.exchange, day.symbol, day.day
                )
                # Before it is fetched again, which may fail for ever: until then each map tells it.
                differing = replace(segment.origin, differs=True)
                await asyncio.to_thread(restate_origin, segment, differing, incoming=self._store.incoming)
                try:
                    await self._fetch_whole(day, replaces=True)
                except asyncio.CancelledError:
                    # A command ends before this is done. Its next run fetches the day before it draws.
                    stored = self._stored(day)
                    if stored is not None and stored.origin.differs:
                        self._store.remove(segment.path)
                    raise
        except (DataError, JobFailed) as error:
            log.info("%s %s %s could not be verified: %s", day.exchange, day.symbol, day.day, error)

    async def is_published(self, day: Day) -> bool:
        """Return whether `day` is stored or published; False if the exchange cannot be reached."""
        return self._stored(day) is not None or await self._published.has(day)

    async def _fetch_whole(self, day: Day, *, replaces: bool = False) -> Segment:
        """Fetch a day, and move rows to their own days where only the file of a day beside has them."""
        segment = await self._fetch(day, replaces=replaces)
        # The new file can complete the days beside it, and theirs can complete this one.
        for each in (day.shifted(-1), day, day.shifted(1)):
            await self._complete(each)
        return self._stored(day) or segment

    async def _complete(self, day: Day) -> None:
        """Replace a stored day by one that also has those of its trades that only files beside it have."""
        try:
            async with self._completing:
                stored = self._stored(day)
                beside = {each: self._stored(each) for each in (day.shifted(-1), day.shifted(1))}
                if stored is not None and any(lacks_trades_of(stored, each) for each in beside.values()):
                    reaching = [each for each, segment in beside.items() if reaches_into(stored, segment)]
                    await self._fetch(day, replaces=True, beside=reaching)
        except (DataError, JobFailed) as error:
            log.warning("%s %s %s may lack trades: %s", day.exchange, day.symbol, day.day, error)

    def _stored(self, day: Day) -> Segment | None:
        return self._store.get(day.exchange, day.symbol, day.window)

    async def _fetch(self, day: Day, *, replaces: bool = False, beside: Sequence[Day] = ()) -> Segment:
        def report(share: float) -> None:
            self._fetches.tell(day, lambda listener: listener(share))

        async with self._slots[day.exchange]:
            segment = None if replaces else await self._published.bring_in(day)
            if segment is not None:
                return segment
            segment = await self._published.store(day, replaces=replaces, beside=beside, report=report)
            self._verified_at[day] = self._clock.now()
            report(1.0)
        await self._published.publish(segment, replaces=replaces)
        log.info(
            "stored %s %s %s: %d trades", day.exchange, day.symbol, day.day, segment.buys + segment.sells
        )
        return segment
