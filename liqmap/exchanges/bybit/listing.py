"""Which linear and inverse contracts Bybit lists, and how it names them.

Source: github.com/bybit-exchange/docs, v5: Get Instruments Info.
"""

from __future__ import annotations

import re
from typing import Final

from liqmap.exchanges.bybit.pages import next_page, rows_of
from liqmap.exchanges.listed import listed_symbols
from liqmap.exchanges.protocol import Spellings

_WHAT = "its symbols"
_PERPETUAL: Final = re.compile(r"(?<=.)PERP$|(?<=USD[TC])SWAP$|(?<=USD)SWAP$")  # PERP alone is a coin
# BTCUSDT, BTCUSD; quarterly BTCUSDH24; in USDC BTCPERP; dated BTC-26JUN26, BTCUSDT-26JUN26.
_WHOLE: Final = re.compile(
    r"[^\W_]+(?:USDT|USDC|USD)(?:[HMUZ]\d\d)?|[^\W_]+(?<!USDT)(?<!USDC)(?<!USD)PERP|[^\W_]+-\d{1,2}[A-Z]{3}\d\d"
)


class BybitListing:
    """The pages of linear and of inverse symbols that trade now."""

    lists_inverse = True

    def first_urls(self, base_url: str) -> tuple[str, ...]:
        """Return the addresses of the first page of each category."""
        return tuple(
            f"{base_url}/v5/market/instruments-info?category={category}&limit=1000&status=Trading"
            for category in ("linear", "inverse")
        )

    def next_url(self, url: str, answer: object) -> str | None:
        """Return the address of the page after `url`, None after the last one."""
        return next_page(url, answer)

    def read(self, answer: object) -> frozenset[str]:
        """Return the symbols of a page. Raises DataError if it cannot be read.

        A row::

            {"symbol":"BTCUSDT","contractType":"LinearPerpetual","status":"Trading","baseCoin":"BTC",
             "quoteCoin":"USDT","launchTime":"1585526400000","deliveryTime":"0"}
        """
        return listed_symbols(rows_of(answer, what=_WHAT), status="Trading", exchange="Bybit")

    def spellings(self, word: str) -> Spellings:
        """Return what `word` may mean: itself, itself without separators or PERP, a USDC or USDT one."""
        joined = re.sub(r"[-_]", "", word)
        coin = _PERPETUAL.sub("", joined)
        names = [word, joined, f"{joined}USDT"]
        whole = next((name for name in (word, joined, coin) if _WHOLE.fullmatch(name)), None)
        if whole is not None:
            # BTCPERP is the contract in USDC, never that in USDT.
            in_usdc = [f"{whole.removesuffix('USDC')}PERP"] if whole.endswith("USDC") else []
            return Spellings.of([*names, whole, *in_usdc], default=whole)
        in_usdt = f"{coin}USDT"
        return Spellings.of([*names, coin, in_usdt], default=in_usdt)
