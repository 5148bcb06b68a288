"""What OKX's linear swaps traded within the last day.

Source: OKX's documentation of its API v5, Get tickers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from liqmap.exchanges.fields import price_of, size_of
from liqmap.exchanges.okx.names import symbol_of_swap
from liqmap.exchanges.okx.pages import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class OkxVolumes:
    """The tickers of all swaps."""

    weight = 1

    def url(self, base_url: str) -> str:
        """Return the address of the tickers."""
        return f"{base_url}/api/v5/market/tickers?instType=SWAP"

    def read(self, answer: object) -> Mapping[str, float]:
        """Return what each symbol traded, by its last price. Raises DataError if these are no tickers.

        A row, whose `vol24h` counts contracts and `volCcy24h` the base currency::

            {"instType":"SWAP","instId":"BTC-USDT-SWAP","last":"60000.1","lastSz":"1","vol24h":"2222222",
             "volCcy24h":"22222.22","ts":"1597026383085"}
        """
        return {
            symbol: notional for row in rows_of(answer, what="volumes") for symbol, notional in _volume(row)
        }


def _volume(row: object) -> Iterator[tuple[str, float]]:
    """Yield the symbol and the notional of a row that can be read."""
    match row:
        case {"instId": str(name), "last": str(last), "volCcy24h": str(size)}:
            symbol = symbol_of_swap(name)
            try:
                notional = price_of(last) * size_of(size)
            except ValueError:
                return
            if symbol is not None and notional:
                yield symbol, notional
