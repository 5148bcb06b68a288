"""Keep the store's tables of leverage brackets up to date from what the exchanges publish."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from liqmap.brackets import bracketed_symbols, read_table, tables_of
from liqmap.brackets.save import Saved, save_tiers
from liqmap.clock import is_recent
from liqmap.collect.pages import pages_of
from liqmap.errors import DataError, LiqmapError, RequestError
from liqmap.exchanges import EXCHANGES, OWNERS
from liqmap.files import locked, write_file
from liqmap.files.seals import sealed_json, unsealed_json
from liqmap.net.pace import done_or_late
from liqmap.store.damaged import set_file_aside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path
    from types import TracebackType

    from liqmap.brackets import Table
    from liqmap.clock import Clock
    from liqmap.collect.clients import Clients
    from liqmap.collect.contracts import Contracts
    from liqmap.exchanges.messages import RiskTier, SymbolTiers
    from liqmap.exchanges.protocol import RiskLimitFormat
    from liqmap.model import Exchange, MarginModel
    from liqmap.settings import Settings

log = logging.getLogger(__name__)

KEPT_FOR: Final = timedelta(days=1)
"""How long fetched brackets count as current."""

RETRIED_AFTER: Final = timedelta(minutes=10)
PATIENCE: Final = timedelta(seconds=3)
"""How long a map waits for brackets before it is drawn with those that are known."""


class Refreshed(NamedTuple):
    """How many symbols an exchange has published brackets of, and what was saved."""

    symbols: int
    saved: Saved


class _Fetch(NamedTuple):
    """A fetch of one symbol's brackets; `unreachable` is done once the exchange could not be reached."""

    task: asyncio.Task[None]
    unreachable: asyncio.Future[None]


