"""Read Bybit's time.

Source: github.com/bybit-exchange/docs, v5: Get Bybit Server Time.
"""

from __future__ import annotations

from liqmap.errors import DataError, parser_door
from liqmap.exchanges.fields import time_of


class BybitTime:
    """The answer about the server's time."""

    def url(self, base_url: str) -> str:
        """Return the address of the time."""
        return f"{base_url}/v5/market/time"

    def read(self, answer: object) -> int:
        """Return the time [ms since 1970]. Raises DataError if there is none.

        ::

            {"retCode":0,"retMsg":"OK","result":{"timeSecond":"1688639403","timeNano":"1688639403423213947"},
             "retExtInfo":{},"time":1688639403423}
        """
        match answer:
            case {"retCode": 0, "time": said}:
                with parser_door("Bybit's time cannot be read; try again later."):
                    return time_of(said)
        raise DataError("Bybit's time cannot be read; try again later.")
