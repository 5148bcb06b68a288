"""What tests of live data share: waiting for a state, moving a clock on, and comparing trades exactly."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from liqmap.model.window import TimeWindow
from liqmap.simulator import SimulatedClock, SimulatedMarket
from liqmap.store.reading import read_table
from liqmap.store.segments import Part, Segment

Result = TypeVar("Result")

Rows = NDArray[np.void]
_ROW = [("time", "i8"), ("price", "f8"), ("size", "f8"), ("is_buy", "?")]


class WrongClock:
    """The clock of a machine whose time is `ahead` of the right one, negative for behind."""

    def __init__(self, right: SimulatedClock, ahead: timedelta) -> None:
        self._right = right
        self.ahead = ahead

    def now(self) -> datetime:
        return self._right.now() + self.ahead

    async def sleep(self, seconds: float, /) -> None:
        await self._right.sleep(seconds)


async def until(condition: Callable[[], bool]) -> None:
    """Let others go on, threads included, until `condition` is met."""
    async with asyncio.timeout(60):
        while not condition():
            await _turn()


async def driven(clock: SimulatedClock, awaitable: Awaitable[Result]) -> Result:
    """Return what is awaited, moving `clock` on to whenever somebody wants to be woken."""
    task = asyncio.ensure_future(awaitable)
    async with asyncio.timeout(60):
        while not task.done():
            await _turn()
            if clock.alarms:
                await clock.advance((min(clock.alarms) - clock.now()).total_seconds())
    return await task


async def _turn() -> None:
    # An event loop that only spins hardly lets threads have the interpreter, and they write the segments.
    await asyncio.to_thread(int)


def traded(market: SimulatedMarket, symbol: str, window: TimeWindow) -> Rows:
    """Return all trades that the generator makes in `window`, sorted."""
    days = [market.day(symbol, day).trades for day in window.days]
    columns = [np.concatenate([getattr(day, name) for day in days]) for name, _ in _ROW]
    inside = (columns[0] >= window.start_ms) & (columns[0] < window.end_ms)
    return _sorted(*(column[inside] for column in columns))


def held(parts: Iterable[Part]) -> Rows:
    """Return all trades of `parts`, as far as each goes, sorted."""
    found = [_inside(part) for part in parts]
    empty = np.empty(0, _ROW)
    return np.sort(np.concatenate([empty, *found]), order=[name for name, _ in _ROW])


def _inside(part: Part) -> Rows:
    rows = _of_segment(part.segment)
    chosen: Rows = rows[(rows["time"] >= part.window.start_ms) & (rows["time"] < part.window.end_ms)]
    return chosen


def _of_segment(segment: Segment) -> Rows:
    start = segment.origin.window.start_ms
    tables = [(read_table(segment, name), name == "buy") for name in ("buy", "sell")]
    return _sorted(
        np.concatenate([table["time"].astype(np.int64) + start for table, _ in tables]),
        np.concatenate([table["price"] for table, _ in tables]),
        np.concatenate([table["size"] for table, _ in tables]),
        np.concatenate([np.full(len(table["time"]), is_buy) for table, is_buy in tables]),
    )


def _sorted(*columns: NDArray[np.generic]) -> Rows:
    rows = np.empty(len(columns[0]), _ROW)
    for (name, _), column in zip(_ROW, columns, strict=True):
        rows[name] = column
    return np.sort(rows, order=[name for name, _ in _ROW])
