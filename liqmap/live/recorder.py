"""Record the exchanges' streams into segments, and repair what is missing where that is possible."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from liqmap.collect.symbols import KnownSymbols
from liqmap.errors import SettingsError
from liqmap.exchanges import EXCHANGES
from liqmap.live.exchange import ExchangeRecorder
from liqmap.live.registry import Recordings, readable
from liqmap.live.repair import Repair
from liqmap.live.writer import SegmentWriter
from liqmap.model import Exchange, Market
from liqmap.model.window import DAY
from liqmap.parsing import parse_exchange, parse_symbol
from liqmap.text import unrecordable_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType

    from liqmap.collect.brackets import BracketTables
    from liqmap.collect.supply import Supply
    from liqmap.settings import Settings

log = logging.getLogger(__name__)


class Recorder:
    """Records the symbols in the settings, and those lately requested, into the store.

    Several processes may share a store: each symbol is recorded by one of them. Use it as `async with` to
    record; without that it only reports what other processes record.
    """

    def __init__(self, supply: Supply, *, brackets: BracketTables) -> None:
        self._settings = supply.settings
        self._clock = supply.clock
        self._recordings = Recordings(supply.store.root)
        self._exchanges = {each: self._exchange_recorder(each, supply, brackets) for each in Exchange}
        self._running = False
        self._stack = AsyncExitStack()
        self.refused = asyncio.Event()
        """Set once the exchanges have refused every symbol that is wanted."""

    async def __aenter__(self) -> Self:
        for exchange, symbol in configured(self._settings):
            self._exchanges[exchange].want(symbol, asked=None)
        now = self._clock.now()
        # So that a restart ends no recording that somebody has requested.
        for recording in readable(self._recordings):
            if (
                recording.asked is not None
                and (now - recording.asked) / DAY < self._settings.recorder.keep_days
            ):
                self._exchanges[recording.exchange].want(recording.symbol, asked=recording.asked)
        async with AsyncExitStack() as stack:
            for recorder in self._exchanges.values():
                await stack.enter_async_context(recorder)
            self._stack = stack.pop_all()
        self._running = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._running = False
        await self._stack.aclose()

    def _exchange_recorder(
        self, exchange: Exchange, supply: Supply, brackets: BracketTables
    ) -> ExchangeRecorder:
        recent = supply.recent.get(exchange)
        repair = Repair(exchange, store=supply.store, days=supply.days, recent=recent, clock=supply.clock)
        return ExchangeRecorder(
            exchange,
            supply,
            writer=_writer(exchange, supply, repair=repair, brackets=brackets),
            repair=repair,
            recordings=self._recordings,
            on_forgotten=self._note_forgotten,
        )

    @property
    def exchanges(self) -> Mapping[Exchange, ExchangeRecorder]:
        """The recorder of each exchange; read-only."""
        return MappingProxyType(self._exchanges)

    def want(self, exchange: Exchange, symbol: str, *, until: datetime) -> None:
        """Note that somebody requests a window that ends at `until`: if that is recent, record the symbol."""
        now = self._clock.now()
        # Earlier windows come from published days, which no stream adds to.
        if self._running and now - until < DAY and EXCHANGES[exchange].live.records(symbol):
            self._exchanges[exchange].want(symbol, asked=now)

    def keep(self, exchange: Exchange, symbol: str) -> None:
        """Record `symbol` as if somebody had just requested its newest map."""
        self.want(exchange, symbol, until=self._clock.now())

    def _note_forgotten(self) -> None:
        if all(recorder.wants_nothing for recorder in self._exchanges.values()):
            self.refused.set()

    def is_recorded(self, exchange: Exchange, symbol: str) -> bool:
        """Return whether this process or another records `symbol` now, or is about to."""
        # First: what is about to be recorded is described nowhere yet.
        if self._running and self._exchanges[exchange].is_wanted(symbol):
            return True
        recording = self._recordings.read(exchange, symbol)
        return recording is not None and recording.is_alive(self._clock.now())


def configured(settings: Settings) -> Iterator[tuple[Exchange, str]]:
    """Yield the markets in `recorder.symbols`. Raises SettingsError for a symbol that has no stream."""
    names, root = settings.recorder.symbols, settings.storage.path
    for market in markets_named(names, root, setting="recorder.symbols"):
        yield market.exchange, market.symbol


def markets_named(names: Iterable[str], root: Path, *, setting: str) -> Iterator[Market]:
    """Yield the markets that a setting names: BTCUSDT is on every exchange, binance:BTCUSDT on one.

    `root` is the store's folder. Raises SettingsError for a symbol that has no stream.
    """
    known = KnownSymbols(root)
    for text in names:
        prefix, _, name = text.rpartition(":")
        for exchange in [parse_exchange(prefix)] if prefix else Exchange:
            market = known.completed(Market(exchange, parse_symbol(name)))
            if not EXCHANGES[exchange].live.records(market.symbol):
                raise SettingsError(f"Setting {setting}: {unrecordable_text(market)}")
            yield market


def _writer(exchange: Exchange, supply: Supply, *, repair: Repair, brackets: BracketTables) -> SegmentWriter:
    live = EXCHANGES[exchange].live
    return SegmentWriter(
        exchange,
        source=live.stream_url(supply.settings.exchanges.of(exchange).stream_url),
        complete_liquidations=live.complete_liquidations,
        store=supply.store,
        repair=repair,
        brackets=brackets,
        contracts=supply.contracts,
        clock=supply.clock,
    )
