"""Keep in memory what could not be stored yet: what a stream has delivered exists nowhere else."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from liqmap.live.buffer import Chunk

log = logging.getLogger(__name__)

MOST_TRADES: Final = 2_000_000
"""How many trades of one exchange are kept, some 60 MB. Beyond it, the oldest chunks become a gap."""

_CHUNK_WEIGHT = 100  # trades that take as much memory as a chunk without any


class Backlog:
    """The chunks of one exchange's symbols that wait to be stored, oldest first for each symbol."""

    def __init__(self, *, most_trades: int = MOST_TRADES) -> None:
        self._most_trades = most_trades
        self._waiting: list[tuple[str, Chunk]] = []

    @property
    def symbols(self) -> list[str]:
        """The symbols of which anything waits."""
        return list(dict.fromkeys(symbol for symbol, _ in self._waiting))

    def of(self, symbol: str) -> list[Chunk]:
        """Return the waiting chunks of a symbol, oldest first."""
        return [chunk for each, chunk in self._waiting if each == symbol]

    def add(self, symbol: str, chunks: Iterable[Chunk]) -> None:
        """Let more chunks wait, and give up the oldest ones of any symbol beyond the limit."""
        self._waiting += ((symbol, chunk) for chunk in chunks)
        excess = sum(_weight(chunk) for _, chunk in self._waiting) - self._most_trades
        while excess > 0 and len(self._waiting) > 1:
            given_up, chunk = self._waiting.pop(0)
            excess -= _weight(chunk)
            log.warning(
                "%s from %s to %s could not be stored and is given up: it becomes a gap",
                given_up,
                chunk.window.start,
                chunk.window.end,
            )

    def give_up(self, symbol: str, late: Sequence[int]) -> None:
        """Forget the chunks of a symbol that lack trades of the times `late` [ms], which came after them."""
        self._waiting = [
            (each, chunk)
            for each, chunk in self._waiting
            if each != symbol or not any(chunk.window.start_ms <= ms < chunk.window.end_ms for ms in late)
        ]

    def remove(self, stored: Iterable[Chunk]) -> None:
        """Forget chunks that have been stored."""
        done = set(map(id, stored))  # chunks hold arrays, which do not compare
        self._waiting = [(symbol, chunk) for symbol, chunk in self._waiting if id(chunk) not in done]


def _weight(chunk: Chunk) -> int:
    return len(chunk.trades) + _CHUNK_WEIGHT
