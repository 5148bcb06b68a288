"""The exchanges' daily files over the simulated market, from when they are published."""

from __future__ import annotations

import asyncio
import re
from datetime import date
from typing import TYPE_CHECKING

from aiohttp import web
from cachetools import LRUCache

from liqmap.model import Exchange
from liqmap.simulator.formats import binance_checksum, binance_zip, bybit_csv_gz
from liqmap.simulator.market import LISTINGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from liqmap.simulator.tape import Tape

_CACHED_FILES = 16
_BINANCE_FILE = re.compile(
    r"/data/futures/(?P<market>um|cm)/daily/aggTrades/(?P<symbol>\w+)/(?P=symbol)-aggTrades-(?P<day>[\d-]{10})\.zip(?P<checksum>\.CHECKSUM)?"
)
_BYBIT_FILE = re.compile(r"/trading/(?P<symbol>\w+)/(?P=symbol)(?P<day>[\d-]{10})\.csv\.gz")
_NO_SUCH_KEY = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    "<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>"
)
_MAKERS = {Exchange.BINANCE: binance_zip, Exchange.BYBIT: bybit_csv_gz}


class DayFiles:
    """Files of whole days, as far as `published` says that a day's is there."""

    def __init__(self, tape: Tape, *, published: Callable[[date], bool]) -> None:
        self._tape = tape
        self._published = published
        self._files: LRUCache[tuple[Exchange, str, date], asyncio.Task[bytes]] = LRUCache(_CACHED_FILES)

    async def binance(self, request: web.Request) -> web.Response:
        """Answer for a zip or its checksum; what is missing, in XML."""
        found = _BINANCE_FILE.fullmatch(request.match_info["path"])
        if found is not None and not _is_binance_s(found["symbol"], found["market"]):
            found = None
        body = await self._file(Exchange.BINANCE, found)
        if body is None or found is None:
            return web.Response(status=404, text=_NO_SUCH_KEY, content_type="application/xml")
        if found["checksum"]:
            name = request.path.rpartition("/")[2].removesuffix(".CHECKSUM")
            body = binance_checksum(body, name)
        return web.Response(body=body)

    async def bybit(self, request: web.Request) -> web.Response:
        """Answer for a csv.gz; 403 to clients that do not say who they are."""
        if not request.headers.get("User-Agent"):
            return web.Response(status=403)
        found = _BYBIT_FILE.fullmatch(request.match_info["path"])
        if found is not None and not _is_bybit_s(found["symbol"]):
            found = None
        body = await self._file(Exchange.BYBIT, found)
        return web.Response(status=404) if body is None else web.Response(body=body)

    async def _file(self, exchange: Exchange, found: re.Match[str] | None) -> bytes | None:
        if found is None:
            return None
        try:
            day = date.fromisoformat(found["day"])
        except ValueError:
            return None
        if not self._published(day):
            return None
        key = (exchange, found["symbol"], day)
        if key not in self._files:
            # Asked for twice at once, a file is made once; and never on the event loop.
            self._files[key] = asyncio.create_task(self._make(*key))
        return await asyncio.shield(self._files[key])

    async def _make(self, exchange: Exchange, symbol: str, day: date) -> bytes:
        return await asyncio.to_thread(_MAKERS[exchange], await self._tape.day(symbol, day))


def _is_binance_s(symbol: str, market: str) -> bool:
    """Return whether Binance publishes a symbol below um or cm: inverse ones are named BTCUSD_PERP there."""
    listing = LISTINGS.get(symbol)
    return listing is not None and (listing.dollars is None if market == "um" else "_" in symbol)


def _is_bybit_s(symbol: str) -> bool:
    """Return whether Bybit publishes a symbol: inverse ones are named BTCUSD there."""
    return symbol in LISTINGS and "_" not in symbol
