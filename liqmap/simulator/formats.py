"""Write simulated days in the exchanges' own file formats, down to the layout of bytes."""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from liqmap.simulator.liquidations import Liquidations
    from liqmap.simulator.listings import MarketDay

MAINTENANCE = 0.004  # how far the limit of a liquidation order lies beyond its fill, as a share
_FASTEST = 1  # of deflate's levels: these files are read once, on this machine


def binance_csv_name(symbol: str, day: object) -> str:
    """Return the name of the file inside a Binance aggTrades zip."""
    return f"{symbol}-aggTrades-{day}.csv"


def binance_zip(day: MarketDay, *, header: bool = True) -> bytes:
    """Return a day as Binance publishes it: a zip of one aggTrades CSV with 7 columns."""
    trades = day.trades
    table = pa.table(
        {
            "agg_trade_id": day.ids,
            "price": decimals(trades.price, day.listing.price_decimals),
            "quantity": decimals(trades.size / (day.listing.dollars or 1), day.listing.size_decimals),
            # Each aggregate trade stands for two trades here.
            "first_trade_id": day.ids * 2,
            "last_trade_id": day.ids * 2 + 1,
            "transact_time": trades.time,
            "is_buyer_maker": ~trades.is_buy,
        }
    )
    return zipped(binance_csv_name(day.symbol, day.day), csv_of(table, header=header))


def binance_liquidations_zip(day: Liquidations) -> bytes:
    """Return a COIN-M day as Binance published it: a zip of a liquidationSnapshot CSV with every row doubled.

    As in the published files, it has only the latest of each second, quantities are in contracts, and limits
    lie at the bankruptcy price:
    1687656471926,BUY,LIMIT,IOC,7,30741.3,30631.6,FILLED,6,7. A liquidated long is sold.
    """
    reported = day.latest_a_second()
    contracts = np.maximum(np.rint(reported.size / (day.listing.dollars or 1)), 1)
    beyond = 1 + np.where(reported.is_long, -MAINTENANCE, MAINTENANCE)
    table = pa.table(
        {
            "time": reported.time,
            "side": choice(reported.is_long, ["BUY", "SELL"]),
            "order_type": pa.repeat("LIMIT", len(reported)),
            "time_in_force": pa.repeat("IOC", len(reported)),
            "original_quantity": decimals(contracts, 0),
            "price": decimals(reported.price * beyond, day.listing.price_decimals),
            "average_price": decimals(reported.price, day.listing.price_decimals),
            "order_status": pa.repeat("FILLED", len(reported)),
            "last_fill_quantity": decimals(np.ceil(contracts / 2), 0),
            "accumulated_fill_quantity": decimals(contracts, 0),
        }
    ).take(np.repeat(np.arange(len(reported)), 2))
    return zipped(f"{day.symbol}-liquidationSnapshot-{day.day}.csv", csv_of(table, header=True))


def binance_checksum(content: bytes, name: str) -> bytes:
    """Return the `.CHECKSUM` file beside a zip: its sha256, two blanks, its name."""
    return f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode()


def bybit_csv_gz(day: MarketDay) -> bytes:
    """Return a day as Bybit publishes it: a gzipped CSV with a header.

    homeNotional repeats the size. foreignNotional is size × price or, of inverse contracts, size / price
    with eight decimals, the rest cut off: 1569974396.557895,BTCUSD,Buy,11668,8319.5,PlusTick,
    656acfd0-8b65-5070-a2f1-b5b55f8402a1,140248813.0,11668,1.40248813.
    """
    trades, count = day.trades, len(day.trades)
    size = decimals(trades.size, day.listing.size_decimals)
    foreign = trades.size * trades.price
    if trades.inverse:
        foreign = np.floor(trades.size / trades.price * 1e8) / 1e8
    table = pa.table(
        {
            "timestamp": decimals((trades.time * 10 + day.ids % 10) / 10_000, 4),
            "symbol": pa.repeat(day.symbol, count),
            "side": choice(trades.is_buy, ["Sell", "Buy"]),
            "size": size,
            "price": decimals(trades.price, day.listing.price_decimals),
            "tickDirection": choice(np.diff(trades.price, prepend=0) > 0, ["MinusTick", "PlusTick"]),
            "trdMatchID": bybit_trade_ids(day.ids),
            "grossValue": foreign * 1e8,
            "homeNotional": size,
            "foreignNotional": foreign,
            "RPI": pa.repeat(0, count),
        }
    )
    return gzip.compress(csv_of(table, header=True), _FASTEST)


def risk_limits(symbol: str, *, inverse: bool) -> list[dict[str, Any]]:
    """Return the risk limits of a symbol as Bybit's API returns them.

    Rows of linear symbols look as they did in recorded answers of 2026. Rows of inverse symbols look as in
    the documentation: in percent, without a deduction, and with limits in base currency.
    """
    if inverse:
        return [
            _risk_limit(symbol, 1, limit="150", rate="0.5", initial="1", leverage="100.00"),
            _risk_limit(symbol, 2, limit="300", rate="1", initial="2", leverage="50.00"),
        ]
    return [
        _risk_limit(symbol, 1, limit="300000", rate="0.0033", initial="0.0066", leverage="150.00")
        | {"mmDeduction": ""},
        _risk_limit(symbol, 2, limit="2000000", rate="0.005", initial="0.01", leverage="100.00")
        | {"mmDeduction": "510"},
    ]


def _risk_limit(
    symbol: str, number: int, *, limit: str, rate: str, initial: str, leverage: str
) -> dict[str, Any]:
    return {
        "id": number,
        "symbol": symbol,
        "riskLimitValue": limit,
        "maintenanceMargin": rate,
        "initialMargin": initial,
        "isLowestRisk": int(number == 1),
        "maxLeverage": leverage,
    }


def bybit_trade_ids(ids: NDArray[np.int64]) -> pa.Array:
    """Return the UUIDs of Bybit's trades: trdMatchID in files, execId in REST answers, i in streams."""
    number = pc.utf8_lpad(pa.array(ids).cast(pa.string()), 12, "0")
    return pc.binary_join_element_wise("00000000-0000-4000-8000", number, "-")


def zipped(name: str, content: bytes | str) -> bytes:
    """Return a zip with one file, `name`."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=_FASTEST) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def decimals(values: NDArray[np.float64], places: int) -> pa.Array:
    """Return decimals that CSV writes with all their places, never as 1.2e-05."""
    # A decimal of 128 bits is two words, and every price and size fits into the first.
    words = np.zeros((len(values), 2), np.int64)
    words[:, 0] = np.rint(values * 10.0**places)
    return pa.Array.from_buffers(pa.decimal128(18, places), len(values), [None, pa.py_buffer(words)])


def choice(index: NDArray[np.bool_], words: list[str]) -> pa.Array:
    """Return the second word where `index` is true, else the first."""
    return pa.DictionaryArray.from_arrays(index.astype(np.int8), words).cast(pa.string())


def csv_of(table: pa.Table, *, header: bool) -> bytes:
    """Return the rows of a table as lines of text, without quotes."""
    file = io.BytesIO()
    if header:
        file.write((",".join(table.column_names) + "\n").encode())
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    pyarrow.csv.write_csv(table, file, options)
    return file.getvalue()
