"""Days as exchanges publish them in files, and as other machines left them in the shared store."""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from liqmap.collect.ingest import StoreJob, run_store_job
from liqmap.errors import DataError, NotPublished, StoreError
from liqmap.exchanges import EXCHANGES
from liqmap.net.download import download, exists, incoming_file, published_checksum
from liqmap.store.bounded import in_thread
from liqmap.store.segments import Origin, Segment, segment_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from liqmap.collect.contracts import Contracts
    from liqmap.collect.day import Day
    from liqmap.exchanges.protocol import DayFile
    from liqmap.net.download import Downloaded
    from liqmap.net.session import Session
    from liqmap.settings import Settings
    from liqmap.store.local import SegmentStore
    from liqmap.store.shared import SharedStore
    from liqmap.workers.pool import Run

log = logging.getLogger(__name__)

DOWNLOAD_SHARE: Final = 0.8
"""Of a day's work; the rest is parsing and storing."""


class _DownloadedDay(NamedTuple):
    """A day's file on this machine, and where it came from."""

    file: Path
    url: str
    downloaded: Downloaded


class PublishedDays:
    """Brings days into the store, each whenever it is requested: from the `shared` one or the exchange."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: SegmentStore,
        session: Session,
        run: Run,
        contracts: Contracts,
        shared: SharedStore | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._session = session
        self._run = run
        self._contracts = contracts
        self._shared = shared

    async def has(self, day: Day) -> bool:
        """Return whether the exchange has published `day`; False if it cannot be reached."""
        source = self._source(day)
        try:
            return await exists(self._session, source.url) or (
                source.instead is not None and await exists(self._session, source.instead)
            )
        except DataError:
            return False

    async def checksum(self, day: Day) -> str | None:
        """Return the published checksum of a day's file, None if there is none. Raises DataError."""
        url = self._source(day).checksum_url
        return url and await published_checksum(self._session, url, settings=self._settings.download)

    async def store(
        self, day: Day, *, replaces: bool, beside: Sequence[Day], report: Callable[[float], None]
    ) -> Segment:
        """Download a day from the exchange, and store it.

        With `replaces`, it takes the place of the stored one. It takes its trades out of the files of the
        days `beside`, too. `report` is called with the share that is done. Raises DataError, JobFailed.
        """
        async with AsyncExitStack() as files:
            others = [
                ((await self._downloaded(each, files, lambda _: None)).file, each.day) for each in beside
            ]
            found = await self._downloaded(day, files, report)
            report(DOWNLOAD_SHARE)
            unit = await self._contracts.unit(day.exchange, day.symbol, on=day.day)
            origin = Origin(
                exchange=day.exchange,
                symbol=day.symbol,
                window=day.window,
                source=found.url,
                sha256=found.downloaded.sha256,
                simulated=found.downloaded.simulated,
                unverified=found.downloaded.unverified,
                contract_size=unit,
            )
            return await self._run(
                run_store_job,
                StoreJob(
                    file=found.file,
                    origin=origin,
                    root=self._store.root,
                    incoming=self._store.incoming,
                    max_unpacked_size=self._settings.download.max_unpacked_size,
                    replaces=replaces,
                    beside=tuple(others),
                ),
            )

    async def bring_in(self, day: Day) -> Segment | None:
        """Return the day from the shared store; None if it is not available there, for any reason."""
        shared = self._shared
        if shared is None:
            return None
        path = segment_path(self._store.root, day.exchange, day.symbol, day.window)
        fetch = partial(shared.bring_in_day, path, incoming=self._store.incoming)
        try:
            return await asyncio.wrap_future(in_thread(fetch))
        # The exchange is asked instead.
        except StoreError as error:
            log.warning("%s", error)
            return None

    async def publish(self, segment: Segment, *, replaces: bool) -> None:
        """Put a day that was stored into the shared store, too, if there is one."""
        shared = self._shared
        if shared is None:
            return
        try:
            await asyncio.wrap_future(in_thread(lambda: shared.publish([segment], replaces=replaces)))
        except StoreError as error:  # it is on this machine all the same
            log.warning("%s", error)

    async def _downloaded(
        self, day: Day, files: AsyncExitStack, report: Callable[[float], None]
    ) -> _DownloadedDay:
        """Download a day's file, or the one of all symbols, which `files` removes again."""
        source, file = self._source(day), files.enter_context(incoming_file(self._store.incoming))
        fetch = partial(
            download,
            self._session,
            target=file,
            settings=self._settings.download,
            # Where no length is announced, nothing is known to be done.
            on_bytes=lambda done, total: report(DOWNLOAD_SHARE * done / (total or math.inf)),
        )
        try:
            downloaded = await fetch(source.url, checksum_url=source.checksum_url)
        except NotPublished:
            if source.instead is None:
                raise
            return _DownloadedDay(file, source.instead, await fetch(source.instead))
        return _DownloadedDay(file, source.url, downloaded)

    def _source(self, day: Day) -> DayFile:
        base_url = self._settings.exchanges.of(day.exchange).archive_url
        return EXCHANGES[day.exchange].files.day_file(base_url, day.symbol, day.day)
