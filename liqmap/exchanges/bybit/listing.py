"""Which linear and inverse contracts Bybit lists.

Source: github.com/bybit-exchange/docs, v5: Get Instruments Info.
"""

from __future__ import annotations

from liqmap.exchanges.bybit.pages import next_page, rows_of
from liqmap.exchanges.listed import listed_symbols

_WHAT = "its symbols"


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
        """Return the symbols of a page. Raises DataError if it is none.

        A row::

            {"symbol":"BTCUSDT","contractType":"LinearPerpetual","status":"Trading","baseCoin":"BTC",
             "quoteCoin":"USDT","launchTime":"1585526400000","deliveryTime":"0"}
        """
        return listed_symbols(rows_of(answer, what=_WHAT), status="Trading", exchange="Bybit")
