"""Remember which symbols of one exchange are to be recorded, and for how long."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from liqmap.clock import Clock


class WantedSymbols:
    """The symbols to record: those in the settings always, others for `keep_days` after the last request.

    The time of the last request is None for a symbol in the settings. A symbol that the exchange has refused
    is kept only if it is in the settings; it waits until `retry_refused`.
    """

    def __init__(self, clock: Clock, *, keep_days: float) -> None:
        self._clock = clock
        self._keep = timedelta(days=keep_days)
        self._requested: dict[str, datetime | None] = {}
        self._refused: set[str] = set()

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._requested

    @property
    def all_refused(self) -> bool:
        """Whether the exchange has lately refused every symbol that is wanted."""
        return not self._requested.keys() - self._refused

    def add(self, symbol: str, *, requested: datetime | None) -> bool:
        """Want `symbol`, requested at that time (None: by the settings); return whether it is new."""
        if symbol not in self._requested:
            self._requested[symbol] = requested
            return True
        # A request must not make a symbol of the settings temporary.
        if self._requested[symbol] is not None:
            self._requested[symbol] = requested
        return False

    def last_request(self, symbol: str, *, default: datetime | None = None) -> datetime | None:
        """Return when a symbol was last requested, `default` if it is not wanted."""
        return self._requested.get(symbol, default)

    def to_admit(self) -> list[str]:
        """Return the wanted symbols that the exchange has not refused."""
        return [each for each in self._requested if each not in self._refused]

    def expired(self) -> list[str]:
        """Return the symbols whose last request is too long ago."""
        now = self._clock.now()
        return [
            symbol
            for symbol, requested in self._requested.items()
            if requested is not None and now - requested >= self._keep
        ]

    def drop(self, symbol: str) -> datetime | None:
        """Want a symbol no longer; return when it was last requested."""
        return self._requested.pop(symbol, None)

    def refuse(self, symbol: str) -> None:
        """Note that the exchange does not have a symbol. One in the settings is wanted again later."""
        if symbol in self._requested and self._requested[symbol] is None:
            self._refused.add(symbol)
        else:
            self._requested.pop(symbol, None)

    def retry_refused(self) -> None:
        """Try refused symbols again: the exchange may have listed them since."""
        self._refused.clear()

    def clear(self) -> None:
        """Want nothing."""
        self._requested.clear()
