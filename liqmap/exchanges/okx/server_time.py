"""What time it is at OKX.

Source: OKX's documentation of its API v5, Get system time.
"""

from __future__ import annotations

from liqmap.errors import DataError, parser_door
from liqmap.exchanges.fields import written_time_of


class OkxTime:
    """The answer about the server's time."""

    def url(self, base_url: str) -> str:
        """Return the address of the time."""
        return f"{base_url}/api/v5/public/time"

    def read(self, answer: object) -> int:
        """Return the time [ms since 1970] in {"code":"0","msg":"","data":[{"ts":"1597026383085"}]}.

        Raises DataError if there is none.
        """
        match answer:
            case {"code": "0", "data": [{"ts": said}]}:
                with parser_door("OKX's time cannot be read; try again later."):
                    return written_time_of(said)
        raise DataError("OKX's time cannot be read; try again later.")
