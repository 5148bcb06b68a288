"""What Bybit's linear contracts traded within the last day.

Source: github.com/bybit-exchange/docs, v5: Get Tickers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from liqmap.exchanges.bybit.pages import rows_of
from liqmap.exchanges.listed import traded_volumes

if TYPE_CHECKING:
    from collections.abc import Mapping


class BybitVolumes:
    """The tickers of all linear contracts. The turnover of inverse ones counts coins and does not compare."""

    weight = 1

    def url(self, base_url: str) -> str:
        """Return the address of the tickers."""
        return f"{base_url}/v5/market/tickers?category=linear"

    def read(self, answer: object) -> Mapping[str, float]:
        """Return the turnover of each symbol. Raises DataError if these are no tickers.

        A row::

            {"symbol":"BTCUSDT","lastPrice":"16597.00","prevPrice24h":"16464.50",
             "turnover24h":"2352949504.6","volume24h":"49337.318"}
        """
        return traded_volumes(rows_of(answer, what="trading volumes"), key="turnover24h")
