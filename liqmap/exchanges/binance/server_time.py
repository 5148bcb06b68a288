"""Read Binance's time.

Source: developers.binance.com, USDⓈ-M futures, Check Server Time.
"""

from __future__ import annotations

from liqmap.errors import DataError, parser_door
from liqmap.exchanges.fields import time_of


class BinanceTime:
    """The answer about the server's time, which costs a weight of 1."""

    def url(self, base_url: str) -> str:
        """Return the address of the time."""
        return f"{base_url}/fapi/v1/time"

    def read(self, answer: object) -> int:
        """Return the time [ms since 1970] in {"serverTime":1499827319559}.

        Raises DataError if there is none.
        """
        match answer:
            case {"serverTime": said}:
                with parser_door("Binance's time cannot be read; try again later."):
                    return time_of(said)
        raise DataError("Binance's time cannot be read; try again later.")
