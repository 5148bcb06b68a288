"""Liquidations of the last hours, by REST into the store, where an exchange reports them so."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from liqmap.clock import is_recent
from liqmap.collect.contracts import counted_in_base
from liqmap.collect.waited import WaitedFor
from liqmap.errors import LiqmapError, StoreError
from liqmap.exchanges import EXCHANGES
from liqmap.model.window import DAY, TimeWindow, at_ms, missing, split_at
from liqmap.store.feeds import feed_windows, forget_feed, note_feed, received_windows
from liqmap.store.liquidations import is_damaged, merge_liquidations, restore_liquidations

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from liqmap.clock import Clock
    from liqmap.collect.clients import Clients
    from liqmap.collect.contracts import Contracts
    from liqmap.exchanges.messages import Liquidation, LiquidationPage, LiquidationPages
    from liqmap.model import Market
    from liqmap.settings import Settings
    from liqmap.store.local import SegmentStore

log = logging.getLogger(__name__)

RETRIED_AFTER: Final = timedelta(minutes=5)
"""How long a market that failed is not asked for again."""

_MOST_PAGES: Final = 60
_EMPTY_AGAIN: Final = 1.0  # seconds, after which an empty page is asked for once more


class RecentLiquidations:
    """Fetches what the store lacks of the last hours' liquidations, each market once however many wait."""

    def __init__(
        self, settings: Settings, *, store: SegmentStore, clients: Clients, contracts: Contracts, clock: Clock
    ) -> None:
        self._settings = settings
        self._store = store
        self._clients = clients
        self._contracts = contracts
        self._clock = clock
        self._fetches: WaitedFor[Market, None, None] = WaitedFor()
        self._failed_at: dict[Market, datetime] = {}

    async def close(self) -> None:
        """Stop what is being fetched; the next run fetches it again."""
        await self._fetches.close()

    async def obtain(self, market: Market, window: TimeWindow, *, patiently: bool = False) -> None:
        """Bring what the exchange still reports of a window's liquidations into the store, if it is lacking.

        What is fetched `patiently` lets requests go first that somebody waits for. Whoever gives up waiting
        takes nothing from the others. Raises DataError if the exchange does not answer, StoreError,
        UnreadableStore.
        """
        pages = EXCHANGES[market.exchange].liquidations.pages
        reached = None if pages is None else self._reached(pages, market).overlap(window)
        if pages is None or reached is None:
            return
        lost = await asyncio.to_thread(self._lost, market, self._reached(pages, market))
        if not await self._lacking(market, reached, lost=lost):
            return
        if is_recent(self._failed_at.get(market), now=self._clock.now(), within=RETRIED_AFTER):
            return
        await self._fetches.result(market, lambda: self._fetch(pages, market), patiently=patiently)

    def _reached(self, pages: LiquidationPages, market: Market) -> TimeWindow:
        now = self._clients[market.exchange].clock.now().replace(microsecond=0)
        return TimeWindow(now - pages.reach, now - pages.late)

    async def _lacking(
        self, market: Market, window: TimeWindow, *, lost: Sequence[date] = ()
    ) -> Sequence[TimeWindow]:
        received = await asyncio.to_thread(
            received_windows, self._store.root, market.exchange, market.symbol, window
        )
        return missing(window, (each for each in received if each.start.date() not in lost))

    def _lost(self, market: Market, reached: TimeWindow) -> list[date]:
        """Return the days whose tables are damaged, and of which the exchange still reports everything."""
        its = self._store.root, market.exchange, market.symbol
        return [
            day
            for day in reached.days
            if is_damaged(*its, day) and self._received_since(market, day) >= reached.start
        ]

    def _received_since(self, market: Market, day: date) -> datetime:
        received = feed_windows(self._store.root, market.exchange, market.symbol, day)
        return received[0].start if received else TimeWindow.of_day(day).start

    async def _fetch(self, pages: LiquidationPages, market: Market) -> None:
        try:
            await self._obtain(pages, market)
        except LiqmapError:
            self._failed_at[market] = self._clock.now()
            raise
        self._failed_at.pop(market, None)

    async def _obtain(self, pages: LiquidationPages, market: Market) -> None:
        """Fetch all that is lacking of what the exchange reports: the next map may look further back."""
        reached = self._reached(pages, market)
        lost = await asyncio.to_thread(self._lost, market, reached)
        lacking = await self._lacking(market, reached, lost=lost)
        if not lacking:  # it has been fetched since it was last looked at
            return
        whole = TimeWindow(lacking[0].start, lacking[-1].end)
        found, since = await self._read(pages, market, whole)
        in_base = [await counted_in_base(self._contracts, market.exchange, each) for each in found]
        rest = TimeWindow(since, whole.end) if since < whole.end else None
        parts = [part for each in lacking if rest is not None and (part := each.overlap(rest))]
        try:
            await asyncio.to_thread(self._keep, market, in_base, parts, lost=lost, since=since)
        except OSError as error:
            raise StoreError(f"Liquidations cannot be stored ({error.strerror}).") from error

    async def _read(
        self, pages: LiquidationPages, market: Market, whole: TimeWindow
    ) -> tuple[list[Liquidation], datetime]:
        """Return the liquidations of a window, and from when on they are all that the exchange reports."""
        found: list[Liquidation] = []
        before = whole.end_ms
        for _ in range(_MOST_PAGES):
            page = await self._page(pages, market, before)
            # The page has all of the time at which the one before it broke off.
            found = [each for each in found if each.time >= before]
            found += [each for each in page.liquidations if whole.start_ms <= each.time < whole.end_ms]
            rows, oldest = len(page.times), min(page.times, default=before)
            is_last = 0 < rows < pages.page_rows or (not rows and before == whole.end_ms)
            if oldest <= whole.start_ms or is_last:
                return found, whole.start
            if oldest >= before:
                break  # empty though there was more: what lies before is not known
            # What has the oldest one's time may go on over the page's end.
            before = oldest + 1 if oldest + 1 < before else oldest
        # Rounded up to a whole second: other liquidations in the oldest one's second may be missing.
        return found, at_ms(-(-(before + 1) // 1000) * 1000)

    async def _page(self, pages: LiquidationPages, market: Market, before: int) -> LiquidationPage:
        client = self._clients[market.exchange]
        base_url = self._settings.exchanges.of(market.exchange).api_url
        url = pages.page_url(base_url, market.symbol, before_ms=before)

        async def ask() -> LiquidationPage:
            is_patient = partial(self._fetches.is_patient, market)
            answer = await client.get(url, weight=pages.weight, is_patient=is_patient)
            return pages.read_page(answer, market.symbol)

        page = await ask()
        if not page.times:  # OKX's are empty now and then, though there is more
            await client.clock.sleep(_EMPTY_AGAIN)
            page = await ask()
        return page

    def _keep(
        self,
        market: Market,
        found: Sequence[Liquidation],
        parts: Sequence[TimeWindow],
        *,
        lost: Sequence[date],
        since: datetime,
    ) -> None:
        its = self._store.root, market.exchange, market.symbol
        complete = EXCHANGES[market.exchange].live.complete_liquidations
        merge_liquidations(self._store.root, market.exchange, found, complete=complete)
        for day in (each for each in lost if self._received_since(market, each) >= since):
            # What the damaged table had of the last minute is lacking then, and fetched with what follows.
            forget_feed(*its, day)
            restore_liquidations(*its, day, found, complete=complete)
        # Noted last, so that where a span is there, its liquidations are.
        for part in parts:
            for span in split_at(part, DAY):
                note_feed(*its, span)
        log.info("fetched %d liquidations of %s %s", len(found), market.exchange, market.symbol)
