"""Bybit's series, by REST and back to each symbol's launch: open interest and mark prices.

Source: github.com/bybit-exchange/docs, v5: Get Open Interest, Get Mark Price Kline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from liqmap.errors import parser_door
from liqmap.exchanges.bybit.files import Bybit
from liqmap.exchanges.bybit.pages import rows_of
from liqmap.exchanges.fields import written_time_of
from liqmap.exchanges.protocol import SeriesFormat
from liqmap.exchanges.series_rows import Row, interest_of, marks_of
from liqmap.model.series import Series, SeriesKind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from liqmap.model.window import TimeWindow

_STEP: Final = SeriesKind.OPEN_INTEREST.step_ms


class BybitInterestPages:
    """GET /v5/market/open-interest: values every five minutes, newest first."""

    reach: timedelta | None = None
    page_rows = 200

    def weight(self, rows: int) -> int:  # noqa: ARG002 - pages of all sizes count the same
        """Return what a page costs."""
        return 1

    def page_url(self, base_url: str, symbol: str, window: TimeWindow) -> str:
        """Return the address of the values at the ends of the steps in `window`."""
        return (
            f"{base_url}/v5/market/open-interest?category={_category(symbol)}&symbol={quote(symbol)}"
            # A row carries the end of its five minutes, and a series their start.
            f"&intervalTime=5min&startTime={window.start_ms + _STEP}&endTime={window.end_ms}"
            f"&limit={self.page_rows}"
        )

    def read_page(self, answer: object, symbol: str) -> Series:  # noqa: ARG002 - rows name no symbol
        """Return the one-sided values of a page. Raises DataError if it cannot be read.

        `openInterest` counts both sides of each contract; one side is `singleOpenInterest`, since
        2026-06-11, or half::

            {"openInterest":"52664.64200000","singleOpenInterest":"26332.321","timestamp":"1789458600000"}
        """
        rows = rows_of(answer, what="open interest")
        with parser_door("Bybit's answer about open interest cannot be read; try again later."):
            return interest_of(rows, _interest)


class BybitMarkPages:
    """GET /v5/market/mark-price-kline: candles of a minute, newest first."""

    reach: timedelta | None = None
    page_rows = 1000

    def weight(self, rows: int) -> int:  # noqa: ARG002 - pages of all sizes count the same
        """Return what a page costs."""
        return 1

    def page_url(self, base_url: str, symbol: str, window: TimeWindow) -> str:
        """Return the address of the candles that open in `window`."""
        return (
            f"{base_url}/v5/market/mark-price-kline?category={_category(symbol)}&symbol={quote(symbol)}"
            # Both times are inclusive, so a candle that opens at the end would be one too many.
            f"&interval=1&start={window.start_ms}&end={window.end_ms - 1}&limit={self.page_rows}"
        )

    def read_page(self, answer: object, symbol: str) -> Series:  # noqa: ARG002 - rows name no symbol
        """Return the candles of a page. Raises DataError if it cannot be read.

        ::

            ["1670608800000","17164.16","17164.16","17121.5","17131.64"]
        """
        rows = rows_of(answer, what="mark prices")
        with parser_door("Bybit's answer about mark prices cannot be read; try again later."):
            return marks_of(rows, time_of=written_time_of)


SERIES: Final[Mapping[SeriesKind, SeriesFormat]] = {
    SeriesKind.OPEN_INTEREST: SeriesFormat(None, BybitInterestPages()),
    SeriesKind.MARK_PRICE: SeriesFormat(None, BybitMarkPages()),
}


def _category(symbol: str) -> str:
    return "inverse" if Bybit().contract(symbol).inverse else "linear"


def _interest(row: Mapping[str, Any]) -> Row:
    both, one_side = float(row["openInterest"]), float(row.get("singleOpenInterest") or 0)
    # Where there was none yet, it may be absent, empty or 0, which does not say that nothing is open.
    return written_time_of(row["timestamp"]) - _STEP, (one_side or both / 2,)
