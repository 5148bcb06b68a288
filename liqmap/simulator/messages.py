"""Write trades as the JSON text of the exchanges' APIs and streams, column by column, which is fast."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from liqmap.simulator.formats import MAINTENANCE, bybit_trade_ids, choice, decimals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from liqmap.simulator.liquidations import Liquidations
    from liqmap.simulator.listings import MarketDay

BINANCE_CONTRACTS: Final = "!contractInfo"
"""The stream that announces changes of all contracts."""

_BYBIT_LARGEST = 1024  # trades in one message, since 2025-08-05


class Bracket(NamedTuple):
    """A leverage bracket as Binance sends it: cap, maintenance rate and amount, and leverages."""

    cap: int
    rate: float
    cum: float
    least_leverage: int
    most_leverage: int


def binance_rows(part: MarketDay) -> list[str]:
    """Return each trade as GET /fapi/v1/aggTrades writes it.

    {"a":3474491307,"p":"85079.10","q":"0.023","nq":"0.023","f":8144210172,"l":8144210172,
    "T":1791102056684,"m":false}
    """
    return _texts("{", _binance_members(part), "}")


def bybit_rows(part: MarketDay) -> list[str]:
    """Return each trade as GET /v5/market/recent-trade has it: numbers as strings, and the taker's side."""
    ids = part.ids
    return _texts(
        *('{"execId":"', bybit_trade_ids(ids), f'","symbol":"{part.symbol}","price":"', _price(part)),
        *('","size":"', decimals(part.trades.size, part.listing.size_decimals), '","side":"', _side(part)),
        *('","time":"', part.trades.time, '","isBlockTrade":false,"isRPITrade":false,"seq":"', ids, '"}'),
    )


def binance_trades(stream: str, part: MarketDay, sent_ms: int) -> list[str]:
    """Return a message for each trade, as the combined stream `stream` sends it at `sent_ms`.

    {"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1791102056701,"s":"BTCUSDT","a":3474491307,
    "p":"85079.10","q":"0.023","nq":"0.023","f":8144210172,"l":8144210172,"T":1791102056684,"m":false,"st":1}}
    """
    event = f'"e":"aggTrade","E":{sent_ms},"s":"{part.symbol}",'
    return _texts(f'{{"stream":"{stream}","data":{{{event}', _binance_members(part), ',"st":1}}')


def bybit_trades(topic: str, part: MarketDay, sent_ms: int) -> list[str]:
    """Return messages of up to 1024 trades each, as the topic sends them at `sent_ms`.

    {"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":[{"T":1672304486865,
    "s":"BTCUSDT","S":"Buy","v":"0.001","p":"16578.50","L":"PlusTick","i":"...","BT":false,"RPI":false,
    "seq":1783284617}]}
    """
    trades, ids = part.trades, part.ids
    # Bybit also knows ticks of zero. They are left out, because nothing should read them.
    tick = choice(np.diff(trades.price, prepend=0) > 0, ["MinusTick", "PlusTick"])
    rows = _texts(
        *('{"T":', trades.time, f',"s":"{part.symbol}","S":"', _side(part)),
        *('","v":"', decimals(trades.size, part.listing.size_decimals), '","p":"', _price(part)),
        *('","L":"', tick, '","i":"', bybit_trade_ids(ids), '","BT":false,"RPI":false,"seq":', ids, "}"),
    )
    return [
        bybit_message(topic, rows[first : first + _BYBIT_LARGEST], sent_ms)
        for first in range(0, len(rows), _BYBIT_LARGEST)
    ]


def binance_liquidations(stream: str, part: Liquidations, sent_ms: int) -> list[str]:
    """Return a message for the latest liquidation of each second; a liquidated long is sold.

    The limit `p` lies at the bankruptcy price, the maintenance rate beyond the fill `ap`:
    {"stream":"btcusdt@forceOrder","data":{"e":"forceOrder","E":1568014460893,"o":{"s":"BTCUSDT","S":"SELL",
    "o":"LIMIT","f":"IOC","q":"0.190","p":"82338.30","ap":"82651.90","X":"FILLED","l":"0.155",
    "z":"0.190","T":1791565602120}}}
    """
    # Binance sends at most one liquidation a second and symbol, so the others are never seen.
    reported = part.latest_a_second()
    beyond = 1 + np.where(reported.is_long, -MAINTENANCE, MAINTENANCE)
    limit = decimals(reported.price * beyond, part.listing.price_decimals)
    price = decimals(reported.price, part.listing.price_decimals)
    size = decimals(reported.size, part.listing.size_decimals)
    event = f'"e":"forceOrder","E":{sent_ms},"o":{{"s":"{part.symbol}","S":"'
    return _texts(
        *(f'{{"stream":"{stream}","data":{{{event}', choice(reported.is_long, ["BUY", "SELL"])),
        *('","o":"LIMIT","f":"IOC","q":"', size, '","p":"', limit, '","ap":"', price, '","X":"FILLED","l":"'),
        *(size, '","z":"', size, '","T":', reported.time, "}}}"),
    )


