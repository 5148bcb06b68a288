"""`liqmap brackets`: fetch the published leverage brackets and list the symbols without any."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from liqmap.brackets import bracketed_symbols, tables_of
from liqmap.clock import SystemClock
from liqmap.collect.brackets import BracketTables
from liqmap.collect.clients import rest_clients
from liqmap.collect.contracts import Contracts
from liqmap.collect.listings import Listings
from liqmap.errors import LiqmapError
from liqmap.exchanges import EXCHANGES
from liqmap.net.session import open_session
from liqmap.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from liqmap.model import Exchange
    from liqmap.settings import Settings

_MOST_NAMES = 10


def brackets(words: Sequence[str]) -> int:
    """Fetch the published brackets into the store and return the exit code: 1 if an exchange's are missing.

    Raises LiqmapError.
    """
    parser = argparse.ArgumentParser(
        prog="liqmap brackets",
        description="Fetch today's leverage brackets from the exchanges that publish them without an account,"
        " and list the symbols without any. The bot and `liqmap record` do so once a day.",
    )
    parser.add_argument("--config", metavar="FILE", type=Path, help="settings, as in config.example.toml")
    options = parser.parse_args(words)
    return asyncio.run(_refresh(load_settings(options.config)))


async def _refresh(settings: Settings) -> int:
    clock = SystemClock()
    async with open_session(settings.network) as session, Listings(settings, clock=clock) as listings:
        clients = rest_clients(settings, session=session, clock=clock)
        contracts = Contracts(settings, clients=clients, clock=clock)
        tables = BracketTables(settings, clients=clients, contracts=contracts, clock=clock, daily=False)
        fetched = [
            await _fetch(exchange, tables)
            for exchange, row in EXCHANGES.items()
            if row.margin.risk_limits is not None
        ]
        # Also of those that publish none: their tables ship, or come by a stream.
        for exchange in EXCHANGES:
            _say_tables(exchange, tables.folder, await listings.symbols(exchange))
    # All are fetched, whichever fails; the exit code says that one did.
    return 0 if all(fetched) else 1


async def _fetch(exchange: Exchange, tables: BracketTables) -> bool:
    """Fetch the brackets of an exchange, say what has changed, and return whether that worked."""
    try:
        refreshed = await tables.refresh(exchange)
    except LiqmapError as error:
        sys.stderr.write(f"{error}\n")
        return False
    changed, label = len(refreshed.saved.changed), EXCHANGES[exchange].label
    _say(f"{label}: fetched {refreshed.symbols:,} symbols, {changed:,} of them changed")
    return True


def _say_tables(exchange: Exchange, folder: Path, listed: frozenset[str]) -> None:
    row, named = EXCHANGES[exchange], bracketed_symbols(exchange, (folder,))
    newest = tables_of(exchange, (folder,))[-1].date
    _say(f"{row.label}: {len(named):,} symbols have brackets; the newest table is of {newest}")
    without = sorted({each.label for each in row.markets if not each.has_brackets})
    missing = sorted(listed - named)
    if missing:
        more = f" and {len(missing) - _MOST_NAMES} more" if len(missing) > _MOST_NAMES else ""
        without.append(f"{', '.join(missing[:_MOST_NAMES])}{more}")
    if without:
        _say(f"{row.label}: without brackets: {'; '.join(without)}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
