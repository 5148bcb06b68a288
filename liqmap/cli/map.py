"""The command that draws a map: liqmap BTCUSDT 6h top_n 100."""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from liqmap.cli.map_json import as_json
from liqmap.cli.map_text import as_text
from liqmap.cli.progress import ProgressBar
from liqmap.clock import SystemClock
from liqmap.collect.listings import Listings
from liqmap.errors import RequestError
from liqmap.files import make_folder
from liqmap.model import (
    CHARTS,
    DEFAULT_EXCHANGE,
    PICTURES,
    Exchange,
    LevelFilter,
    MapRequest,
    MarginModel,
    PositionModel,
    Progress,
    SweepPrice,
    Theme,
)
from liqmap.parsing import DEFAULT_LEVERAGES, parse_mode, parse_selection
from liqmap.run.engine import Engine
from liqmap.run.simulated import simulated_market
from liqmap.run.typed import MapOptions, draw_typed, parse_request
from liqmap.settings import load_settings
from liqmap.text import CHART_TEXTS
from liqmap.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from liqmap.run.result import MapResult
    from liqmap.settings import Settings

_MODEL_NAMES = ", ".join(each for each in MarginModel if each is not MarginModel.EXCHANGE)

_EXAMPLES = """examples:
  liqmap BTCUSDT 6h top_n 100                                 the last six hours
  liqmap eth 3d gross_value 100k --end "2023-08-01 06:00"     three days until then (UTC)
  liqmap BTCUSDT 1d portion 1% --exchange bybit --json        numbers for programs
  liqmap BTCUSDT 6h --exchange all                            one map of all exchanges
  liqmap BTCUSDT 6h --simulated                               an invented market, no network
  liqmap record BTCUSDT ETHUSDT                               record their trades from now on; see --help
  liqmap status                                               what is recorded, and its gaps
  liqmap ledger report                                        how well earlier maps did; see --help
  liqmap scan                                                 where a large cluster is nearest
  liqmap brackets                                             fetch the leverage brackets of now
  liqmap check --deep                                         look whether stored trades are as written
"""


def map_command(words: Sequence[str]) -> int:
    """Draw the map that `words` describe and return the exit code, 2 if they are wrong."""
    options = _parser().parse_args(words)
    settings = load_settings(options.config)
    # Checked before anything is opened, so that a typing mistake is answered at once.
    try:
        request = _request(options, settings)
    except RequestError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    make_folder(options.out)  # fails before minutes are spent on a map that could not be saved
    result, files = asyncio.run(_draw(request, options, settings))
    write = as_json if options.json else as_text
    sys.stdout.write(write(result, files, typed=request.markets))
    return 0


async def _draw(
    request: MapRequest, options: argparse.Namespace, settings: Settings
) -> tuple[MapResult, dict[str, Path]]:
    async with AsyncExitStack() as stack:
        bar = stack.enter_context(ProgressBar())
        # The first words, because the lists of symbols may have to be fetched.
        bar.show(Progress(f"Looking up {request.market.symbol}"))
        if options.simulated:
            settings = await stack.enter_async_context(simulated_market(settings))
        listings = await stack.enter_async_context(Listings(settings, clock=SystemClock()))
        # For one map, starting worker processes would take longer than drawing in this one.
        engine = await stack.enter_async_context(Engine(settings, draws_here=True))
        result = await draw_typed(
            request, engine=engine, listings=listings, typed=options.symbol, progress=bar.show
        )
    return result, result.save(options.out)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="liqmap",
        description="Draw a liquidation map and its depth chart from the trades of a futures exchange.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("symbol", help="such as BTCUSDT, btc or BTC/USDT")
    parser.add_argument("window", help="length of time: 90m, 6h, 7d, 1d12h")
    parser.add_argument("mode", nargs="?", default="top_n", help="top_n (default), gross_value or portion")
    # argparse formats help texts, so a percent sign is written twice.
    parser.add_argument("value", nargs="?", help="value of the mode (defaults: 100, 100k, 1%%)")
    _add_exchanges(parser)
    _add_positions(parser)
    _add_output(parser)
    return parser


