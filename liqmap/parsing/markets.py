"""Parse symbols and exchanges."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from liqmap.errors import RequestError
from liqmap.exchanges import EXCHANGES
from liqmap.model import Exchange, Market
from liqmap.parsing.plain import one_of, plain, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


POPULAR_SYMBOLS: Final = (
    *("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT", "BNBUSDT", "ADAUSDT", "SUIUSDT", "LINKUSDT"),
    *("AVAXUSDT", "LTCUSDT", "BCHUSDT", "TRXUSDT", "DOTUSDT", "HYPEUSDT", "1000PEPEUSDT", "WIFUSDT"),
    *("ARBUSDT", "OPUSDT", "APTUSDT", "NEARUSDT", "AAVEUSDT", "UNIUSDT", "ENAUSDT", "ETHUSDC", "BTCUSDC"),
)
"""Symbols to suggest until the exchanges' own lists are known."""

ALL_EXCHANGES: Final = "all"
"""The word for every exchange, drawn as one map."""
_LONGEST_SYMBOL = 35  # a `Market` takes 40, so a completion such as USDT still fits
_SYMBOL = re.compile(r"[^\W_]+(?:[_-][^\W_]+)*")


def parse_symbol(text: str) -> str:
    """Return `text` in the form of a symbol, such as BTC-USDT for `btc/usdt`. Raises RequestError.

    No exchange has to list that symbol: `complete_symbol` finds the one that it means.
    """
    # Other programs write perpetual contracts as BTCUSDT.P or BTC/USDT:USDT.
    word = re.sub(r"\.P(?:ERP)?$|(?<=/USD[TC]):USD[TC]$", "", plain(text, "symbol").upper())
    symbol = re.sub(r"[/\s-]+", "-", word)
    if not _SYMBOL.fullmatch(symbol) or len(symbol) > _LONGEST_SYMBOL:
        raise RequestError(f"{quoted(text)} is not a symbol; try BTCUSDT.")
    return symbol


def complete_symbol(market: Market, *, is_known: Callable[[Market], bool], are_all_known: bool) -> Market:
    """Return the market that a symbol means: the first known one among those that it may mean.

    If none of them is known, the exchange's list decides. If the whole list is known, the symbol is kept as
    it is. Otherwise it is completed in the usual way: BTC means the contract in USDT, as on the exchanges'
    own pages. A complete symbol never becomes another contract.
    """
    spellings = EXCHANGES[market.exchange].listing.spellings(market.symbol)
    # 1000PEPE and PEPE are one coin. Only a complete list shows that the one that was typed does not exist.
    names = [*spellings.names, *(spellings.counts if are_all_known else ())]
    possible = (Market(market.exchange, name) for name in names)
    usual = market if are_all_known else Market(market.exchange, spellings.default)
    return next((each for each in possible if is_known(each)), usual)


def parse_exchange(text: str) -> Exchange:
    """Return the exchange of that name. Raises RequestError."""
    return one_of(Exchange, text, "exchange")


def parse_exchanges(text: str) -> tuple[Exchange, ...]:
    """Return the exchanges of a list such as `binance,okx`, or `all`; the first is the reference.

    Raises RequestError.
    """
    # The order is kept, because prices of the map are those of the first.
    words = [word.strip() for word in plain(text, "exchange").lower().split(",")]
    if words == [ALL_EXCHANGES]:
        return (*Exchange,)
    found = tuple(map(parse_exchange, words))
    if len(set(found)) != len(found):
        raise RequestError(f"The exchanges {quoted(text)} name one twice; name each once.")
    return found


def exchanges_word(exchanges: Sequence[Exchange]) -> str:
    """Return the text that `parse_exchanges` reads as `exchanges`."""
    return ALL_EXCHANGES if tuple(exchanges) == (*Exchange,) else ",".join(exchanges)
