"""Trades as OKX writes them: fills by REST and in files, orders in streams, sizes in contracts.

Sources: files below static.okx.com and frames of the public streams, as recorded in 2022 and in 2026.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from liqmap.simulator.formats import choice, csv_of, decimals, zipped

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from numpy.typing import NDArray

    from liqmap.simulator.liquidations import Liquidations
    from liqmap.simulator.listings import Listing, MarketDay

FILLS: Final = 2
"""The number of fills of each order of the simulated market at OKX; the first takes the larger part."""

CONTRACTS: Final = {
    "BTCUSDT": 0.01,
    "ETHUSDT": 0.1,
    "SOLUSDT": 1.0,
    "XRPUSDT": 100.0,
    "DOGEUSDT": 1000.0,
    "SHIBUSDT": 1_000_000.0,
}
"""Coins of one contract, as OKX had them in 2022 and in 2026."""

COLUMNS: Final = ("instrument_name", "trade_id", "side", "price", "size", "created_time", "source")

# A row of the list of instruments, and the tiers of BTC-USDT, both as recorded in 2026.
_TIERS: Final = (("1000", "0.004", "0.01", "100"), ("5000", "0.005", "0.015", "66.66"))
_MORE_TIERS: Final = (("20000", "0.0075", "0.02", "50"), ("40000", "0.0125", "0.025", "40"))


def instrument(symbol: str) -> str:
    """Return OKX's name of a symbol's swap: BTC-USDT-SWAP."""
    return f"{symbol.removesuffix('USDT')}-USDT-SWAP"


def symbol_named(name: str) -> str | None:
    """Return the symbol of a swap's name, None for one that is not listed."""
    return next((symbol for symbol in CONTRACTS if instrument(symbol) == name), None)


@dataclass(frozen=True, slots=True, eq=False)
class Fills:
    """The fills of trades, oldest first: id, place of the trade, contracts as they are written."""

    ids: NDArray[np.int64]
    trade: NDArray[np.intp]
    size: pa.Array

    @classmethod
    def of(cls, part: MarketDay) -> Fills:
        """Return the fills of each trade: six tenths of it, and the rest."""
        places = _decimals(part.symbol, part.listing)
        lots = np.rint(part.trades.size / CONTRACTS[part.symbol] * 10.0**places)
        # Of unequal size, so that a parser that takes the fills for orders is noticed.
        first = np.floor(lots * 0.6)
        trade = np.repeat(np.arange(len(lots)), FILLS)
        ids = part.ids[trade] * FILLS + np.tile(np.arange(FILLS), len(lots))
        return cls(ids, trade, _short(np.stack([first, lots - first], axis=1).ravel(), places))


def okx_zip(parts: Sequence[MarketDay], symbol: str, day: date, *, header: bool = True) -> bytes:
    """Return a day in UTC+8 as OKX publishes it: a zip of one CSV, a row a fill, its size in contracts.

    BTC-USDT-SWAP,2802853319,sell,64927.5,0.2,1784822400188,0. A hundredth is written 1E-2.
    """
    return zipped(f"{instrument(symbol)}-trades-{day}.csv", _text(parts, header=header))


def okx_all_zip(days: Sequence[Sequence[MarketDay]], day: date) -> bytes:
    """Return a day in UTC+8 of several swaps in one file, as OKX publishes some days."""
    return zipped(f"allswap-trades-{day}.csv", _text([part for parts in days for part in parts]))


def _text(parts: Sequence[MarketDay], *, header: bool = True) -> bytes:
    head = f"{','.join(COLUMNS)}\n".encode() if header else b""
    return head + b"".join(csv_of(_fills_of(part), header=False) for part in parts)


def _fills_of(part: MarketDay) -> pa.Table:
    fills = Fills.of(part)
    trades, trade = part.trades, fills.trade
    price = decimals(trades.price, part.listing.price_decimals).take(pa.array(trade))
    # OKX's files have exponents for this value alone, which a parser must be able to read.
    size = pc.if_else(pc.equal(fills.size, "0.01"), "1E-2", fills.size)
    columns = [
        pa.repeat(instrument(part.symbol), len(trade)),
        fills.ids,
        choice(trades.is_buy[trade], ["sell", "buy"]),
        price,
        size,
        trades.time[trade],
        pa.repeat(0, len(trade)),
    ]
    return pa.table(columns, names=COLUMNS)


def okx_rows(part: MarketDay) -> list[dict[str, Any]]:
    """Return each fill as GET /api/v5/market/history-trades writes it, oldest first.

    {"instId":"BTC-USDT-SWAP","side":"sell","sz":"0.01","source":"0","px":"29963.2","tradeId":"242720720",
    "ts":"1654161646974"}
    """
    fills, trades = Fills.of(part), part.trades
    price = decimals(trades.price, part.listing.price_decimals).cast(pa.string()).to_pylist()
    rows = zip(fills.ids.tolist(), fills.trade.tolist(), fills.size.to_pylist(), strict=True)
    return [
        {
            "instId": instrument(part.symbol),
            "side": "buy" if trades.is_buy[trade] else "sell",
            "sz": size,
            "source": "0",
            "px": price[trade],
            "tradeId": str(number),
            "ts": str(trades.time[trade]),
        }
        for number, trade, size in rows
    ]


