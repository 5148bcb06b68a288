"""Binance's series: open interest from its files of metrics, mark prices, and both by REST.

Source: github.com/binance/binance-public-data, issue #491; developers.binance.com, USDⓈ-M futures: Open
Interest Statistics and Mark Price Kline Data.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from liqmap.errors import DataError, parser_door
from liqmap.exchanges.binance.files import Binance
from liqmap.exchanges.fields import time_of
from liqmap.exchanges.protocol import DayFile, SeriesFormat
from liqmap.exchanges.series_rows import Row, check_header, check_of_day, interest_of, marks_of, rows_of_zip
from liqmap.model.series import Series, SeriesKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from liqmap.model.window import TimeWindow

LABELS_MOVED: Final = date(2026, 6, 25)
"""Rows of metrics carry the end of their five minutes as time, and from this day on their start."""

_STEP: Final = SeriesKind.OPEN_INTEREST.step_ms
_MINUTE: Final = SeriesKind.MARK_PRICE.step_ms
_METRICS = ("create_time", "symbol", "sum_open_interest")
_KLINES = ("open_time", "open", "high", "low", "close")
_ODD_PAGE = "Binance's answer about {} cannot be read; try again later."


class BinanceMetrics:
    """Daily files of metrics, of which the open interest is read."""

    def day_file(self, base_url: str, symbol: str, day: date) -> DayFile:
        """Return where `symbol`'s metrics of `day` are published below `base_url`."""
        url = f"{base_url}/data/futures/{_market(symbol)}/daily/metrics/{symbol}/{_metrics_name(symbol, day)}"
        return DayFile(url, f"{url}.CHECKSUM")

    def read_day(self, path: Path, symbol: str, day: date, *, max_unpacked_size: int) -> Series:
        """Parse a day's zip. Raises DataError naming the file and what was found.

        Early files have every row twice, some hold the first row of the next day, ratios may be "", and
        single rows are missing::

            create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,…
            2025-01-21 00:05:00,ACEUSDT,2310973.7900000000000000,3669133.0863830000000000,4.24734982,…
        """
        name = _metrics_name(symbol, day)
        with parser_door(f"{name} is not a file of metrics; it may have been replaced, try again."):
            head, *rows = rows_of_zip(path, name, max_unpacked_size=max_unpacked_size)
            check_header(name, head, _METRICS)
            if any(row[1] != symbol for row in rows):
                raise DataError(f"{name} holds another symbol than {symbol}.")
            # COIN-M counts contracts of 100 or 10 dollars; the series of inverse markets is in dollars.
            dollars = Binance().contract(symbol).dollars
            label = 0 if day >= LABELS_MOVED else _STEP
            found = interest_of(rows, lambda row: (_written_ms(row[0]) - label, (float(row[2]) * dollars,)))
            return check_of_day(found, day, name)


class BinanceInterestPages:
    """GET /futures/data/openInterestHist: 30 days of values every five minutes, oldest first."""

    # A start that is more than 30 days ago is refused, so a day is left for waiting and for clocks.
    reach: timedelta | None = timedelta(days=29)
    page_rows = 500

    def weight(self, rows: int) -> int:  # noqa: ARG002 - it has no weight, but a limit of its own
        """Return what a page costs: it counts against 1,000 requests in five minutes."""
        return 1

    def page_url(self, base_url: str, symbol: str, window: TimeWindow) -> str:
        """Return the address of the values at the ends of the steps in `window`."""
        first, last = window.start_ms + _STEP, window.end_ms
        return (
            f"{base_url}/futures/data/openInterestHist?symbol={quote(symbol)}&period=5m"
            f"&limit={self.page_rows}&startTime={first}&endTime={last}"
        )

    def read_page(self, answer: object, symbol: str) -> Series:
        """Return the values of a page. Raises DataError if it cannot be read.

        ::

            [{"symbol":"BTCUSDT","sumOpenInterest":"20403.63700000",
              "sumOpenInterestValue":"150570784.07809979","timestamp":1583127900000}]
        """
        with parser_door(_ODD_PAGE.format("open interest")):
            return interest_of(_rows(answer), partial(_interest, symbol=symbol))


