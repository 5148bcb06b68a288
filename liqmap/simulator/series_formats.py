"""Series in the exchanges' own formats, with the quirks of their published rows."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

from liqmap.simulator.formats import zipped
from liqmap.simulator.okx_messages import CONTRACTS
from liqmap.simulator.series import MINUTE_MS, STEP_MS, STEPS

if TYPE_CHECKING:
    from liqmap.simulator.series import SeriesDay

LABELS_MOVED: Final = date(2026, 6, 25)
"""From this day on, the time of a row of metrics is the start of its five minutes; before, their end."""

ONE_SIDED_SINCE_MS: Final = int(datetime(2026, 6, 11, tzinfo=UTC).timestamp()) * 1000
"""Since then Bybit also reports the open interest of one side."""

_DOUBLED_UNTIL = date(2022, 1, 1)  # files of earlier days have every row twice
_HEADERS_SINCE = date(2022, 1, 1)  # files of candles have a header from this day on
_METRICS = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio"
)
_CANDLES = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
    "taker_buy_quote_volume,ignore"
)
_LEFT_OUT = 100  # the place of a row that is missing on some days


def binance_metrics_zip(series: SeriesDay) -> bytes:
    """Return a day as Binance publishes its metrics.

    2025-01-21 00:05:00,ACEUSDT,2310973.7900000000000000,3669133.0863830000000000,4.24734982,2.26803000,…
    2023-06-25 00:00:00,BTCUSD_PERP,5578700.00000000,18265.00911826,"","","",0.00855776
    """
    rows: list[str] = []
    for place in range(1, STEPS + 1):
        if series.day.day == 15 and place == _LEFT_OUT:
            continue
        rows += [_metrics_row(series, place)] * (2 if series.day < _DOUBLED_UNTIL else 1)
    return zipped(f"{series.symbol}-metrics-{series.day}.csv", _text([_METRICS, *rows]))


def _metrics_row(series: SeriesDay, place: int) -> str:
    """Return the row of the five minutes that end at step `place` of the day."""
    inverse = series.listing.dollars is not None
    label = series.start_ms + (place - (series.day >= LABELS_MOVED)) * STEP_MS
    written = datetime.fromtimestamp(label / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    size = series.interest[place] / (series.listing.dollars or 1)
    value = size * (series.close[place * 5 - 1] if not inverse else 1)
    ratios = '"","","",0.95755776' if inverse else "1.24734982,1.26803000,0.72141015,0.99236000"
    return f"{written},{series.symbol},{size:.8f},{value:.8f},{ratios}"


def binance_mark_zip(series: SeriesDay) -> bytes:
    """Return a day as Binance publishes its mark prices, with a header since 2022."""
    rows = [",".join(map(str, row)) for row in binance_candles(series)]
    header = [_CANDLES] if series.day >= _HEADERS_SINCE else []
    return zipped(f"{series.symbol}-1m-{series.day}.csv", _text([*header, *rows]))


def binance_candles(series: SeriesDay) -> list[list[Any]]:
    """Return a day's candles as GET /fapi/v1/markPriceKlines has them.

    [1591256460000,"9653.29201333","9654.56401333","9653.07367333","9653.07367333","0",1591256519999,"0",60,
    "0","0","0"]
    """
    found: list[list[Any]] = []
    for minute, (opening, high, low, close) in enumerate(_candles(series)):
        start = series.start_ms + minute * MINUTE_MS
        found.append([start, opening, high, low, close, "0", start + MINUTE_MS - 1, "0", 60, "0", "0", "0"])
    return found


def bybit_candles(series: SeriesDay) -> list[list[str]]:
    """Return a day's candles, oldest first: ["1670608800000","17164.16","17164.16","17121.5","17131.64"]."""
    return [
        [str(series.start_ms + minute * MINUTE_MS), *candle] for minute, candle in enumerate(_candles(series))
    ]


def binance_interest(series: SeriesDay) -> list[dict[str, Any]]:
    """Return a day's open interest as GET /futures/data/openInterestHist has it.

    {"symbol":"BTCUSDT","sumOpenInterest":"20403.63700000","sumOpenInterestValue":"150570784.07809979",
    "timestamp":1583127900000}
    """
    return [
        {
            "symbol": series.symbol,
            "sumOpenInterest": f"{series.interest[place]:.8f}",
            "sumOpenInterestValue": f"{series.interest[place] * series.close[place * 5 - 1]:.8f}",
            "CMCCirculatingSupply": "19900000.00000000",
            "timestamp": series.start_ms + place * STEP_MS,
        }
        for place in range(1, STEPS + 1)
    ]


def bybit_interest(series: SeriesDay) -> list[dict[str, str]]:
    """Return a day's open interest, oldest first: both sides together, and since June 2026 also one.

    {"openInterest":"52664.64200000","singleOpenInterest":"26332.321","timestamp":"1789458600000"}
    """
    found = []
    for place in range(1, STEPS + 1):
        at, size = series.start_ms + place * STEP_MS, series.interest[place]
        one_side = {"singleOpenInterest": f"{size:.8f}"} if at >= ONE_SIDED_SINCE_MS else {}
        found.append({"openInterest": f"{2 * size:.8f}", **one_side, "timestamp": str(at)})
    return found


def okx_candles(series: SeriesDay) -> list[list[str]]:
    """Return a day's candles, oldest first: ["1597026383085","3.721","3.743","3.677","3.708","1"]."""
    return [[*row, "1"] for row in bybit_candles(series)]


def okx_interest(series: SeriesDay) -> list[list[str]]:
    """Return a day's open interest, oldest first: time, contracts, coins and US dollars."""
    found = []
    for place in range(1, STEPS + 1):
        size, price = series.interest[place], series.close[place * 5 - 1]
        at = series.start_ms + place * STEP_MS
        contracts = size / CONTRACTS[series.symbol]
        found.append([str(at), f"{contracts:.4f}", f"{size:.8f}", f"{size * price:.4f}"])
    return found


def _candles(series: SeriesDay) -> list[list[str]]:
    decimals = series.listing.price_decimals + 2
    columns = (series.opening, series.high, series.low, series.close)
    return [[f"{value:.{decimals}f}" for value in row] for row in zip(*columns, strict=True)]


def _text(lines: list[str]) -> str:
    return "\n".join([*lines, ""])