def bybit_liquidations(topic: str, part: Liquidations, sent_ms: int) -> list[str]:
    """Return one message with all of `part`, or none; S is the position's side: a liquidated long's is Buy.

    {"topic":"allLiquidation.ROSEUSDT","type":"snapshot","ts":1739502303204,"data":[{"T":1739502302929,
    "s":"ROSEUSDT","S":"Sell","v":"20000","p":"0.04499"}]}
    """
    rows = _texts(
        *('{"T":', part.time, f',"s":"{part.symbol}","S":"', choice(part.is_long, ["Sell", "Buy"])),
        *('","v":"', decimals(part.size, part.listing.size_decimals), '","p":"'),
        *(decimals(part.price, part.listing.price_decimals), '"}'),
    )
    return [bybit_message(topic, rows, sent_ms)] if rows else []


def binance_contract(symbol: str, brackets: Sequence[Bracket], sent_ms: int) -> str:
    """Return the message about a contract that has changed; with its `brackets` if those have.

    {"stream":"!contractInfo","data":{"e":"contractInfo","E":1697379999314,"s":"LOOMUSDT","ps":"LOOMUSDT",
    "ct":"PERPETUAL","dt":4133404800000,"ot":1697034600000,"cs":"TRADING","bks":[{"bs":1,"bnf":0,"bnc":25000,
    "mmr":0.03,"cf":0,"mi":11,"ma":20},{"bs":2,"bnf":25000,"bnc":200000,"mmr":0.05,"cf":500,"mi":6,"ma":10}]}}
    """
    floors = [0, *(each.cap for each in brackets)]
    rows = [
        {"bs": place, "bnf": floor, "bnc": each.cap, "mmr": each.rate, "cf": each.cum}
        | {"mi": each.least_leverage, "ma": each.most_leverage}
        for place, (floor, each) in enumerate(zip(floors, brackets, strict=False), 1)
    ]
    contract = {"e": "contractInfo", "E": sent_ms, "s": symbol, "ps": symbol, "ct": "PERPETUAL"}
    contract |= {"dt": 4133404800000, "ot": 1697034600000, "cs": "TRADING", "bks": rows}
    return json.dumps({"stream": BINANCE_CONTRACTS, "data": contract}, separators=(",", ":"))


def bybit_message(topic: str, rows: list[str], sent_ms: int) -> str:
    """Return a message of `rows` as the topic sends it at `sent_ms`."""
    return f'{{"topic":"{topic}","type":"snapshot","ts":{sent_ms},"data":[{",".join(rows)}]}}'


def _binance_members(part: MarketDay) -> pa.Array:
    quantity = decimals(part.trades.size, part.listing.size_decimals).cast(pa.string())
    ids = part.ids
    return _joined(
        *('"a":', ids, ',"p":"', _price(part), '","q":"', quantity, '","nq":"', quantity),
        *('","f":', ids * 2, ',"l":', ids * 2 + 1, ',"T":', part.trades.time),
        *(',"m":', choice(part.trades.is_buy, ["true", "false"])),
    )


def _price(part: MarketDay) -> pa.Array:
    return decimals(part.trades.price, part.listing.price_decimals)


def _side(part: MarketDay) -> pa.Array:
    return choice(part.trades.is_buy, ["Sell", "Buy"])


def _texts(*pieces: pa.Array | NDArray[np.int64] | str) -> list[str]:
    texts: list[str] = _joined(*pieces).to_pylist()
    return texts


def _joined(*pieces: pa.Array | NDArray[np.int64] | str) -> pa.Array:
    """Join columns to rows; a plain string is the same in every row."""
    columns = [piece if isinstance(piece, str) else pa.array(piece).cast(pa.string()) for piece in pieces]
    return pc.binary_join_element_wise(*columns, "")
