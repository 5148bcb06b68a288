"""`liqmap ledger`: seal maps, compare them with what came, and show the result."""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import AsyncExitStack
from datetime import UTC, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING

from liqmap.cli.progress import ProgressBar
from liqmap.clock import SystemClock
from liqmap.collect.listings import Listings
from liqmap.errors import RequestError
from liqmap.files import write_file
from liqmap.ledger.file import verify_ledger
from liqmap.ledger.lines import newest_boundary
from liqmap.model import DEFAULT_EXCHANGE, Exchange, Market, Theme
from liqmap.model.window import DAY, TimeWindow
from liqmap.parsing import parse_end, parse_exchange, parse_symbol, parse_window
from liqmap.run.accuracy_report import ReportJob, earlier_ledgers, run_report_job
from liqmap.run.backtest import Backtest
from liqmap.run.engine import Engine
from liqmap.run.simulated import simulated_market
from liqmap.run.terms import ledger_path
from liqmap.settings import load_settings
from liqmap.settings.simulated import simulated_store
from liqmap.text import meant_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from liqmap.run.accuracy_report import DrawnReport
    from liqmap.settings import Settings

_DESCRIPTION = (
    "Seal maps before their outcome is known, compare them with the liquidations that came, and show whether"
    " they knew more than the distance from the price."
)


def ledger(words: Sequence[str]) -> int:
    """Run the command in `words` and return the exit code. Raises LiqmapError."""
    options = _parser().parse_args(words)
    settings = load_settings(options.config)
    # Verifying and reporting read only the file, so they start no engine and need no network.
    match options.command:
        case "verify":
            _verify(_path(options, settings))
        case "report":
            symbol = None if options.symbol is None else parse_symbol(options.symbol)
            path = _path(options, settings)
            earlier = () if options.file else earlier_ledgers(path)
            job = ReportJob(path, symbol, earlier, Theme(options.theme))
            _show(run_report_job(job), options.out)
        case _:
            asyncio.run(_with_engine(options, settings))
    return 0


def _path(options: argparse.Namespace, settings: Settings) -> Path:
    if options.file is not None:
        return Path(options.file)
    if options.simulated:
        settings = simulated_store(settings)
    return ledger_path(settings.storage.path, settings.ledger)


def _verify(path: Path) -> None:
    content = verify_ledger(path)
    _say(f"All {content.size:,} lines of {path} are as they were written.")
    _say(f"hash    {content.last_hash}")


