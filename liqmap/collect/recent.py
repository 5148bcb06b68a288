"""Fetch the hours that are not published as files yet by REST, newest first, into the store."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from liqmap.clock import TOLERATED
from liqmap.collect.clients import learn_time
from liqmap.errors import DataError
from liqmap.exchanges import EXCHANGES
from liqmap.exchanges.fills import in_base, merged_fills
from liqmap.exchanges.messages import Page
from liqmap.exchanges.rows import holes_in, no_trades
from liqmap.model import Trades
from liqmap.model.window import HOUR, TimeWindow, split_at
from liqmap.net.rest import RejectedRequest
from liqmap.store.segments import VIA_REST, Origin, segment_path
from liqmap.store.writer import write_segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from liqmap.collect.clients import Clients
    from liqmap.collect.contracts import Contracts
    from liqmap.exchanges.messages import Backfill
    from liqmap.model import Exchange
    from liqmap.net.rest import RestClient
    from liqmap.settings import Settings
    from liqmap.store.local import SegmentStore

log = logging.getLogger(__name__)

_MOST_TRADES = 20_000_000  # in an hour: a hundred times the busiest; more means that the ids are not serial

_PATIENT_AT_ONCE = 2  # pages of what nobody waits for
_WAITED_FOR = timedelta(seconds=4)  # for a window's last second to settle; a longer wait would be noticed
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)

SETTLED_AFTER: Final = timedelta(seconds=1)
"""How long after its time an exchange may publish a trade: Binance first merges the fills of 100 ms."""


def recent_trades(
    settings: Settings, *, store: SegmentStore, clients: Clients, contracts: Contracts
) -> dict[Exchange, RecentTrades]:
    """Return what fetches recent trades, for each exchange that serves them."""
    return {
        exchange: RecentTrades(
            exchange,
            row.backfill,
            base_url=settings.exchanges.of(exchange).api_url,
            client=clients[exchange],
            store=store,
            contracts=contracts,
            pages_at_once=settings.recent.pages_at_once,
            weight_a_second=settings.exchanges.of(exchange).budget / row.limits.period.total_seconds(),
        )
        for exchange, row in EXCHANGES.items()
        if row.backfill is not None
    }


class RecentTrades:
    """Fills the store with the last hours of one exchange's trades. Concurrent jobs share what is fetched."""

    def __init__(
        self,
        exchange: Exchange,
        backfill: Backfill,
        *,
        base_url: str,
        client: RestClient,
        store: SegmentStore,
        contracts: Contracts,
        pages_at_once: int,
        weight_a_second: float,
    ) -> None:
        self._exchange = exchange
        self._backfill = backfill
        self._base_url = base_url
        self._store = store
        self._contracts = contracts
        self._clock = client.clock
        self._in_flight = asyncio.Semaphore(pages_at_once)
        self._patient_in_flight = asyncio.Semaphore(_PATIENT_AT_ONCE)
        self._waited_for: Counter[str] = Counter()
        self._trades_a_second = weight_a_second / backfill.page_weight * backfill.page_rows
        self._client = client
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def reaches_back_to(self) -> datetime:
        """The oldest whole minute whose trades the exchange serves now."""
        return (self._clock.now() - self._backfill.reach).replace(second=0, microsecond=0)

    @property
    def settled_until(self) -> datetime:
        """The whole second, by the exchange's time, before which no more trades can appear."""
        return (self._clock.now() - SETTLED_AFTER).replace(microsecond=0)

    @property
    def machine_is_ahead(self) -> bool:
        """Whether this machine's clock is certainly ahead of the exchange's by more than is tolerated."""
        ahead = self._clock.machine_ahead
        return ahead is not None and ahead > TOLERATED

    async def know_time(self) -> None:
        """Make sure that an answer has shown the exchange's time. Raises DataError."""
        if not self._clock.is_known:
            await self._learn_time()

    async def _learn_time(self) -> None:
        try:
            await learn_time(self._client, self._exchange, base_url=self._base_url)
        except DataError:
            if not self._clock.is_known:  # even an error answer shows the time, in its Date header
                raise

    async def fill(
        self,
        symbol: str,
        windows: list[TimeWindow],
        *,
        report: Callable[[float, float], None],
        until: datetime | None = None,
    ) -> None:
        """Fetch what the store lacks of `windows`, hour by hour, the newest first.

        Time that the exchange's clock has not passed yet is left out, because trades may still be made in
        it. `report` is called with the share that is done and the seconds that the rest will take within the
        request limit, assuming that it has as many trades an hour as the hour being fetched. After `until`,
        no further hour is begun. Raises RequestError for a symbol that the exchange does not have, DataError
        if the exchange cannot be reached; hours fetched before that stay.
        """
        with self._waiting_for(symbol):
            await self._fill(symbol, windows, report=report, until=until)

    async def fill_patiently(self, symbol: str, windows: list[TimeWindow]) -> None:
        """Fetch what the store lacks of `windows` as `fill` does, while nobody waits for anything else.

        Once somebody waits for the same symbol, its requests are as urgent as theirs. Raises as `fill`.
        """
        await self._fill(symbol, windows, report=_ignore, until=None)

    @contextmanager
    def _waiting_for(self, symbol: str) -> Iterator[None]:
        self._waited_for[symbol] += 1
        try:
            with self._client.hurry():
                yield
        finally:
            self._waited_for[symbol] -= 1

    async def _fill(
        self,
        symbol: str,
        windows: list[TimeWindow],
        *,
        report: Callable[[float, float], None],
        until: datetime | None,
    ) -> None:
        pieces = [piece for window in windows for piece in split_at(window, HOUR)]
        pieces.sort(key=lambda piece: piece.start, reverse=True)
        total, done = sum((piece.length for piece in pieces), timedelta()), timedelta()
        trades_a_second, is_time_learned = 0.0, False

        def tell(so_far: timedelta) -> None:
            left = (total - so_far).total_seconds() * trades_a_second / self._trades_a_second
            report(so_far / total, left)

        for piece in pieces:
            if until is not None and self._clock.machine.now() >= until:
                return

            def inside(share: float, trades: int, piece: TimeWindow = piece, done: timedelta = done) -> None:
                nonlocal trades_a_second
                trades_a_second = trades / piece.length.total_seconds()
                tell(done + piece.length * share)

            # Under a lock, so that other jobs that need the same hour wait and then find it in the store.
            async with self._locks[symbol]:
                for window in reversed(self._store.missing(self._exchange, symbol, piece)):
                    # Learned anew in each fill: this machine's clock may have been set since the last answer.
                    if not is_time_learned:
                        await self._learn_time()
                        is_time_learned = True
                    settled = await self._settled(window)
                    if settled is not None:
                        await self._fetch(symbol, settled, inside)
            done += piece.length
            tell(done)

    async def _settled(self, window: TimeWindow) -> TimeWindow | None:
        """Return the part of `window` in which no more trades can appear, after a short wait for its end."""
        unsettled = window.end + SETTLED_AFTER - self._clock.now()
        if unsettled <= SETTLED_AFTER + _WAITED_FOR:
            await self._clock.sleep(unsettled.total_seconds())
        return window.overlap(TimeWindow(_EARLIEST, self.settled_until))

    async def _fetch(self, symbol: str, window: TimeWindow, report: Callable[[float, int], None]) -> None:
        unit = await self._contracts.unit(self._exchange, symbol, on=window.start.date())
        first = await self._first_id(symbol, window.start_ms)
        end = await self._first_id(symbol, window.end_ms)
        found = _joined(await self._pages(symbol, first, end, report))
        time = found.trades.time
        inside = _chosen(found, (time >= window.start_ms) & (time < window.end_ms))
        real = _chosen(inside, inside.trades.size > 0)
        origin = Origin(
            exchange=self._exchange,
            symbol=symbol,
            window=window,
            source=self._backfill.page_url(self._base_url, symbol),
            sha256="",
            simulated=self._client.simulated,
            # As requested, not as received: ids that the exchange skips at an end are counted in `lost_ids`,
            # and must not be counted again between this segment and its neighbour.
            first_id=first if end > first else None,
            last_id=end - 1 if end > first else None,
            lost_ids=end - first - len(found.ids),
            zero_sizes=len(inside.ids) - len(real.ids),
            holes=holes_in(inside.ids, inside.trades.time),
            via=(VIA_REST,),
            contract_size=unit,
        )
        made = merged_fills(real.trades, real.ids) if self._backfill.sends_fills else real.trades
        path = segment_path(self._store.root, self._exchange, symbol, window)
        await asyncio.to_thread(
            write_segment, path, origin, in_base(made, unit), incoming=self._store.incoming
        )
        log.info("fetched %s %s from %s on: %d trades", self._exchange, symbol, window.start, len(real.ids))

    async def _first_id(self, symbol: str, milliseconds: int) -> int:
        """Return the id of the first trade at or after a time, or the id that it will have."""
        page = await self._page(symbol, from_ms=milliseconds)
        found = self._backfill.first_id(page, milliseconds)
        if found is not None:
            return found
        # Nobody has traded since, and no earlier trade can still appear, so the next one gets the next id.
        newest = await self._page(symbol)
        before = newest.ids[newest.trades.time < milliseconds]
        return int(before[-1]) + 1 if len(before) else int(newest.ids[0]) if len(newest.ids) else 0

    async def _pages(
        self, symbol: str, first: int, end: int, report: Callable[[float, int], None]
    ) -> list[Page]:
        rows, done = self._backfill.page_rows, 0

        async def whole(start: int) -> list[Page]:
            nonlocal done
            found = await self._whole_page(symbol, start, min(start + rows, end))
            done += rows
            report(min(1.0, done / (end - first)), end - first)
            return found

        if not 0 <= end - first <= _MOST_TRADES:
            raise DataError(
                f"The ids of {EXCHANGES[self._exchange].label}'s trades are not in order; try again later."
            )
        tasks = [asyncio.create_task(whole(start)) for start in range(first, end, rows)]
        try:
            return [page for pages in await asyncio.gather(*tasks) for page in pages]
        finally:
            for task in tasks:  # after the first failure, the other pages are of no use
                task.cancel()

    async def _whole_page(self, symbol: str, start: int, end: int) -> list[Page]:
        """Return the trades with ids in [start, end); each id that pages lack is requested once more."""
        found: list[Page] = []
        ask: int | None = start
        asked: set[int] = set()
        while ask is not None:
            asked.add(ask)
            page = await self._page(symbol, from_id=ask)
            found.append(_chosen(page, (page.ids >= start) & (page.ids < end)))
            have = np.unique(np.concatenate([part.ids for part in found]))
            absent = np.setdiff1d(np.arange(start, end), have)
            gaps = absent[np.diff(absent, prepend=-2) > 1]
            ask = next((int(gap) for gap in gaps if int(gap) not in asked), None)
        return found

    async def _page(self, symbol: str, *, from_id: int | None = None, from_ms: int | None = None) -> Page:
        url = self._backfill.page_url(self._base_url, symbol, from_id=from_id, from_ms=from_ms)

        def is_patient() -> bool:
            return not self._waited_for[symbol]

        # What is patient waits in slots of its own, so that others need not wait for it to be sent.
        async with self._patient_in_flight if is_patient() else self._in_flight:
            try:
                answer = await self._client.get(url, weight=self._backfill.page_weight, is_patient=is_patient)
            except RejectedRequest as error:
                raise self._backfill.explained(error.answer, symbol) from error
        return self._backfill.read_page(answer)


def _ignore(_share: float, _left: float) -> None:
    """Ignore how far a fill is that nobody waits for."""


def _chosen(page: Page, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Page:
    of = page.trades
    return Page(page.ids[rows], Trades(of.time[rows], of.price[rows], of.size[rows], of.is_buy[rows]))


def _joined(pages: list[Page]) -> Page:
    """Join pages: each id once, in order of time and, at the same time, of ids."""
    if not pages:
        return Page(np.empty(0, np.int64), no_trades())
    ids = np.concatenate([page.ids for page in pages])
    time, price, size, is_buy = (
        np.concatenate([getattr(page.trades, name) for page in pages])
        for name in ("time", "price", "size", "is_buy")
    )
    each = np.unique(ids, return_index=True)[1]
    return _chosen(Page(ids, Trades(time, price, size, is_buy)), each[np.argsort(time[each], kind="stable")])
