"""The subcommands `liqmap record BTCUSDT` and `liqmap status`."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liqmap.clock import SystemClock, utc_now
from liqmap.collect.listings import Listings
from liqmap.console import call_at_signals
from liqmap.errors import RequestError
from liqmap.exchanges import EXCHANGES
from liqmap.live.status import clock_warning, recording_status
from liqmap.model import Exchange, Market
from liqmap.model.window import TimeWindow
from liqmap.parsing import parse_exchange, parse_symbol
from liqmap.run.accuracy_report import sealed_text
from liqmap.run.engine import Engine
from liqmap.run.margin_check import margin_checks, margin_checks_text
from liqmap.run.simulated import simulated_market
from liqmap.run.terms import ledger_path
from liqmap.settings import load_settings
from liqmap.settings.simulated import simulated_store
from liqmap.store.damaged import damage_warning
from liqmap.text import duration_text, market_name, meant_text, series_text, share_text, unrecordable_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from liqmap.live.status import SymbolStatus
    from liqmap.settings import Settings

_LOOKED_FOR = timedelta(days=4)  # long enough for a published day, whose file shows that a symbol exists

_HEAD = (
    *("exchange", "symbol", "state", "source", "recorded since", "last trade", "lag", "last 24 h", "gaps"),
    "series",
)


def record(arguments: Sequence[str]) -> int:
    """Record symbols until Ctrl-C or SIGTERM, and return the exit code. Raises LiqmapError."""
    options = _record_parser().parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    settings = load_settings(options.config)
    try:
        markets = asyncio.run(_meant(_typed(options), settings, simulated=options.simulated))
    except RequestError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    _say(f"Recording {', '.join(map(market_name, markets))}; Ctrl-C stops it.")
    started = utc_now()
    asyncio.run(_record(_naming(markets, settings), simulated=options.simulated))
    shown = "liqmap status --simulated" if options.simulated else "liqmap status"
    _say(f"Stopped after {duration_text(utc_now() - started)}. What was received is stored; see `{shown}`.")
    return 0


def status(arguments: Sequence[str]) -> int:
    """Print the state of every recording and return the exit code. Raises LiqmapError."""
    options = _status_parser().parse_args(arguments)
    settings, example = load_settings(options.config), "liqmap record BTCUSDT"
    if options.simulated:
        settings, example = simulated_store(settings), f"{example} --simulated"
    root = settings.storage.path
    if options.margin:
        checks = margin_checks(root)
        _say(
            margin_checks_text(checks) if checks else "No liquidations with bankruptcy prices are stored yet."
        )
        for check in checks:
            if remark := check.problem or check.too_few:
                sys.stderr.write(f"{remark}\n")
        return 0
    found = recording_status(root, now=utc_now())
    if options.json:
        sys.stdout.write(_as_json(found))
    else:
        _say(_as_table(found) if found else f"Nothing is recorded yet; try: {example}")
        if sealed := sealed_text(ledger_path(root, settings.ledger)):
            _say(f"Ledger: {sealed}")
    if damage := damage_warning(root):
        # On stderr, so that a program that reads the output gets only the list.
        sys.stderr.write(f"{damage}\n")
    return 0


def _naming(markets: Sequence[Market], settings: Settings) -> Settings:
    """Return `settings` that let `markets` be recorded as well as those that they name."""
    named = [f"{each.exchange}:{each.symbol}" for each in markets]
    recorder = settings.recorder.model_copy(
        # The settings' list of most traded symbols is for the bot; here only named symbols are recorded.
        update={"symbols": (*settings.recorder.symbols, *named), "most_traded": 0}
    )
    return settings.model_copy(update={"recorder": recorder})


async def _record(settings: Settings, *, simulated: bool) -> None:
    stop = asyncio.Event()
    # A signal must not end the process at once: what was received in the open minute is still to be stored.
    call_at_signals(stop.set, signal.SIGINT, signal.SIGTERM)
    async with AsyncExitStack() as stack:
        if simulated:
            settings = await stack.enter_async_context(simulated_market(settings))
        engine = await stack.enter_async_context(Engine(settings, record=True))
        # It also ends if no exchange knows any of the symbols: waiting would look like recording.
        ends = [asyncio.create_task(each) for each in (stop.wait(), engine.refused())]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in ends:
            task.cancel()
    if not stop.is_set():
        raise RequestError("The exchanges know none of these symbols, so nothing is recorded; check them.")


def _typed(options: argparse.Namespace) -> list[Market]:
    exchanges = [parse_exchange(options.exchange)] if options.exchange else list(Exchange)
    return [Market(exchange, parse_symbol(text)) for text in options.symbols for exchange in exchanges]


async def _meant(markets: Sequence[Market], settings: Settings, *, simulated: bool) -> list[Market]:
    """Return the markets that the symbols mean. Raises RequestError for a contract without a stream."""
    meant, today = [], TimeWindow.ending(utc_now().replace(microsecond=0), _LOOKED_FOR)
    async with Listings(settings, clock=SystemClock()) as listings:
        for typed in markets:
            # The exchanges' lists do not have the invented market's symbols.
            market = listings.known.completed(typed) if simulated else await listings.meant(typed, today)
            if not EXCHANGES[market.exchange].live.records(market.symbol):
                raise RequestError(unrecordable_text(market))
            if completion := meant_text(typed, market):
                _say(completion)
            meant.append(market)
    return meant


def _record_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="liqmap record",
        description="Record symbols live, for the bot and the command line on this machine.",
    )
    parser.add_argument("symbols", nargs="+", metavar="SYMBOL", help="such as BTCUSDT ETHUSDT")
    parser.add_argument(
        "--exchange",
        choices=[each.value for each in Exchange],
        type=str.lower,
        help="record on this exchange only (default: on all)",
    )
    _add_common(parser)
    return parser


def _status_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="liqmap status",
        description="Show which symbols are recorded, how far behind each is, and its gaps.",
    )
    _add_common(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    parser.add_argument(
        "--margin", action="store_true", help="compare recorded liquidations with the leverage brackets"
    )
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", type=Path, help="settings, as in config.example.toml")
    parser.add_argument("--simulated", action="store_true", help="use the built-in invented market")


def _as_table(found: Sequence[SymbolStatus]) -> str:
    rows = [_HEAD, *(_row(each) for each in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    warning = clock_warning(found)
    return "\n".join([*lines, *([warning] if warning else [])])


def _row(each: SymbolStatus) -> tuple[str, ...]:
    recording = each.recording
    lag = "" if recording.lag is None else f"{recording.lag:.1f} s"
    # Nothing that is recorded has no gaps either, and "none" would look like a good recording.
    none = "none" if each.first else ""
    gaps = f"{len(each.gaps)}, {duration_text(each.missing)}" if each.gaps else none
    return (
        EXCHANGES[recording.exchange].label,
        recording.symbol,
        "live" if each.is_alive else "stopped",
        ", ".join(each.sources),
        f"{each.first:%Y-%m-%d %H:%M} UTC" if each.first else "",
        f"{duration_text(each.age)} ago" if each.age is not None else "no trade yet",
        lag,
        share_text(each.filled),
        gaps,
        series_text(each.series),
    )


def _as_json(found: Sequence[SymbolStatus]) -> str:
    return json.dumps([_report(each) for each in found], allow_nan=False) + "\n"


def _report(each: SymbolStatus) -> dict[str, Any]:
    recording = each.recording
    return {
        "exchange": recording.exchange,
        "symbol": recording.symbol,
        "alive": each.is_alive,
        "sources": each.sources,
        "since": each.first and each.first.isoformat(),
        "until": recording.until and recording.until.isoformat(),
        "last_trade": recording.last_trade and recording.last_trade.isoformat(),
        "lag_seconds": recording.lag,
        "series_until": {kind: end.isoformat() for kind, end in each.series},
        "cuts": recording.cuts,
        "clock_off_seconds": recording.clock_off,
        "filled": round(each.filled, 4),
        "gaps": [{"start": gap.start.isoformat(), "end": gap.end.isoformat()} for gap in each.gaps],
    }


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    # Into a pipe, the first line would otherwise come only when recording ends.
    sys.stdout.flush()