async def _with_engine(options: argparse.Namespace, settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        if options.simulated:
            settings = await stack.enter_async_context(simulated_market(settings))
        engine = await stack.enter_async_context(Engine(settings))
        await _ENGINED[options.command](options, engine)


async def _seal(options: argparse.Namespace, engine: Engine) -> None:
    now = datetime.now(UTC)
    end = newest_boundary(now) if options.end is None else parse_end(options.end, now=now)
    path = options.file or engine.accuracy.path
    # Only to complete the symbol: it must have been listed then.
    window = TimeWindow.ending(end, parse_window(engine.settings.ledger.window))
    seal = await engine.accuracy.seal(await _market(options, engine, window), end, path=path)
    _say(f"sealed  {seal.market.symbol} at {seal.time:%Y-%m-%d %H:%M} UTC, {len(seal.marked)} zones marked")
    _say(f"hash    {seal.digest}")
    _say(f"file    {path}")


async def _score(options: argparse.Namespace, engine: Engine) -> None:
    outcomes = await engine.accuracy.score(options.file or engine.accuracy.path)
    for outcome in outcomes:
        _say(f"{outcome.seal[:16]}  {outcome.state}, {outcome.events} liquidations, feed {outcome.feed:.0%}")
    if not outcomes:
        _say("No sealed window has ended since the last time.")


async def _backtest(options: argparse.Namespace, engine: Engine) -> None:
    # The last day is included, as people mean it; a window ends before its end.
    accuracy, start, last = engine.accuracy, _day(options.start), _day(options.until)
    window = TimeWindow(start, last + DAY)
    market = await _market(options, engine, window)
    name = f"{market.exchange}-{market.symbol}-{start:%Y%m%d}-{last:%Y%m%d}.jsonl"
    path = options.file or accuracy.path.parent / "backtest" / name
    with ProgressBar() as bar:
        backtest = Backtest(accuracy, market, window, clock=SystemClock(), progress=bar.show)
        chosen = await backtest.run(path)
    gain = "" if chosen.gain is None else f" ({chosen.gain:+.3f} bits a window there)"
    _say(f"settings chosen on the first half: {chosen.ledger.window} {chosen.ledger.selection}{gain}")
    _say(f"file of the second half: {path}")
    _show(await accuracy.report(path=path, theme=Theme(options.theme)), options.out)


def _show(drawn: DrawnReport, out: Path | None) -> None:
    if drawn.completion:
        _say(drawn.completion)
    _say(drawn.sentence)
    for name, text in drawn.figures:
        _say(f"  {name:<28} {text}")
    for name, text in drawn.earlier:
        _say(f"earlier ledger {name}: {text}")
    if out is not None and drawn.png is not None:
        write_file(out, drawn.png)
        _say(f"  {'picture':<28} {out}")


async def _market(options: argparse.Namespace, engine: Engine, window: TimeWindow) -> Market:
    """Return the market that the symbol means, and say which if it is spelled otherwise."""
    typed = _typed(options)
    async with Listings(engine.settings, clock=SystemClock()) as listings:
        market = await listings.meant(typed, window)
    if completion := meant_text(typed, market):
        _say(completion)
    return market


def _typed(options: argparse.Namespace) -> Market:
    return Market(parse_exchange(options.exchange), parse_symbol(options.symbol))


def _day(text: str) -> datetime:
    try:
        return datetime.combine(datetime.fromisoformat(text).date(), time(), UTC)
    except ValueError:
        raise RequestError(f"{text[:40]!r} is not a day; try 2023-06-25.") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="liqmap ledger", description=_DESCRIPTION)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    seal = commands.add_parser("seal", help="seal the newest map of a symbol")
    seal.add_argument("symbol", metavar="SYMBOL")
    seal.add_argument(
        "--end", metavar="TIME", help="00:00, 08:00 or 16:00 of a day, UTC (default: the newest)"
    )
    commands.add_parser("score", help="compare sealed maps that are over with what came")
    commands.add_parser("verify", help="check that no line was changed")
    report = commands.add_parser("report", help="show what the ledger says")
    report.add_argument("--symbol", metavar="SYMBOL", help="of this symbol only")
    backtest = commands.add_parser("backtest", help="compare maps of past days with published liquidations")
    backtest.add_argument("symbol", metavar="SYMBOL", help="such as BTCUSD_PERP")
    backtest.add_argument("start", metavar="START", help="the first day, such as 2023-06-25")
    backtest.add_argument("until", metavar="END", help="the last day, such as 2024-10-14")
    # One market each: a ledger scores an exchange by its own liquidations.
    for each in (seal, backtest):
        names = [exchange.value for exchange in Exchange]
        each.add_argument("--exchange", choices=names, type=str.lower, default=DEFAULT_EXCHANGE.value)
    for each in (report, backtest):
        each.add_argument("--out", metavar="FILE", type=Path, help="write the picture to this PNG file")
        themes = [theme.value for theme in Theme]
        each.add_argument("--theme", choices=themes, type=str.lower, default=Theme.DARK.value)
    for each in commands.choices.values():
        each.add_argument("--file", metavar="FILE", type=Path, help="the ledger (default: in the store)")
        each.add_argument("--config", metavar="FILE", type=Path, help="settings, as in config.example.toml")
        each.add_argument("--simulated", action="store_true", help="use the built-in invented market")
    return parser


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


_ENGINED = {"seal": _seal, "score": _score, "backtest": _backtest}
