"""Serve the exchanges' daily files from the simulated market, once they are published."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from aiohttp import web
from cachetools import LRUCache

from liqmap.model.window import TimeWindow
from liqmap.simulator.clock import epoch_ms
from liqmap.simulator.formats import binance_checksum, binance_liquidations_zip, binance_zip, bybit_csv_gz
from liqmap.simulator.listings import LISTINGS
from liqmap.simulator.okx_messages import okx_all_zip, okx_zip, symbol_named
from liqmap.simulator.series_formats import binance_mark_zip, binance_metrics_zip
from liqmap.simulator.tape import linear_symbols

if TYPE_CHECKING:
    from liqmap.simulator.listings import MarketDay
    from liqmap.simulator.tape import Tape

_CACHED_FILES = 16
_DAY_MS = 86_400_000
_BINANCE_FILE = re.compile(
    r"/data/futures/(?P<market>um|cm)/daily/aggTrades/(?P<symbol>\w+)/(?P=symbol)-aggTrades-(?P<day>[\d-]{10})\.zip(?P<checksum>\.CHECKSUM)?"
)
_BINANCE_LIQUIDATIONS = re.compile(
    r"/data/futures/cm/daily/liquidationSnapshot/(?P<symbol>\w+)/(?P=symbol)-liquidationSnapshot-(?P<day>[\d-]{10})\.zip(?P<checksum>\.CHECKSUM)?"
)
_SNAPSHOT_DAYS = ("2023-06-25", "2024-10-14")  # the first and the last day with a published file
_BINANCE_METRICS = re.compile(
    r"/data/futures/(?P<market>um|cm)/daily/metrics/(?P<symbol>\w+)/(?P=symbol)-metrics-(?P<day>[\d-]{10})\.zip(?P<checksum>\.CHECKSUM)?"
)
_BINANCE_MARKS = re.compile(
    r"/data/futures/(?P<market>um|cm)/daily/markPriceKlines/(?P<symbol>\w+)/1m/(?P=symbol)-1m-(?P<day>[\d-]{10})\.zip(?P<checksum>\.CHECKSUM)?"
)
_BYBIT_FILE = re.compile(r"/trading/(?P<symbol>\w+)/(?P=symbol)(?P<day>[\d-]{10})\.csv\.gz")
_OKX_FILE = re.compile(
    r"/cdn/okex/traderecords/trades/daily/(?P<folder>\d{8})/(?P<name>[\w-]+)-trades-(?P<day>[\d-]{10})\.zip"
)
_OF_ALL_SWAPS = frozenset({"2023-03-01"})  # days on which OKX has one file of all swaps, not one of each
_UTC_8 = timedelta(hours=8)  # OKX's days begin at 16:00 UTC of the day before
_NO_SUCH_KEY = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    "<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>"
)
_Maker = Callable[[str, date], Coroutine[None, None, bytes]]


class DayFiles:
    """Files of whole days. `published` returns whether a day's file exists, given the day and its end."""

    def __init__(self, tape: Tape, *, published: Callable[[date, datetime], bool]) -> None:
        self._tape = tape
        self._published = published
        self._files: LRUCache[tuple[str, str, date], asyncio.Task[bytes]] = LRUCache(_CACHED_FILES)

    async def binance(self, request: web.Request) -> web.Response:
        """Answer a request for a zip or its checksum, with an XML error for a missing one."""
        path = request.match_info["path"]
        found, make = _BINANCE_FILE.fullmatch(path), self._binance_trades
        if found is not None and not _is_binance_s(found["symbol"], found["market"]):
            found = None
        if snapshot := _BINANCE_LIQUIDATIONS.fullmatch(path):
            found, make = _of_snapshots(snapshot), self._binance_liquidations
        for form, maker in ((_BINANCE_METRICS, self._metrics), (_BINANCE_MARKS, self._marks)):
            if series := form.fullmatch(path):
                found, make = (series if _is_binance_s(series["symbol"], series["market"]) else None), maker
        body = await self._file(make, found)
        if body is None or found is None:
            return web.Response(status=404, text=_NO_SUCH_KEY, content_type="application/xml")
        if found["checksum"]:
            name = request.path.rpartition("/")[2].removesuffix(".CHECKSUM")
            body = binance_checksum(body, name)
        return web.Response(body=body)

    async def bybit(self, request: web.Request) -> web.Response:
        """Answer a request for a csv.gz, with 403 to clients without a User-Agent."""
        if not request.headers.get("User-Agent"):
            return web.Response(status=403)
        found = _BYBIT_FILE.fullmatch(request.match_info["path"])
        if found is not None and not _is_bybit_s(found["symbol"]):
            found = None
        body = await self._file(self._bybit_trades, found)
        return web.Response(status=404) if body is None else web.Response(body=body)

    async def okx(self, request: web.Request) -> web.Response:
        """Answer a request for a zip of a day in UTC+8, with 403 to clients without a User-Agent."""
        if not request.headers.get("User-Agent"):
            return web.Response(status=403)
        found = _OKX_FILE.fullmatch(request.match_info["path"])
        make: _Maker = self._okx_trades
        symbol = symbol_named(found["name"]) if found else None
        if found is not None and found["day"] in _OF_ALL_SWAPS:
            symbol, make = ("BTCUSDT" if found["name"] == "allswap" else None), self._okx_all
        if found is None or found["day"].replace("-", "") != found["folder"]:
            symbol = None
        body = await self._file(make, found, symbol=symbol, ahead=_UTC_8)
        return web.Response(status=404) if body is None else web.Response(body=body)

    async def _file(
        self,
        make: _Maker,
        found: re.Match[str] | None,
        *,
        symbol: str | None = None,
        ahead: timedelta = timedelta(0),
    ) -> bytes | None:
        """Return the file that a path names, None if there is none. Its day begins `ahead` of UTC's."""
        symbol = symbol or (found.groupdict().get("symbol") if found else None)
        if found is None or symbol is None:
            return None
        day = _day(found["day"])
        if day is None or not self._published(day, TimeWindow.of_day(day).end - ahead):
            return None
        key = (make.__name__, symbol, day)
        if key not in self._files:
            # A task, so that two simultaneous requests make a file only once; the work runs in a thread.
            self._files[key] = asyncio.create_task(make(symbol, day))
        return await asyncio.shield(self._files[key])

    async def _binance_trades(self, symbol: str, day: date) -> bytes:
        return await asyncio.to_thread(binance_zip, await self._tape.day(symbol, day))

    async def _binance_liquidations(self, symbol: str, day: date) -> bytes:
        start_ms = epoch_ms(datetime.combine(day, time(), UTC))
        (made,) = await self._tape.liquidations(symbol, start_ms, start_ms + _DAY_MS)
        return await asyncio.to_thread(binance_liquidations_zip, made)

    async def _metrics(self, symbol: str, day: date) -> bytes:
        return await asyncio.to_thread(binance_metrics_zip, await self._tape.series(symbol, day))

    async def _marks(self, symbol: str, day: date) -> bytes:
        return await asyncio.to_thread(binance_mark_zip, await self._tape.series(symbol, day))

    async def _bybit_trades(self, symbol: str, day: date) -> bytes:
        return await asyncio.to_thread(bybit_csv_gz, await self._tape.day(symbol, day))

    async def _okx_trades(self, symbol: str, day: date) -> bytes:
        parts = await self._day_in_utc_8(symbol, day)
        return await asyncio.to_thread(okx_zip, parts, symbol, day)

    async def _okx_all(self, _: str, day: date) -> bytes:
        days = [await self._day_in_utc_8(symbol, day) for symbol in linear_symbols()]
        return await asyncio.to_thread(okx_all_zip, days, day)

    async def _day_in_utc_8(self, symbol: str, day: date) -> list[MarketDay]:
        end_ms = TimeWindow.of_day(day).end_ms - int(_UTC_8.total_seconds() * 1000)
        return await self._tape.between(symbol, end_ms - _DAY_MS, end_ms)


def _of_snapshots(found: re.Match[str]) -> re.Match[str] | None:
    """Return `found` if it names an inverse symbol and a day for which liquidations were published."""
    inside = _SNAPSHOT_DAYS[0] <= found["day"] <= _SNAPSHOT_DAYS[1]
    return found if inside and _is_binance_s(found["symbol"], "cm") else None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _is_binance_s(symbol: str, market: str) -> bool:
    """Return whether Binance publishes a symbol below um or cm: inverse ones are named BTCUSD_PERP there."""
    listing = LISTINGS.get(symbol)
    return listing is not None and (listing.dollars is None if market == "um" else "_" in symbol)


def _is_bybit_s(symbol: str) -> bool:
    """Return whether Bybit publishes a symbol: inverse ones are named BTCUSD there."""
    return symbol in LISTINGS and "_" not in symbol
