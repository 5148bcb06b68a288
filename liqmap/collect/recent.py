"""Fetch the hours that are not published as files yet by REST, newest first, into the store."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from liqmap.clock import TOLERATED
from liqmap.collect.clients import learn_time
from liqmap.collect.trade_pages import TradePages, chosen
from liqmap.errors import DataError
from liqmap.exchanges import EXCHANGES
from liqmap.exchanges.fills import in_base, merged_fills
from liqmap.exchanges.rows import holes_in
from liqmap.model.window import HOUR, TimeWindow, split_at
from liqmap.store.segments import VIA_REST, Origin, segment_path
from liqmap.store.writer import write_segment

if TYPE_CHECKING:
    from collections.abc import Callable

    from liqmap.collect.clients import Clients
    from liqmap.collect.contracts import Contracts
    from liqmap.exchanges.messages import Backfill
    from liqmap.model import Exchange
    from liqmap.net.rest import RestClient
    from liqmap.settings import Settings
    from liqmap.store.local import SegmentStore

log = logging.getLogger(__name__)

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
        self._pages = TradePages(
            exchange, backfill, base_url=base_url, client=client, most_at_once=pages_at_once
        )
        self._store = store
        self._contracts = contracts
        self._clock = client.clock
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
        with self._pages.waited_for(symbol):
            await self._fill(symbol, windows, report=report, until=until)

    async def fill_patiently(self, symbol: str, windows: list[TimeWindow]) -> None:
        """Fetch what the store lacks of `windows` as `fill` does, while nobody waits for anything else.

        Once somebody waits for the same symbol, its requests are as urgent as theirs. Raises as `fill`.
        """
        await self._fill(symbol, windows, report=_ignore, until=None)

    async def repair(self, symbol: str, windows: list[TimeWindow]) -> None:
        """Fetch what a recording lacks, before what `fill_patiently` fetches. Raises as `fill`.

        While somebody waits for another symbol, this waits too, without an end of its own: the published day
        fills the hole if nothing else does.
        """
        async with self._pages.repairing(symbol):
            await self._fill(symbol, windows, report=_ignore, until=None)

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
        # A window that ends later is drawn as far as it is settled.
        if unsettled <= SETTLED_AFTER + _WAITED_FOR:
            await self._clock.sleep(unsettled.total_seconds())
        return window.overlap(TimeWindow(_EARLIEST, self.settled_until))

    async def _fetch(self, symbol: str, window: TimeWindow, report: Callable[[float, int], None]) -> None:
        unit = await self._contracts.unit(self._exchange, symbol, on=window.start.date())
        first = await self._pages.first_id(symbol, window.start_ms)
        end = await self._pages.first_id(symbol, window.end_ms)
        found = await self._pages.between(symbol, first, end, report=report)
        time = found.trades.time
        inside = chosen(found, (time >= window.start_ms) & (time < window.end_ms))
        real = chosen(inside, inside.trades.size > 0)
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
            # Those on the other side of an end are in no segment: the one beside has other ids.
            lost_ids=end - first - len(inside.ids),
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


def _ignore(_share: float, _left: float) -> None:
    """Ignore how far a fill is that nobody waits for."""
