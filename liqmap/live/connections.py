"""Divide the streams of one exchange among as many connections as its limit takes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from liqmap.live.connection import Stream


class Connections:
    """The connections to one exchange, each with up to `most_symbols`; they end together.

    `new` makes one. A symbol stays where it was first subscribed until `run` is called anew.
    """

    def __init__(self, new: Callable[[], Stream], *, most_symbols: int) -> None:
        self._new = new
        self._most_symbols = most_symbols
        self._streams = [new()]
        self._running: dict[int, asyncio.Task[None]] = {}
        self._begun = asyncio.Event()  # one more has begun to run
        self._places: dict[str, int] = {}

    async def run(self, symbols: Callable[[], tuple[str, ...]]) -> None:
        """Read the streams of `symbols`, and those subscribed later, until a connection ends.

        Raises TransientError as `Stream.run`.
        """
        self._places.clear()
        for number in {0, *map(self._place, symbols())}:
            self._start(number, symbols)
        try:
            while not any(task.done() for task in self._running.values()):
                self._begun.clear()
                another = asyncio.create_task(self._begun.wait())
                await asyncio.wait({another, *self._running.values()}, return_when=asyncio.FIRST_COMPLETED)
                another.cancel()
                for number in sorted(set(self._places.values()) - self._running.keys()):
                    self._start(number, symbols)
            for task in self._running.values():
                # Only now is the error of a connection raised that ended by one.
                if task.done():
                    task.result()
        finally:
            tasks, self._running = list(self._running.values()), {}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def subscribe(self, symbols: tuple[str, ...]) -> None:
        """Subscribe to more symbols, where there is room for them, or over one more connection."""
        if not self._running:
            return  # once connected, all are subscribed to
        shares: dict[int, list[str]] = {}
        for symbol in symbols:
            shares.setdefault(self._place(symbol), []).append(symbol)
        for number, share in shares.items():
            if number in self._running:
                await self._streams[number].subscribe(tuple(share))
            else:  # it subscribes to its symbols when it is open
                self._begun.set()

    async def drop(self) -> None:
        """End all connections, because one is dead or too far behind."""
        for stream in self._streams:
            await stream.drop()

    def _start(self, number: int, symbols: Callable[[], tuple[str, ...]]) -> None:
        def mine() -> tuple[str, ...]:
            return tuple(symbol for symbol in symbols() if self._place(symbol) == number)

        self._running[number] = asyncio.create_task(self._streams[number].run(mine))

    def _place(self, symbol: str) -> int:
        """Return the number of a symbol's connection."""
        if symbol not in self._places:
            taken = list(self._places.values())
            # The first that has room, so that no more are opened than are needed.
            number = next(each for each in range(len(taken) + 1) if taken.count(each) < self._most_symbols)
            if number == len(self._streams):
                self._streams.append(self._new())
            self._places[symbol] = number
        return self._places[symbol]
