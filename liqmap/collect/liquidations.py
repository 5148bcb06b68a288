"""Liquidations of past days: the exchanges' published files -> tables in the store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from liqmap.errors import StoreError
from liqmap.exchanges import EXCHANGES
from liqmap.model.window import TimeWindow
from liqmap.net.download import download, incoming_file
from liqmap.store.feeds import feed_coverage, note_feed
from liqmap.store.liquidations import is_damaged, liquidations_path, write_liquidations

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from liqmap.collect.recent_liquidations import RecentLiquidations
    from liqmap.exchanges.protocol import DayFile, LiquidationFiles
    from liqmap.model import Market
    from liqmap.net.session import Session
    from liqmap.settings import Settings
    from liqmap.store.local import SegmentStore


class LiquidationDays:
    """Fetches the liquidations of days that an exchange has published into the store."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: SegmentStore,
        session: Session,
        recent: RecentLiquidations | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._session = session
        self._recent = recent
        self._one_at_a_time = asyncio.Lock()  # the windows of a day ask for the same file

    async def obtain_recent(self, market: Market, window: TimeWindow, *, patiently: bool = False) -> None:
        """Bring what an exchange still reports by REST of a window's liquidations into the store.

        What is fetched `patiently` lets requests go first that somebody waits for. Raises DataError if that
        is not available, StoreError.
        """
        if self._recent is not None:
            await self._recent.obtain(market, window, patiently=patiently)

    async def obtain(self, market: Market, day: date) -> None:
        """Make sure that a day's liquidations are in the store, if the exchange publishes such files.

        Raises NotPublished if there is no file of that day, DataError if it is not available, StoreError.
        """
        files = EXCHANGES[market.exchange].liquidations.files
        base_url = self._settings.exchanges.of(market.exchange).archive_url
        source = None if files is None else files.day_file(base_url, market.symbol, day)
        if files is None or source is None:
            return
        async with self._one_at_a_time:
            await self._obtain(files, market, day, source)

    async def _obtain(self, files: LiquidationFiles, market: Market, day: date, source: DayFile) -> None:
        # The span is noted last, so that where it is there, the day is whole.
        its, whole = (self._store.root, market.exchange, market.symbol), TimeWindow.of_day(day)
        if await asyncio.to_thread(feed_coverage, *its, whole) == 1:
            # A table that is damaged or gone since is fetched again.
            path = liquidations_path(*its, day)
            if path.exists() and not await asyncio.to_thread(is_damaged, *its, day):
                return
        with incoming_file(self._store.incoming) as file:
            await download(
                self._session,
                source.url,
                file,
                settings=self._settings.download,
                checksum_url=source.checksum_url,
            )
            await asyncio.to_thread(self._keep, files, market, day, file)

    def _keep(self, files: LiquidationFiles, market: Market, day: date, file: Path) -> None:
        most = self._settings.download.max_unpacked_size
        liquidations = files.read_day(file, market.symbol, day, max_unpacked_size=most)
        its = self._store.root, market.exchange, market.symbol
        try:
            write_liquidations(*its, day, liquidations, complete=files.complete)
            note_feed(*its, TimeWindow.of_day(day))
        except OSError as error:
            raise StoreError(f"Liquidations cannot be stored ({error.strerror}).") from error