def okx_trades(name: str, part: MarketDay) -> list[str]:
    """Return a message for each trade, as the channel `trades` sends it: with its last fill's id.

    {"arg":{"channel":"trades","instId":"BTC-USDT-SWAP"},"data":[{"instId":"BTC-USDT-SWAP",
    "tradeId":"130639474","px":"42219.9","sz":"12.06","side":"buy","ts":"1630048897897","count":"3",
    "source":"0","seqId":77}]}
    """
    places = _decimals(part.symbol, part.listing)
    lots = np.rint(part.trades.size / CONTRACTS[part.symbol] * 10.0**places)
    head = f'{{"arg":{{"channel":"trades","instId":"{name}"}},"data":[{{"instId":"{name}","tradeId":"'
    columns = (
        *(head, part.ids * FILLS + FILLS - 1, '","px":"'),
        *(decimals(part.trades.price, part.listing.price_decimals), '","sz":"', _short(lots, places)),
        *('","side":"', choice(part.trades.is_buy, ["sell", "buy"]), '","ts":"', part.trades.time),
        *(f'","count":"{FILLS}","source":"0","seqId":', part.ids, "}]}"),
    )
    pieces = [each if isinstance(each, str) else pa.array(each).cast(pa.string()) for each in columns]
    texts: list[str] = pc.binary_join_element_wise(*pieces, "").to_pylist()
    return texts


def okx_liquidations(name: str, part: Liquidations) -> list[dict[str, Any]]:
    """Return the rows of the channel `liquidation-orders` about one instrument, one for all of `part`.

    {"details":[{"bkLoss":"0","bkPx":"82655.7","ccy":"","posSide":"long","side":"sell","sz":"8.55",
    "ts":"1791565600771"}],"instFamily":"BTC-USDT","instId":"BTC-USDT-SWAP","instType":"SWAP","uly":"BTC-USDT"}
    """
    places = _decimals(part.symbol, part.listing)
    contracts = np.rint(part.size / CONTRACTS[part.symbol] * 10.0**places)
    prices = decimals(part.price, part.listing.price_decimals).cast(pa.string()).to_pylist()
    rows = zip(part.time.tolist(), prices, _short(contracts, places).to_pylist(), part.is_long, strict=True)
    details = [
        {"bkLoss": "0", "bkPx": price, "ccy": "", "posSide": "long" if is_long else "short"}
        | {"side": "sell" if is_long else "buy", "sz": size, "ts": str(time)}
        for time, price, size, is_long in rows
    ]
    family = name.removesuffix("-SWAP")
    row = {"details": details, "instFamily": family, "instId": name, "instType": "SWAP", "uly": family}
    return [row] if details else []


def okx_instrument(symbol: str, listing: Listing) -> dict[str, Any]:
    """Return a row of GET /api/v5/public/instruments, with the keys that describe the contract."""
    places, family = _decimals(symbol, listing), instrument(symbol).removesuffix("-SWAP")
    lot = f"{10.0**-places:.{places}f}"
    return {
        "instId": instrument(symbol),
        "instType": "SWAP",
        "instFamily": family,
        "uly": family,
        "ctType": "linear",
        # A million is written as 1000000, and not as 1e+06.
        "ctVal": f"{CONTRACTS[symbol]:g}" if CONTRACTS[symbol] < 1e6 else f"{CONTRACTS[symbol]:.0f}",
        "ctMult": "1",
        "ctValCcy": symbol.removesuffix("USDT"),
        "settleCcy": "USDT",
        "lever": "100",
        "lotSz": lot,
        "minSz": lot,
        "tickSz": f"{10.0**-listing.price_decimals:.{listing.price_decimals}f}",
        "state": "live",
        "listTime": "1573557408000",
        "upcChg": [],
    }


def okx_ticker(symbol: str, listing: Listing) -> dict[str, Any]:
    """Return a row of GET /api/v5/market/tickers: `vol24h` counts contracts, `volCcy24h` coins."""
    coins = listing.trades_a_day * listing.median_notional / listing.price
    return {
        "instType": "SWAP",
        "instId": instrument(symbol),
        "last": f"{listing.price:.{listing.price_decimals}f}",
        "vol24h": f"{coins / CONTRACTS[symbol]:.2f}",
        "volCcy24h": f"{coins:.2f}",
        "ts": "1597026383085",
    }


def okx_tiers(family: str) -> list[dict[str, Any]]:
    """Return the first tiers of a family of instruments, as GET /api/v5/public/position-tiers writes them."""
    # Each tier begins a hundredth of a contract above the one below, as recorded.
    rows, least = [], "0"
    for number, (most, rate, initial, leverage) in enumerate([*_TIERS, *_MORE_TIERS], 1):
        row = {"baseMaxLoan": "", "imr": initial, "instFamily": family, "instId": "", "maxLever": leverage}
        row |= {"maxSz": most, "minSz": least, "mmr": rate, "optMgnFactor": "0", "quoteMaxLoan": ""}
        rows.append(row | {"tier": str(number), "uly": family})
        least = f"{most}.01"
    return rows


def _decimals(symbol: str, listing: Listing) -> int:
    """Return the number of decimals of contracts, such that the smallest trade has ten lots."""
    return max(0, round(math.log10(CONTRACTS[symbol])) + listing.size_decimals + 1)


def _short(lots: NDArray[np.float64], places: int) -> pa.Array:
    """Return contracts without trailing zeros: 0.2, 8."""
    text = decimals(lots / 10.0**places, places).cast(pa.string())
    return text if places == 0 else pc.utf8_rtrim(pc.utf8_rtrim(text, "0"), ".")