class BinanceMarkFiles:
    """Daily files of mark-price candles of a minute."""

    def day_file(self, base_url: str, symbol: str, day: date) -> DayFile:
        """Return where `symbol`'s mark prices of `day` are published below `base_url`."""
        folder = f"{base_url}/data/futures/{_market(symbol)}/daily/markPriceKlines/{symbol}/1m"
        url = f"{folder}/{symbol}-1m-{day}.zip"
        return DayFile(url, f"{url}.CHECKSUM")

    def read_day(self, path: Path, symbol: str, day: date, *, max_unpacked_size: int) -> Series:
        """Parse a day's zip, whose header is absent before 2022. Raises DataError naming the file.

        ::

            open_time,open,high,low,close,volume,close_time,quote_volume,count,…
            1591256460000,9653.29201333,9654.56401333,9653.07367333,9653.07367333,0,1591256519999,0,60,0,0,0
        """
        name = f"{symbol}-1m-{day}.zip"
        with parser_door(f"{name} is not a file of mark prices; it may have been replaced, try again."):
            rows = rows_of_zip(path, name, max_unpacked_size=max_unpacked_size)
            if rows and not rows[0][0].isdecimal():
                check_header(name, rows.pop(0), _KLINES)
            return check_of_day(marks_of(rows, time_of=_milliseconds), day, name)


class BinanceMarkPages:
    """GET /fapi/v1/markPriceKlines: candles of a minute, oldest first, since the symbol's launch."""

    reach: timedelta | None = None
    page_rows = 1440

    def weight(self, rows: int) -> int:
        """Return what a page costs."""
        # The documentation's steps, by `limit`: below 100, below 500, up to 1,000, and above.
        return next((weight for most, weight in ((99, 1), (499, 2), (1000, 5)) if rows <= most), 10)

    def page_url(self, base_url: str, symbol: str, window: TimeWindow) -> str:
        """Return the address of the candles that open in `window`."""
        rows = (window.end_ms - window.start_ms) // _MINUTE
        return (
            f"{base_url}/fapi/v1/markPriceKlines?symbol={quote(symbol)}&interval=1m"
            # Both times are inclusive, so a candle that opens at the end would be one too many.
            f"&limit={max(rows, 1)}&startTime={window.start_ms}&endTime={window.end_ms - 1}"
        )

    def read_page(self, answer: object, symbol: str) -> Series:  # noqa: ARG002 - rows name no symbol
        """Return the candles of a page. Raises DataError if it cannot be read.

        ::

            [[1591256460000,"9653.29201333","9654.56401333","9653.07367333","9653.07367333","0",
              1591256519999,"0",60,"0","0","0"]]
        """
        with parser_door(_ODD_PAGE.format("mark prices")):
            return marks_of(_rows(answer), time_of=time_of)


def _is_usd_m(symbol: str) -> bool:
    """Return whether the REST API at the known address lists a symbol: COIN-M has a host of its own."""
    return not Binance().contract(symbol).inverse


SERIES: Final[Mapping[SeriesKind, SeriesFormat]] = {
    SeriesKind.OPEN_INTEREST: SeriesFormat(BinanceMetrics(), BinanceInterestPages(), _is_usd_m),
    SeriesKind.MARK_PRICE: SeriesFormat(BinanceMarkFiles(), BinanceMarkPages(), _is_usd_m),
}


def _market(symbol: str) -> str:
    return "cm" if Binance().contract(symbol).inverse else "um"


def _metrics_name(symbol: str, day: date) -> str:
    return f"{symbol}-metrics-{day}.zip"


def _written_ms(text: str) -> int:
    """Return a time written as 2025-01-21 00:05:00, in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


def _milliseconds(text: str) -> int:
    """Return a time in ms, also where a file has microseconds, as Binance's spot files do since 2025."""
    number = int(text)
    return number if number < 10**14 else number // 1000


def _interest(row: Mapping[str, Any], symbol: str) -> Row:
    if row["symbol"] != symbol:
        raise ValueError("a row is of another symbol")
    # Numbers in recent answers, text in documented ones.
    # A row carries the end of its five minutes, and a series their start.
    return int(row["timestamp"]) - _STEP, (float(row["sumOpenInterest"]),)


def _rows(answer: object) -> Sequence[Any]:
    if not isinstance(answer, list):
        raise TypeError("a page is not a list")
    return answer
