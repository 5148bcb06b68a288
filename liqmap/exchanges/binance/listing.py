"""Which USDⓈ-M futures Binance lists, and how it names them.

Source: developers.binance.com, USDⓈ-M futures, Exchange Information; names as on data.binance.vision.
"""

from __future__ import annotations

import re
from typing import Final

from liqmap.errors import DataError
from liqmap.exchanges.listed import listed_symbols
from liqmap.exchanges.protocol import Spellings

_PERPETUAL: Final = re.compile(r"(?<=.)PERP$|(?<=USD[TC])SWAP$|(?<=USD)SWAP$")  # PERP alone is a coin
_IN_DOLLARS: Final = re.compile(r"[^\W_]+USD")
# Others, such as ETHBTC and BTCUSD1, may also be names of coins. They are taken as symbols if they are known.
_WHOLE: Final = re.compile(r"[^\W_]+(?:USDT|USDC|BUSD)|[^\W_]+_(?:PERP|\d{6})")


class BinanceListing:
    """The one page of USDⓈ-M symbols; COIN-M symbols are listed by an API of their own."""

    lists_inverse = False

    def first_urls(self, base_url: str) -> tuple[str, ...]:
        """Return the address of the list."""
        return (f"{base_url}/fapi/v1/exchangeInfo",)

    def next_url(self, url: str, answer: object) -> str | None:  # noqa: ARG002 - there is one page
        """Return None: the first page is the whole list."""
        return None

    def read(self, answer: object) -> frozenset[str]:
        """Return the symbols that trade now. Raises DataError if this is no list.

        ::

            {"timezone":"UTC","serverTime":1791102056700,"symbols":[{"symbol":"BTCUSDT","pair":"BTCUSDT",
             "contractType":"PERPETUAL","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT"}]}
        """
        match answer:
            case {"symbols": list(rows)}:
                return listed_symbols(rows, status="TRADING", exchange="Binance")
        raise DataError("Binance's list of symbols cannot be read; try again later.")

    def spellings(self, word: str) -> Spellings:
        """Return what `word` may mean: itself, itself without separators or PERP, a COIN-M or USDT one."""
        joined = re.sub(r"[-_]", "", word)
        coin = _PERPETUAL.sub("", joined)
        names = [word, joined, f"{joined}USDT"]
        whole = next((name for name in (word, joined, coin) if _WHOLE.fullmatch(name)), None)
        if whole is not None:
            return Spellings.of([*names, whole], default=whole)
        coin_m = [f"{coin}_PERP"] if _IN_DOLLARS.fullmatch(coin) else []
        in_usdt = f"{coin}USDT"
        return Spellings.of([*names, coin, *coin_m, in_usdt], default=(*coin_m, in_usdt)[0])