# Options are free text rather than argparse's choices: `liqmap.parsing` takes other spellings as well, and
# refuses what it does not know in the same words as the bot.
def _add_exchanges(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--exchange",
        metavar="NAMES",
        default=DEFAULT_EXCHANGE.value,
        help=f"where the trades were made: {', '.join(Exchange)}, several of them as one map (binance,okx),"
        " or all (default: %(default)s)",
    )
    parser.add_argument(
        "--each", action="store_true", help="of several exchanges: select on each one, not among all trades"
    )
    parser.add_argument(
        "--stack", metavar="BY", help="of several exchanges: stack bars by exchange (default) or leverage"
    )
    parser.add_argument(
        "--merge",
        action=argparse.BooleanOptionalAction,
        help="put the fills of one order together, where an exchange publishes fills (default: if there are"
        " several exchanges)",
    )


def _add_positions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        metavar="NAME",
        default=MarginModel.EXCHANGE.value,
        help=f"margin model: {_MODEL_NAMES}, or the exchange's own (default)",
    )
    parser.add_argument(
        "--leverages",
        metavar="LIST",
        default=DEFAULT_LEVERAGES,
        help="2 to 150, optionally with weights: 10:35,25:30,50:20,100:15 (default: 10,25,50,100)",
    )
    parser.add_argument(
        "--levels",
        metavar="WHICH",
        default=LevelFilter.STANDING.value,
        help="standing (default), or all: also those that the price has touched since",
    )
    parser.add_argument(
        "--sweep",
        metavar="PRICE",
        default=SweepPrice.AUTO.value,
        help="price that sweeps levels: traded, mark, or mark where it is known (default)",
    )
    parser.add_argument(
        "--positions",
        metavar="MODEL",
        default=PositionModel.TRADES.value,
        help="what stands: all that was not swept (trades, default), or what open-interest leaves",
    )
    parser.add_argument(
        "--turnover",
        metavar="SHARE",
        default="0",
        help="of open interest: part of the offsetting volume that is turnover, 0 (default), 0.5, 1",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--end", metavar="TIME", help='end of the window in UTC, "2023-08-01 06:00" (default: now)'
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default=Path(), help="folder for the files (default: here)"
    )
    parser.add_argument("--csv", action="store_true", help="also write every level as CSV")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    for chart in CHARTS:
        parser.add_argument(
            f"--{chart}",
            dest="charts",
            action="append_const",
            const=chart,
            default=[],
            help=f"also draw a {chart}: {CHART_TEXTS[chart]}",
        )
    parser.add_argument(
        "--theme",
        choices=[each.value for each in Theme],
        default=Theme.DARK.value,
        type=str.lower,
        help="colours of the pictures (default: %(default)s)",
    )
    parser.add_argument("--config", metavar="FILE", type=Path, help="settings, as in config.example.toml")
    parser.add_argument("--simulated", action="store_true", help="use the built-in invented market")
    parser.add_argument("--version", action="version", version=f"liqmap {__version__}")


def _request(options: argparse.Namespace, settings: Settings) -> MapRequest:
    chosen: MapOptions = {
        "end": options.end,
        "exchange": options.exchange,
        "pictures": PICTURES.union(options.charts),
        "leverages": options.leverages,
        "model": options.model,
        "levels": options.levels,
        "sweep": options.sweep,
        "positions": options.positions,
        "turnover": options.turnover,
        "each": options.each,
        "merge": options.merge,
        "stack": options.stack,
        "theme": options.theme,
    }
    selection = parse_selection(parse_mode(options.mode), options.value)
    days = settings.engine.max_window_days
    request = parse_request(options.symbol, options.window, selection, chosen, max_days=days)
    return replace(request, levels_csv=options.csv)
