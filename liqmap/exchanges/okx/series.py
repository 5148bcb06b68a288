"""OKX's series, by REST: open interest of the last five days, and mark prices.

Source: OKX's documentation of its API v5: Get contract open interest history, Get mark price candlesticks
history.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from liqmap.errors import parser_door
from liqmap.exchanges.fields import written_time_of
from liqmap.exchanges.okx.names import instrument_of, is_linear
from liqmap.exchanges.okx.pages import rows_of
from liqmap.exchanges.protocol import SeriesFormat
from liqmap.exchanges.series_rows import Row, interest_of, marks_of
from liqmap.model.series import Series, SeriesKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from liqmap.model.window import TimeWindow

_STEP: Final = SeriesKind.OPEN_INTEREST.step_ms
_CLOSED = "1"
_ODD_PAGE = "OKX's answer about {} cannot be read; try again later."


class OkxInterestPages:
    """GET /api/v5/rubik/stat/contracts/open-interest-history: values every five minutes, newest first."""

    reach: timedelta | None = timedelta(minutes=5 * 1440)  # the newest 1,440 values
    page_rows = 100

    def weight(self, rows: int) -> int:  # noqa: ARG002 - pages of all sizes count the same
        """Return what a page costs: its limit is half of the others'."""
        return 2

    def page_url(self, base_url: str, symbol: str, window: TimeWindow) -> str:
        """Return the address of the values at the ends of the steps in `window`.

        Both bounds are exclusive: OKX returns what is newer than `begin` and earlier than `end`.
        """
        return (
            f"{base_url}/api/v5/rubik/stat/contracts/open-interest-history"
            f"?instId={quote(instrument_of(symbol))}&period=5m&begin={window.start_ms + _STEP - 1}"
            f"&end={window.end_ms + 1}&limit={self.page_rows}"
        )

    def read_page(self, answer: object, symbol: str) -> Series:  # noqa: ARG002 - rows name no symbol
        """Return the one-sided values of a page in coins. Raises DataError if it is none.

        A row is time, contracts, coins and US dollars::

            ["1701417600000","731377.57500501","111","8888888"]
        """
        rows = rows_of(answer, what="open interest")
        with parser_door(_ODD_PAGE.format("open interest")):
            return interest_of(rows, _interest)


class OkxMarkPages:
    """GET /api/v5/market/history-mark-price-candles: candles of a minute, newest first."""

    reach: timedelta | None = None
    page_rows = 100

    def weight(self, rows: int) -> int:  # noqa: ARG002 - pages of all sizes count the same
        """Return what a page costs: its limit is half of the others'."""
        return 2

    def page_url(self, base_url: str, symbol: str, window: TimeWindow) -> str:
        """Return the address of the candles that open in `window`; both bounds are exclusive."""
        return (
            f"{base_url}/api/v5/market/history-mark-price-candles?instId={quote(instrument_of(symbol))}"
            f"&bar=1m&before={window.start_ms - 1}&after={window.end_ms}&limit={self.page_rows}"
        )

    def read_page(self, answer: object, symbol: str) -> Series:  # noqa: ARG002 - rows name no symbol
        """Return the candles of a page, without one that is still open. Raises DataError if it is none.

        ::

            ["1597026383085","3.721","3.743","3.677","3.708","1"]
        """
        rows = rows_of(answer, what="mark prices")
        with parser_door(_ODD_PAGE.format("mark prices")):
            return marks_of([row for row in rows if row[5] == _CLOSED], time_of=written_time_of)


def _interest(row: Sequence[Any]) -> Row:
    time, _, coins, *_ = row
    # A row carries the end of its five minutes, and a series their start.
    return written_time_of(time) - _STEP, (float(coins),)


SERIES: Final[Mapping[SeriesKind, SeriesFormat]] = {
    SeriesKind.OPEN_INTEREST: SeriesFormat(None, OkxInterestPages(), is_linear),
    SeriesKind.MARK_PRICE: SeriesFormat(None, OkxMarkPages(), is_linear),
}
