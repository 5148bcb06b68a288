"""Seal maps before their outcome is known, and write down what came: the ledger of one store."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from liqmap.compute.path import joined, price_at
from liqmap.errors import DataError, LiqmapError, NotPublished, RequestError, SettingsError, StoreError
from liqmap.exchanges import EXCHANGES
from liqmap.ledger.book import opened
from liqmap.ledger.file import read_ledger
from liqmap.ledger.lines import HORIZON, LedgerOrigin, newest_boundary, windows_of
from liqmap.ledger.score import LEAST_COVERAGE, Feed, Travelled
from liqmap.live.recorder import markets_named
from liqmap.model import DEFAULT_EXCHANGE, Market, Theme
from liqmap.model.window import TimeWindow, at_ms
from liqmap.run.accuracy_report import ReportJob, earlier_ledgers, run_report_job, sealed_text
from liqmap.run.healing import healed
from liqmap.run.job import MapJob
from liqmap.run.realised import reported_as
from liqmap.run.standing import run_standing_job
from liqmap.run.terms import ledger_path, sealed_request, terms_of
from liqmap.store.bars import path_of, read_bars
from liqmap.store.feeds import feed_coverage
from liqmap.store.liquidations import read_liquidations
from liqmap.store.segments import segment_windows
from liqmap.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from liqmap.exchanges.messages import Liquidation
    from liqmap.ledger.lines import Outcome, Seal
    from liqmap.ledger.score import Standing
    from liqmap.model import Exchange, MapRequest, Progress
    from liqmap.run.accuracy_report import DrawnReport
    from liqmap.run.gathering import Sources
    from liqmap.settings import LedgerSettings, Settings
    from liqmap.store.bars import Bars
    from liqmap.store.segments import Part
    from liqmap.workers.pool import Run

log = logging.getLogger(__name__)

SEALED_WITHIN: Final = timedelta(minutes=30)
"""A map of real trades is sealed at most this long after its end: hardly anything is known by then."""

_SETTLED_AFTER = timedelta(minutes=2)  # by then what the streams sent of a window is stored
_PATIENCE = timedelta(days=2)  # for trades that are not available yet; afterwards the window is void
_LONGEST_SLEEP = 600.0  # seconds between two attempts to score
_MINUTE = 60  # seconds
_NO_BARS: Sequence[Bars] = ()


class Accuracy:
    """Seals maps and scores them, in a ledger for each version and setting below the store's folder.

    `run` runs jobs in the workers; `is_recorded` returns whether a market is recorded now, `machine_off` how
    far this machine's clock is ahead of an exchange's, if that is known and notable.
    """

    def __init__(
        self,
        settings: Settings,
        sources: Sources,
        *,
        run: Run,
        is_recorded: Callable[[Exchange, str], bool],
        machine_off: Callable[[Exchange], timedelta | None],
    ) -> None:
        self._settings = settings
        self._sources = sources
        self._run = run
        self._records = is_recorded
        self._machine_off = machine_off
        self._clock = sources.clock
        self._root = settings.storage.path

    @property
    def path(self) -> Path:
        """The ledger's file for this version and these settings."""
        return ledger_path(self._root, self._settings.ledger)

    async def seal(self, market: Market, end: datetime, *, path: Path) -> Seal:
        """Seal the map of `market` that ends at `end`, and return what was written, now or before.

        Raises RequestError for an end at which no map is sealed or that is long over, or what drawing raises.
        """
        if end != newest_boundary(end):
            raise RequestError("Maps are sealed at 00:00, 08:00 and 16:00 UTC; choose such an end.")
        standing = await self.standing(market, end, self._settings.ledger)
        origin = LedgerOrigin.SIMULATED if standing.simulated else LedgerOrigin.LIVE
        # By the exchange's clock: this machine's may have been set back to before the outcome was known.
        off = self._machine_off(market.exchange) or timedelta(0)
        if origin is LedgerOrigin.LIVE and not timedelta(0) <= self._clock.now() - off - end <= SEALED_WITHIN:
            raise RequestError(
                f"What came after {end:%Y-%m-%d %H:%M} UTC is partly known already, so that map cannot be"
                " sealed; use liqmap ledger backtest for past days."
            )

        # Opened only once the map is computed, so that the file is locked for a moment only.
        def write() -> Seal:
            ledger, now = self._settings.ledger, self._clock.now() - off
            with opened(path, prior=ledger.prior_path) as book:
                book.begin(origin=origin, version=__version__, terms=terms_of(ledger), now=now)
                return book.seal(market, end, standing, now=now)

        return await asyncio.to_thread(write)

    async def score(self, path: Path) -> list[Outcome]:
        """Write the outcome of every sealed window that is over, and return what was written.

        Windows whose data is not available yet are left for the next call. Raises RequestError or StoreError
        for the ledger.
        """
        content, written = await asyncio.to_thread(read_ledger, path), []
        for seal, outcome in windows_of(content.lines):
            if outcome is not None or self._clock.now() < seal.window.end + _SETTLED_AFTER:
                continue
            try:
                feed, travelled = await self.came(seal.market, seal.window, price=seal.price)
            except DataError as error:
                log.info("%s %s is not scored yet: %s", seal.market.symbol, seal.time, error)
                continue
            # The liquidations are there, and the trades are not: the exchange may still publish their day.
            may_be_had = self._clock.now() - seal.window.end < _PATIENCE
            if travelled.coverage < LEAST_COVERAGE <= feed.coverage and may_be_had:
                continue
            written.append(await asyncio.to_thread(_write_outcome, path, seal, feed, travelled))
        return written

    async def run(self) -> None:
        """Seal the markets in the settings at 00, 08 and 16 UTC as far as they are recorded, and score them.

        Trouble is logged. A map that was not sealed in time stays missing in the ledger, as it should.
        """
        sealed: datetime | None = None
        while True:
            end = newest_boundary(self._clock.now())
            # Sealing comes first, because it has a deadline and scoring has none.
            if sealed != end and self._clock.now() - end <= SEALED_WITHIN:
                await self.seal_recorded(end)
                sealed = end
            await self._logged("scored", self.score(self.path))
            left = (end + HORIZON - self._clock.now()).total_seconds()
            await self._clock.sleep(min(max(left, 0.0), _LONGEST_SLEEP))

    async def seal_recorded(self, end: datetime) -> None:
        """Seal every market in the settings that is recorded now and was shortly before `end`."""
        for market in self._markets():
            if await asyncio.to_thread(self._is_recorded, market, end):
                await self._logged("sealed", self.seal(market, end, path=self.path))

    def check_settings(self) -> None:
        """Check the ledger's settings. Raises SettingsError."""
        try:
            list(self._markets())
            sealed_request(
                Market(DEFAULT_EXCHANGE, "BTCUSDT"), newest_boundary(self._clock.now()), self._settings.ledger
            )
            terms_of(self._settings.ledger)
        except (RequestError, StoreError) as error:
            raise SettingsError(f"Setting ledger: {error}") from error

    def _markets(self) -> Iterator[Market]:
        return markets_named(self._settings.ledger.markets, self._root, setting="ledger.markets")

    def _is_recorded(self, market: Market, end: datetime) -> bool:
        if not self._records(market.exchange, market.symbol):
            return False
        # The last minute may not be stored yet, so the one before is looked for. A recording that has just
        # begun lacks it, too: its map would need a whole day fetched, for which others would have to wait.
        minute = TimeWindow.ending(end - timedelta(minutes=1), timedelta(minutes=1))
        return any(map(minute.overlap, segment_windows(self._root, market.exchange, market.symbol)))

    async def report(
        self, symbol: str | None = None, /, *, path: Path | None = None, theme: Theme = Theme.DARK
    ) -> DrawnReport:
        """Draw the report of the ledger in `path` (default: that of these settings), of all or one symbol.

        Without a path, it also has the sentences of earlier ledgers. Raises RequestError for a symbol of
        which nothing is sealed, BrokenLedger, StoreError, JobFailed.
        """
        earlier = () if path else await asyncio.to_thread(earlier_ledgers, self.path)
        return await self._run(run_report_job, ReportJob(path or self.path, symbol, earlier, theme))

    def sealed(self) -> str | None:
        """Return how many maps are sealed and the last hash, or what is wrong; None if none are."""
        return sealed_text(self.path)

    async def standing(self, market: Market, end: datetime, ledger: LedgerSettings) -> Standing:
        """Return what stands of the map of `market` that ends at `end`. Raises what drawing raises."""
        request = sealed_request(market, end, ledger)
        return await healed(self._sources.collector.heal, lambda: self._standing(market, request))

    async def _standing(self, market: Market, request: MapRequest) -> Standing:
        holdings = await self._sources.collector.collect(
            market.exchange, market.symbol, window=request.window, progress=_ignore
        )
        await self._sources.brackets.current(request.model, market.symbol)
        job = MapJob(request, holdings.parts, holdings.coverage, (self._sources.brackets.folder,))
        return await self._run(run_standing_job, job)

    async def came(self, market: Market, window: TimeWindow, *, price: float) -> tuple[Feed, Travelled]:
        """Return the feed of a window's liquidations, still unread, and how far the price went.

        If the trades are not published, the window counts as not covered, and the price as unmoved from
        `price`. Raises DataError for data that may be available later.
        """
        reported = reported_as(market, window.start.date())
        travelled, bars = Travelled(price, price, 0.0), _NO_BARS
        with suppress(NotPublished):
            await self._sources.liquidations.obtain(market, window.start.date())
            travelled, bars = await healed(
                self._sources.collector.heal,
                lambda: self._traded(market, window, price=price, seconds=not reported.at_fills),
            )
        feed = Feed(
            coverage=await asyncio.to_thread(
                feed_coverage, self._root, market.exchange, market.symbol, window
            ),
            complete=reported.complete,
            read=lambda: self._liquidations(market, window, bars),
            worth=1.0 if EXCHANGES[market.exchange].contract(market.symbol).inverse else None,
        )
        return feed, travelled

    async def _traded(
        self, market: Market, window: TimeWindow, *, price: float, seconds: bool
    ) -> tuple[Travelled, Sequence[Bars]]:
        """Return how far the price went, and its `seconds` if they are wanted.

        They are read here, where a damaged segment can be fetched again: when the outcome is written, it is
        too late.
        """
        holdings = await self._sources.collector.collect(
            market.exchange, market.symbol, window=window, progress=_ignore
        )

        def read() -> tuple[Travelled, Sequence[Bars]]:
            low, high = _extremes(holdings.parts, price)
            bars = [read_bars(part.segment, part.window) for part in holdings.parts] if seconds else ()
            return Travelled(low, high, holdings.coverage.fraction), bars

        return await asyncio.to_thread(read)

    def _liquidations(self, market: Market, window: TimeWindow, bars: Sequence[Bars]) -> list[Liquidation]:
        """Read the liquidations of a window of eight hours, which lies within a day.

        Bankruptcy prices lie beyond the level. Where only these are known, each liquidation gets the traded
        price of its second instead, by its `bars`.
        """
        day = window.start.date()
        found = [
            each
            for each in read_liquidations(self._root, market.exchange, market.symbol, day)
            if window.start <= at_ms(each.time) < window.end
        ]
        return at_traded_prices(found, bars)

    async def _logged(self, what: str, doing: Coroutine[Any, Any, object]) -> None:
        try:
            await doing
        except (LiqmapError, OSError) as error:
            log.warning("nothing was %s: %s", what, error)


