"""OKX's position tiers: maintenance margin and leverage by the size of an isolated position.

Source: OKX's documentation of its API v5, Get position tiers; answers recorded in May and September 2026.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from liqmap.exchanges.messages import RiskTier
from liqmap.exchanges.okx.names import family_of, symbol_of_swap
from liqmap.exchanges.okx.pages import rows_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_WHAT = "its position tiers"
_FAMILIES = 5  # in one request


class OkxPositionTiers:
    """The tiers of a few families of instruments a page; which there are, the list of symbols says."""

    weight = 2  # 10 requests are allowed where 20 are of other kinds

    def first_urls(self, base_url: str, symbols: Collection[str]) -> tuple[str, ...]:
        """Return the addresses of the tiers of `symbols`."""
        families = sorted({family_of(symbol) for symbol in symbols})
        return tuple(
            _url(base_url, families[first : first + _FAMILIES])
            for first in range(0, len(families), _FAMILIES)
        )

    def next_url(self, url: str, answer: object) -> str | None:  # noqa: ARG002 - a page is whole
        """Return None: a page has all tiers of its families."""
        return None

    def symbol_url(self, base_url: str, symbol: str) -> str:
        """Return the address of the tiers of `symbol` alone."""
        return _url(base_url, [family_of(symbol)])

    def read(self, answer: object) -> Mapping[str, tuple[RiskTier, ...] | None]:
        """Return the tiers of each symbol of a page, their caps in contracts; None where one cannot be read.

        Rows that name no linear swap are left out. Raises DataError if it is no such page. A row::

            {"baseMaxLoan":"","imr":"0.015","instFamily":"BTC-USDT","instId":"","maxLever":"66.66",
             "maxSz":"5000","minSz":"1000.01","mmr":"0.005","optMgnFactor":"0","quoteMaxLoan":"","tier":"2",
             "uly":"BTC-USDT"}
        """
        rows: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in rows_of(answer, what=_WHAT):
            match row:
                case {"instFamily": str(family)}:
                    if symbol := symbol_of_swap(f"{family}-SWAP"):
                        rows[symbol].append(row)
        return {symbol: _tiers(of) for symbol, of in rows.items()}


def _url(base_url: str, families: list[str]) -> str:
    names = quote(",".join(families), safe=",")
    return f"{base_url}/api/v5/public/position-tiers?instType=SWAP&tdMode=isolated&instFamily={names}"


def _tiers(rows: list[dict[str, Any]]) -> tuple[RiskTier, ...] | None:
    try:
        return tuple(RiskTier(*(_number(row[key]) for key in ("maxSz", "mmr", "maxLever"))) for row in rows)
    except (KeyError, TypeError, ValueError):
        return None


def _number(text: object) -> float:
    if not isinstance(text, str):
        raise TypeError("a number is not a text")
    return float(text)
