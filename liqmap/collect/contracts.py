"""Contracts: what one of each symbol is worth where an exchange counts contracts, kept with its dates."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from liqmap.clock import is_recent
from liqmap.collect.pages import pages_of
from liqmap.errors import DataError, LiqmapError, RequestError, UnreadableStore
from liqmap.exchanges import EXCHANGES
from liqmap.exchanges.protocol import Instrument
from liqmap.files import unreadable, write_file
from liqmap.files.seals import sealed_json, unsealed_json
from liqmap.model import Exchange
from liqmap.model.window import at_ms

if TYPE_CHECKING:
    from pathlib import Path

    from liqmap.clock import Clock
    from liqmap.collect.clients import Clients
    from liqmap.exchanges.messages import Liquidation
    from liqmap.exchanges.protocol import InstrumentFormat
    from liqmap.settings import Settings

log = logging.getLogger(__name__)

KEPT_FOR: Final = timedelta(days=1)
LOOKED_AGAIN_AFTER: Final = timedelta(minutes=10)
"""The age at which the contracts are fetched again for a symbol that is not among them."""

RETRIED_AFTER: Final = timedelta(minutes=5)

_UNKNOWN = 0.0  # the unit from a day on, after which it was found changed: nobody knows when it did

# Where sizes are in coins, the brackets alone limit the leverage.
_WHOLE = Instrument(1.0, float("inf"))
_Dated = Mapping[date, Instrument]


@dataclass(frozen=True, slots=True)
class _Kept:
    """The contracts of an exchange as last fetched: of each symbol, what it was from which day on."""

    fetched: datetime
    contracts: Mapping[str, _Dated]


class Contracts:
    """What the contracts of the exchanges are, fetched once a day and kept in the store's folder.

    An exchange can change what a contract is, so each day counts by what was known of that day; before the
    first that is known, by that. If nothing was fetched for days, and it has changed by then, sizes of the
    days between are not known.
    """

    def __init__(self, settings: Settings, *, clients: Clients, clock: Clock) -> None:
        self._folder = settings.storage.path / "contracts"
        self._settings = settings
        self._clients = clients
        self._clock = clock
        self._kept: dict[Exchange, _Kept] = {}
        self._failed_at: dict[Exchange, datetime] = {}
        self._locks = {each: asyncio.Lock() for each in Exchange}

    async def of(self, exchange: Exchange, symbol: str, *, on: date) -> Instrument:
        """Return what a contract of `symbol` is on a day; one base coin where sizes are in those.

        Raises RequestError for a symbol that the exchange does not have, DataError if it cannot be asked, or
        if nobody knows what the contract was on that day.
        """
        dated = (await self.all(exchange)).get(symbol)
        if EXCHANGES[exchange].instruments is None:
            return _WHOLE
        if dated is None:  # it may have been listed since this morning
            dated = (await self.all(exchange, kept_for=LOOKED_AGAIN_AFTER)).get(symbol)
        if dated is None:
            label = EXCHANGES[exchange].label
            raise RequestError(f"{label} has no linear swap {symbol}; check the symbol.")
        found = dated[max((day for day in dated if day <= on), default=min(dated))]
        if found.unit == _UNKNOWN:
            raise DataError(
                f"{EXCHANGES[exchange].label} changed what a contract of {symbol} is while nothing was"
                f" fetched, so the sizes of {on} are not known; try another day."
            )
        return found

    async def unit(self, exchange: Exchange, symbol: str, *, on: date) -> float:
        """Return the base currency of a contract of `symbol` on a day. Raises as `of`."""
        return (await self.of(exchange, symbol, on=on)).unit

    async def all(self, exchange: Exchange, *, kept_for: timedelta = KEPT_FOR) -> Mapping[str, _Dated]:
        """Return the dated contracts of all symbols of an exchange, none where sizes are in base coins.

        They are fetched again once they are `kept_for` old.
        Raises DataError if none are known and the exchange cannot be asked.
        """
        instruments = EXCHANGES[exchange].instruments
        if instruments is None:
            return {}
        # So that several requests at once fetch them only once.
        async with self._locks[exchange]:
            now = self._clock.now()
            kept = self._kept.get(exchange)
            if kept is None or not is_recent(kept.fetched, now=now, within=kept_for):
                # Another process may have fetched them since, and seen on which day one changed.
                kept = await asyncio.to_thread(self._newest, exchange, kept)
            if kept is None or not is_recent(kept.fetched, now=now, within=kept_for):
                kept = await self._fetched(exchange, instruments, kept, now)
            self._kept[exchange] = kept
            return kept.contracts

    async def _fetched(
        self, exchange: Exchange, instruments: InstrumentFormat, kept: _Kept | None, now: datetime
    ) -> _Kept:
        rests = is_recent(self._failed_at.get(exchange), now=now, within=RETRIED_AFTER)
        if kept is not None and rests:
            return kept
        base_url = self._settings.exchanges.of(exchange).api_url
        try:
            pages = pages_of(self._clients[exchange], instruments.first_urls(base_url), instruments.next_url)
            found = {symbol: each async for page in pages for symbol, each in instruments.read(page).items()}
        except DataError as error:
            self._failed_at[exchange] = now
            if kept is None:
                raise
            log.warning("the contracts of %s could not be fetched: %s", exchange, error)
            return kept
        # Earlier dates stay: the sizes of old trades are in the contracts of their day.
        contracts = {**(kept.contracts if kept else {})}
        for symbol, instrument in found.items():
            dated = contracts.get(symbol, {})
            if not dated or dated[max(dated)] != instrument:
                contracts[symbol] = {**dated, **_unseen(dated, instrument, kept, now), now.date(): instrument}
        fresh = _Kept(now, contracts)
        try:
            await asyncio.to_thread(write_file, self._path(exchange), _written(fresh))
        except LiqmapError as error:
            # Until it ends, this process knows them all the same.
            log.warning("the contracts of %s could not be kept: %s", exchange, error)
        return fresh

    def _newest(self, exchange: Exchange, known: _Kept | None) -> _Kept | None:
        """Return what was fetched last of what is kept and what is `known`. Raises UnreadableStore."""
        try:
            kept = self._read(exchange)
        except UnreadableStore:
            if known is None:
                raise
            return known
        return max(filter(None, (kept, known)), key=lambda each: each.fetched, default=None)

    def _read(self, exchange: Exchange) -> _Kept | None:
        """Return what is kept, None if nothing sound is. Raises UnreadableStore."""
        try:
            content = unsealed_json(self._path(exchange).read_bytes())
            contracts = {
                symbol: {
                    date.fromisoformat(day): Instrument(*map(float, each)) for day, each in dated.items()
                }
                for symbol, dated in content["contracts"].items()
            }
            fetched = datetime.fromisoformat(content["fetched"])
            is_sound = fetched.tzinfo is not None and all(contracts.values())
            return _Kept(fetched, contracts) if is_sound else None
        except FileNotFoundError:
            return None
        except OSError as error:  # what is fetched now lacks the earlier dates
            raise unreadable(error) from error
        except (ValueError, LookupError, AttributeError, TypeError) as error:
            log.warning("the kept contracts of %s are damaged (%s) and fetched again", exchange, error)
            return None

    def _path(self, exchange: Exchange) -> Path:
        return self._folder / f"{exchange}.json"


async def counted_in_base(contracts: Contracts, exchange: Exchange, liquidation: Liquidation) -> Liquidation:
    """Return a liquidation with its size in base currency. Raises as `Contracts.of`."""
    unit = await contracts.unit(exchange, liquidation.symbol, on=at_ms(liquidation.time).date())
    # To twelve digits, so that 3 contracts of 0.1 are 0.3 and not 0.30000000000000004.
    return liquidation._replace(size=float(f"{liquidation.size * unit:.12g}"))


def _unseen(dated: _Dated, found: Instrument, kept: _Kept | None, now: datetime) -> _Dated:
    """Return from which day on a contract is unknown, if its unit has changed since it was last seen."""
    if not dated or kept is None or dated[max(dated)].unit == found.unit:
        return {}
    first = kept.fetched.date() + timedelta(days=1)
    return {first: Instrument(_UNKNOWN, found.max_leverage)} if first < now.date() else {}


def _written(kept: _Kept) -> bytes:
    contracts = {
        symbol: {day.isoformat(): list(each) for day, each in sorted(dated.items())}
        for symbol, dated in sorted(kept.contracts.items())
    }
    return sealed_json({"fetched": kept.fetched.isoformat(), "contracts": contracts})
