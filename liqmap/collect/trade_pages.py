"""Request an exchange's recent trades by REST, page by page, several at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from liqmap.errors import DataError
from liqmap.exchanges import EXCHANGES
from liqmap.exchanges.fields import FIRST_ID
from liqmap.exchanges.messages import Page
from liqmap.exchanges.rows import no_trades
from liqmap.model import Trades
from liqmap.net.rest import RejectedRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from numpy.typing import NDArray

    from liqmap.exchanges.messages import Backfill
    from liqmap.model import Exchange
    from liqmap.net.rest import RestClient

_MOST_TRADES = 20_000_000  # in an hour: a hundred times the busiest; more means that the ids are not serial
_PATIENT_AT_ONCE = 2  # pages of what nobody waits for


class TradePages:
    """The pages of one exchange's recent trades.

    What somebody waits for goes first, then repairs, then the rest.
    """

    def __init__(
        self, exchange: Exchange, backfill: Backfill, *, base_url: str, client: RestClient, most_at_once: int
    ) -> None:
        self._exchange = exchange
        self._backfill = backfill
        self._base_url = base_url
        self._client = client
        self._in_flight = asyncio.Semaphore(most_at_once)
        self._patient_in_flight = asyncio.Semaphore(_PATIENT_AT_ONCE)
        # One symbol's repair after the other: those of a whole exchange would fill any queue at once.
        self._repair = asyncio.Lock()
        self._repairs_in_flight = asyncio.Semaphore(most_at_once)
        self._repaired: str | None = None
        self._waited_for: Counter[str] = Counter()
        self._begun: dict[str, tuple[int, int]] = {}  # id and time of the first trade ever of new symbols

    @contextmanager
    def waited_for(self, symbol: str) -> Iterator[None]:
        """During this block, somebody waits for the pages of `symbol`, so they are urgent."""
        self._waited_for[symbol] += 1
        try:
            with self._client.hurry():
                yield
        finally:
            self._waited_for[symbol] -= 1

    @asynccontextmanager
    async def repairing(self, symbol: str) -> AsyncIterator[None]:
        """During this block, the pages of `symbol` repair a hole. Wait until no other symbol's do."""
        async with self._repair:
            self._repaired = symbol
            try:
                with self._client.hurry():
                    yield
            finally:
                self._repaired = None

    async def first_id(self, symbol: str, milliseconds: int) -> int:
        """Return the id of the first trade at or after a time, or the id that it will have."""
        first, its_ms = self._begun.get(symbol, (0, 0))
        if milliseconds <= its_ms:
            return first
        found = await self._first_on_page(symbol, milliseconds)
        if found is not None:
            return found
        newest = await self._certain_page(symbol)
        if not len(newest.ids):
            return 0
        before = newest.ids[newest.trades.time < milliseconds]
        if len(before):  # no earlier trade can still appear, so the next one gets the next id
            return int(before[-1]) + 1
        # There are later trades, so the page by time may have come empty by mistake.
        found = await self._first_on_page(symbol, milliseconds)
        return await self._searched(symbol, milliseconds, newest) if found is None else found

    async def between(
        self, symbol: str, first: int, end: int, *, report: Callable[[float, int], None]
    ) -> Page:
        """Return the trades with ids in [first, end), as far as the exchange has them, as one page.

        They are in order of time and, at the same time, of ids. `report` is called with the share that is
        done and the number of trades. Raises DataError.
        """
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
            return _joined([page for pages in await asyncio.gather(*tasks) for page in pages])
        finally:
            for task in tasks:  # after the first failure, the other pages are of no use
                task.cancel()

    async def _first_on_page(self, symbol: str, milliseconds: int) -> int | None:
        page = await self._page(symbol, from_ms=milliseconds)
        return self._backfill.first_id(page, milliseconds)

    async def _searched(self, symbol: str, milliseconds: int, page: Page) -> int:
        """Return the id of the first trade at or after a time, searched for by ids.

        `page` is the newest; all its trades are later. Pages by time do not show where a symbol begins: OKX
        has none before a time at which it was not listed yet.
        """
        found, its_ms = int(page.ids[0]), int(page.trades.time[0])
        low, high = FIRST_ID - 1, found  # up to `low`, all are earlier; from `high` to `found` there are none
        is_first = True
        while high - low > 1:
            middle = (low + high) // 2
            page = await self._certain_page(symbol, from_id=middle)
            is_later = page.trades.time >= milliseconds
            later = np.flatnonzero(is_later & (page.ids < high))
            is_first = is_first and bool(is_later.all())
            if len(later):
                high = found = int(page.ids[later[0]])
                its_ms = int(page.trades.time[later[0]])
            elif len(page.ids) and page.ids[0] >= high:
                high = middle
            else:
                low = middle
        if is_first:
            self._begun[symbol] = found, its_ms
        return found

    async def _whole_page(self, symbol: str, start: int, end: int) -> list[Page]:
        """Return the trades with ids in [start, end); each id that pages lack is requested once more."""
        found: list[Page] = []
        ask: int | None = start
        asked_again: set[int] = set()
        while ask is not None:
            page = await self._page(symbol, from_id=ask)
            found.append(chosen(page, (page.ids >= start) & (page.ids < end)))
            have = np.unique(np.concatenate([part.ids for part in found]))
            absent = np.setdiff1d(np.arange(start, end), have)
            # The first id of each run of those that are absent.
            gaps = absent[np.diff(absent, prepend=-2) > 1]
            ask = next((int(gap) for gap in gaps if int(gap) not in asked_again), None)
            if ask is not None:
                asked_again.add(ask)
        return found

    async def _certain_page(self, symbol: str, *, from_id: int | None = None) -> Page:
        """Return a page; one without trades is requested once more: OKX sends empty ones at times."""
        page = await self._page(symbol, from_id=from_id)
        return page if len(page.ids) else await self._page(symbol, from_id=from_id)

    async def _page(self, symbol: str, *, from_id: int | None = None, from_ms: int | None = None) -> Page:
        url = self._backfill.page_url(self._base_url, symbol, from_id=from_id, from_ms=from_ms)
        is_patient = partial(self._is_patient, symbol)
        # What waits for others keeps its slot, so each kind has slots of its own.
        async with self._slots(symbol):
            try:
                answer = await self._client.get(url, weight=self._backfill.page_weight, is_patient=is_patient)
            except RejectedRequest as error:
                raise self._backfill.explained(error.answer, symbol) from error
        return self._backfill.read_page(answer)

    def _is_patient(self, symbol: str) -> bool:
        """Return whether the pages of `symbol` are held back while somebody hurries the client."""
        if self._waited_for[symbol]:
            return False
        # A repair hurries it too, but lets those go first who wait for another symbol.
        return symbol != self._repaired or any(self._waited_for.values())

    def _slots(self, symbol: str) -> asyncio.Semaphore:
        if self._waited_for[symbol]:
            return self._in_flight
        return self._repairs_in_flight if symbol == self._repaired else self._patient_in_flight


def chosen(page: Page, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Page:
    """Return the trades of a page at `rows`."""
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
    return chosen(Page(ids, Trades(time, price, size, is_buy)), each[np.argsort(time[each], kind="stable")])