class BracketTables:
    """The bracket tables of a store. Use it as `async with BracketTables(…)`.

    With `daily`, all published brackets are fetched at the start and once a day. Those of a symbol that no
    fetch of the last day has had are fetched at its first use.
    """

    def __init__(
        self, settings: Settings, *, clients: Clients, contracts: Contracts, clock: Clock, daily: bool
    ) -> None:
        self.folder: Path = settings.storage.path / "brackets"
        self._settings = settings
        self._clients = clients
        self._contracts = contracts
        self._clock = clock
        self._daily = daily
        self._checks = _Checks(self.folder / "checked.json")
        self._failed_at: dict[str, datetime] = {}
        self._fetches: dict[str, _Fetch] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        if self._daily:
            self._tasks = [
                asyncio.create_task(self._refresh_daily(exchange))
                for exchange, row in EXCHANGES.items()
                if row.margin.risk_limits is not None
            ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        tasks = [*self._tasks, *(each.task for each in self._fetches.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def current(self, model: MarginModel, symbol: str) -> bool:
        """Wait up to `PATIENCE` until the brackets of `symbol` are current, and return whether they are.

        Damaged tables are set aside first, so that older ones and what is fetched take their place.
        There is nothing to wait for if the exchange of `model` publishes no brackets without an account.
        An exchange that cannot be reached is waited for only where no table names `symbol`.
        """
        exchange = OWNERS.get(model)
        if exchange is None:
            return True
        await asyncio.to_thread(self._set_damaged_aside, exchange)
        limits = EXCHANGES[exchange].margin.risk_limits
        if limits is None:
            return True
        key = f"{exchange}:{symbol}"
        # A daily fetch counts for a symbol only if it had that symbol: it may have been listed since.
        if await asyncio.to_thread(self._is_known, exchange, symbol, key):
            return True
        if is_recent(self._failed_at.get(key), now=self._clock.now(), within=RETRIED_AFTER):
            return False
        fetch = self._fetches.get(key) or self._begun(exchange, limits, symbol, key=key)
        # Older brackets are dated, and the map says of when they are. Without any, its levels would be those
        # of the simple model, so that is worth another attempt.
        dated = await asyncio.to_thread(self._names, exchange, symbol)
        ends = fetch if dated else (fetch.task,)
        await done_or_late(*ends, within=PATIENCE.total_seconds(), sleep=self._clock.sleep)
        return await asyncio.to_thread(self._is_fresh, key)

    def _begun(self, exchange: Exchange, limits: RiskLimitFormat, symbol: str, *, key: str) -> _Fetch:
        unreachable = asyncio.get_running_loop().create_future()

        def give_up() -> None:
            if not unreachable.done():
                unreachable.set_result(None)

        task = asyncio.create_task(self._fetch_symbol(exchange, limits, symbol, on_unreachable=give_up))
        self._fetches[key] = _Fetch(task, unreachable)
        task.add_done_callback(lambda _: self._fetches.pop(key))
        return self._fetches[key]

    async def refresh(self, exchange: Exchange) -> Refreshed:
        """Fetch the brackets of all symbols of `exchange` and save those that have changed.

        Raises LiqmapError, and then leaves the tables as they were.
        """
        limits = EXCHANGES[exchange].margin.risk_limits
        if limits is None:
            raise DataError(f"{EXCHANGES[exchange].label} publishes its brackets only to account holders.")
        base_url = self._settings.exchanges.of(exchange).api_url
        published: dict[str, tuple[RiskTier, ...] | None] = {}
        # An exchange that counts contracts is asked for brackets by their names; the others list none here.
        symbols = await self._contracts.all(exchange)
        pages = pages_of(
            self._clients[exchange],
            limits.first_urls(base_url, symbols),
            limits.next_url,
            weight=limits.weight,
        )
        async for page in pages:
            published |= limits.read(page)
        saved = await self._save(exchange, published)
        # Some invalid symbols are the exchange's business. All of them mean that its answer is read wrongly.
        if saved.left_out == published.keys():
            raise DataError(f"The brackets of {EXCHANGES[exchange].label} are invalid; try again later.")
        await asyncio.to_thread(self._checks.note, exchange.value, self._clock.now())
        return Refreshed(len(published), saved)

    async def keep(self, exchange: Exchange, published: Iterable[SymbolTiers]) -> bool:
        """Save brackets that a stream has delivered; failures are logged. Return whether that worked."""
        try:
            await self._save(exchange, dict(published))
        except LiqmapError as error:
            log.warning("brackets of %s could not be saved: %s", exchange, error)
            return False
        return True

    async def _refresh_daily(self, exchange: Exchange) -> None:
        while True:
            try:
                refreshed = await self.refresh(exchange)
            except LiqmapError as error:
                log.warning("the brackets of %s could not be fetched: %s", exchange, error)
                await self._clock.sleep(RETRIED_AFTER.total_seconds())
            else:
                changed = len(refreshed.saved.changed)
                log.info("%s has brackets of %d symbols, %d changed", exchange, refreshed.symbols, changed)
                await self._clock.sleep(KEPT_FOR.total_seconds())

    async def _fetch_symbol(
        self, exchange: Exchange, limits: RiskLimitFormat, symbol: str, *, on_unreachable: Callable[[], None]
    ) -> None:
        key = f"{exchange}:{symbol}"
        url = limits.symbol_url(self._settings.exchanges.of(exchange).api_url, symbol)
        try:
            client = self._clients[exchange]
            answer = await client.get(url, weight=limits.weight, on_unreachable=on_unreachable)
            published = limits.read(answer)
            await self._save(exchange, {each: tiers for each, tiers in published.items() if each == symbol})
            await asyncio.to_thread(self._checks.note, key, self._clock.now())
        except LiqmapError as error:
            self._failed_at[key] = self._clock.now()
            log.info("the brackets of %s %s could not be fetched: %s", exchange, symbol, error)

    async def _in_base(
        self, exchange: Exchange, published: Mapping[str, Iterable[RiskTier] | None]
    ) -> dict[str, Iterable[RiskTier] | None]:
        """Return tiers whose caps count contracts, if the exchange's do, with caps in base currency."""
        if EXCHANGES[exchange].instruments is None:
            return dict(published)
        return {
            symbol: tiers and await self._scaled(exchange, symbol, tiers)
            for symbol, tiers in published.items()
        }

    async def _scaled(
        self, exchange: Exchange, symbol: str, tiers: Iterable[RiskTier]
    ) -> tuple[RiskTier, ...] | None:
        try:
            contract = await self._contracts.of(exchange, symbol, on=self._clock.now().date())
        except RequestError:  # listed no longer
            return None
        return tuple(
            tier._replace(
                cap=float(f"{tier.cap * contract.unit:.12g}"),
                # A tier can allow more than the contract itself does.
                max_leverage=min(tier.max_leverage, contract.max_leverage),
            )
            for tier in tiers
        )

    async def _save(self, exchange: Exchange, published: Mapping[str, Iterable[RiskTier] | None]) -> Saved:
        published = await self._in_base(exchange, published)
        await asyncio.to_thread(self._set_damaged_aside, exchange)
        saved = await asyncio.to_thread(
            save_tiers,
            self.folder,
            exchange,
            published,
            day=self._clock.now().date(),
            source=EXCHANGES[exchange].margin.brackets_source,
        )
        if saved.left_out:
            names = ", ".join(f"{symbol:.30}" for symbol in sorted(saved.left_out)[:10])
            log.warning("invalid brackets of %s are left out: %s", exchange, names)
        return saved

    def _set_damaged_aside(self, exchange: Exchange) -> None:
        if any(map(self._is_damaged, tables_of(exchange, (self.folder,)))):
            with suppress(OSError), locked(self.folder):
                # Looked at again: another process may have set one aside, and saved a new one of its day.
                for table in filter(self._is_damaged, tables_of(exchange, (self.folder,))):
                    log.warning("the table of brackets %s is damaged and set aside", table.path.name)
                    set_file_aside(self.folder.parent, table.path)
                    self._checks.forget()  # what it held is to be fetched again

    def _is_damaged(self, table: Table) -> bool:
        if table.path.parent != self.folder:
            return False
        try:
            read_table(table.path)
        except DataError as error:
            # Any other cause, such as a file of another user, is not the table's and may pass.
            return isinstance(error.__cause__, ValueError)
        return False

    def _is_known(self, exchange: Exchange, symbol: str, key: str) -> bool:
        return self._is_fresh(key) or (self._is_fresh(exchange) and self._names(exchange, symbol))

    def _names(self, exchange: Exchange, symbol: str) -> bool:
        """Return whether a table names `symbol`. One that was listed since the fetch is in none."""
        try:
            return symbol in bracketed_symbols(exchange, (self.folder,))
        except DataError as error:
            log.warning("%s", error)
            return False

    def _is_fresh(self, key: str) -> bool:
        return is_recent(self._checks.read(key), now=self._clock.now(), within=KEPT_FOR)


class _Checks:
    """The times at which brackets were last fetched, in a file that all processes of a store share."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, key: str) -> datetime | None:
        """Return when the brackets of `key` were fetched, None if this is not known."""
        return self._all().get(key)

    def note(self, key: str, now: datetime) -> None:
        """Note that the brackets of `key` were fetched. Raises DataError if that cannot be written."""
        try:
            # Symbols are fetched side by side, and each note keeps those of the others.
            with locked(self._path.parent):
                self._note(key, now)
        except OSError as error:
            raise DataError(
                f"It cannot be noted when brackets were fetched ({error.strerror or error}); check the"
                " store's disk."
            ) from error

    def _note(self, key: str, now: datetime) -> None:
        fresh = {
            each: moment
            for each, moment in self._all().items()
            if is_recent(moment, now=now, within=KEPT_FOR)
        }
        content = {each: moment.isoformat() for each, moment in (fresh | {key: now}).items()}
        write_file(self._path, sealed_json(content))

    def forget(self) -> None:
        """Forget all times. Raises OSError."""
        self._path.unlink(missing_ok=True)

    def _all(self) -> dict[str, datetime]:
        try:
            content = unsealed_json(self._path.read_bytes())
            moments = {key: datetime.fromisoformat(text) for key, text in content.items()}
            return {key: moment for key, moment in moments.items() if moment.tzinfo is not None}
        except (OSError, ValueError, AttributeError, TypeError, RecursionError):
            return {}  # absent or damaged: brackets will be fetched again
