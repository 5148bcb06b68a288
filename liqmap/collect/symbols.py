"""Which symbols are known to exist without a request to an exchange, and what an incomplete symbol means."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from liqmap.brackets import bracketed_symbols
from liqmap.exchanges import EXCHANGES
from liqmap.files import version_of, write_file
from liqmap.files.seals import sealed_json, unsealed_json
from liqmap.parsing import POPULAR_SYMBOLS, complete_symbol
from liqmap.store.segments import symbol_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from liqmap.model import Exchange, Market


_POPULARITY: Final = {symbol: place for place, symbol in enumerate(POPULAR_SYMBOLS)}


@dataclass(frozen=True, slots=True)
class Listing:
    """An exchange's list of symbols, with those of earlier lists: the last day on which each was listed.

    `volumes` are notionals traded within a day [quote currency], as far as they are known.
    """

    fetched: datetime
    last_day: Mapping[str, date]
    volumes: Mapping[str, float]

    @property
    def trading(self) -> frozenset[str]:
        """The symbols in the newest list."""
        today = self.fetched.date()
        return frozenset(symbol for symbol, day in self.last_day.items() if day == today)

    @property
    def ranked(self) -> tuple[str, ...]:
        """The symbols that the list named: the most traded first, then popular ones, then by name."""
        return tuple(sorted(self.trading, key=self._rank))

    def _rank(self, symbol: str) -> tuple[float, int, bool, str]:
        popular = _POPULARITY.get(symbol, len(_POPULARITY))
        return -self.volumes.get(symbol, 0.0), popular, not symbol.endswith(("USDT", "USDC")), symbol


class KnownSymbols:
    """The symbols that a store's folder shows to exist: by kept lists, bracket tables, or stored trades."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._latest: dict[Exchange, Listing] = {}

    def __contains__(self, market: Market) -> bool:
        """Return whether the market is known to exist or to have existed. Raises DataError."""
        exchange, symbol = market.exchange, market.symbol
        listing = self.listing(exchange)
        return (
            (listing is not None and symbol in listing.last_day)
            or symbol in bracketed_symbols(exchange, (self._root / "brackets",))
            or symbol_folder(self._root, exchange, symbol).exists()
        )

    def completed(self, market: Market) -> Market:
        """Return the market that a symbol means, as far as this is known."""
        row = EXCHANGES[market.exchange]
        usual = row.listing.spellings(market.symbol).default
        is_listed_elsewhere = row.contract(usual).inverse and not row.listing.lists_inverse
        are_all_known = self.listing(market.exchange) is not None and not is_listed_elsewhere
        return complete_symbol(market, is_known=self.__contains__, are_all_known=are_all_known)

    def listing(self, exchange: Exchange) -> Listing | None:
        """Return the exchange's list as it was fetched last, None if that is not known."""
        path, latest = self._path(exchange), self._latest.get(exchange)
        try:
            kept = _read(path, version_of(path))
        except (OSError, ValueError, LookupError, AttributeError, TypeError, RecursionError):
            return latest  # absent or damaged: it will be fetched again
        # Another process may have written the file, or this one may be unable to write it.
        return kept if latest is None or kept.fetched > latest.fetched else latest

    def keep(
        self,
        exchange: Exchange,
        symbols: frozenset[str],
        *,
        volumes: Mapping[str, float] | None = None,
        now: datetime,
    ) -> None:
        """Keep a list that was fetched now, and the volumes, else those of before.

        Raises RequestError if it cannot be written.
        """
        before = self.listing(exchange)
        last_day = dict(before.last_day if before else {}) | dict.fromkeys(symbols, now.date())
        if volumes is None:
            volumes = before.volumes if before else {}
        self._latest[exchange] = Listing(now, last_day, volumes)
        content = {
            "fetched": now.isoformat(),
            "symbols": {symbol: day.isoformat() for symbol, day in sorted(last_day.items())},
            "volumes": dict(sorted(volumes.items())),
        }
        write_file(self._path(exchange), sealed_json(content))

    def _path(self, exchange: Exchange) -> Path:
        return self._root / "listings" / f"{exchange}.json"


@lru_cache(8)
def _read(path: Path, version: tuple[int, int, int]) -> Listing:
    del version  # part of the cache's key only: a file that was rewritten is read again
    content = unsealed_json(path.read_bytes())
    fetched = datetime.fromisoformat(content["fetched"])
    if fetched.tzinfo is None:
        raise ValueError("a time without a zone")
    last_day = {symbol: date.fromisoformat(day) for symbol, day in content["symbols"].items()}
    # A list that an earlier version kept has no volumes.
    volumes = {symbol: float(volume) for symbol, volume in content.get("volumes", {}).items()}
    return Listing(fetched, last_day, volumes)