def _write_outcome(path: Path, seal: Seal, feed: Feed, travelled: Travelled) -> Outcome:
    with opened(path) as book:
        try:
            return book.outcome(seal, feed, travelled)
        except StoreError:
            raise  # the disk has a problem, which says nothing about what was recorded
        except DataError:  # the day's liquidations are damaged, so they count as not received
            return book.outcome(seal, feed._replace(coverage=0.0), travelled)


def at_traded_prices(liquidations: Sequence[Liquidation], bars: Sequence[Bars]) -> list[Liquidation]:
    """Return `liquidations` at the last price traded by the end of their second; unchanged without bars."""
    if not bars:
        return list(liquidations)
    times = np.array([each.time for each in liquidations], np.int64)
    prices = price_at(joined([path_of(each) for each in bars]), times)
    return [each._replace(price=price) for each, price in zip(liquidations, prices.tolist(), strict=True)]


def _extremes(parts: Sequence[Part], price: float) -> tuple[float, float]:
    """Return how far the price went from `price`."""
    bars = [read_bars(part.segment, part.window, bin_seconds=_MINUTE) for part in parts]
    low = np.concatenate([each.low for each in bars])
    high = np.concatenate([each.high for each in bars])
    return float(low.min(initial=price)), float(high.max(initial=price))


def _ignore(_: Progress) -> None:
    """Ignore what is reported."""
