"""The command line: python -m liqmap BTCUSDT 6h top_n 100 --out DIR."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from contextlib import AsyncExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from liqmap.cli.brackets import brackets
from liqmap.cli.check import check
from liqmap.cli.ledger import ledger
from liqmap.cli.progress import ProgressBar
from liqmap.cli.record import mistyped, record, status
from liqmap.cli.scan import scan
from liqmap.clock import SystemClock
from liqmap.collect.listings import Listings
from liqmap.console import write_any_text
from liqmap.errors import LiqmapError, NotPublished, RequestError, SettingsError
from liqmap.exchanges import EXCHANGES
from liqmap.files import make_folder
from liqmap.model import (
    CHARTS,
    DEFAULT_EXCHANGE,
    PICTURES,
    Exchange,
    LevelFilter,
    MapRequest,
    MarginModel,
    Market,
    PositionModel,
    Progress,
    SweepPrice,
    Theme,
)
from liqmap.parsing import (
    DEFAULT_LEVERAGES,
    check_request,
    parse_end,
    parse_exchanges,
    parse_levels,
    parse_leverages,
    parse_mode,
    parse_model,
    parse_positions,
    parse_selection,
    parse_stack,
    parse_sweep,
    parse_symbol,
    parse_theme,
    parse_turnover,
    parse_window,
)
from liqmap.run.engine import Engine
from liqmap.settings import load_settings
from liqmap.text import (
    CHART_TEXTS,
    age_text,
    asked_words,
    band_text,
    completion_text,
    coverage_text,
    exchanges_text,
    gap_text,
    interest_shares_text,
    interest_warnings,
    lacking_text,
    last_price_text,
    left_out_text,
    margin_text,
    market_text,
    money,
    price_step,
    realised_text,
    share_text,
    standing_text,
    unswept_text,
    window_text,
)
from liqmap.version import __version__
from liqmap.window import TimeWindow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from liqmap.model import Coverage, MapSummary, MarginBasis, MarketSummary, PositionBasis
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


_SUBCOMMANDS: Final = {
    "brackets": brackets,
    "check": check,
    "ledger": ledger,
    "record": record,
    "scan": scan,
    "status": status,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command in `arguments` and return the exit code.

    0: done. 1: failed. 2: the arguments or the settings are wrong. 130: interrupted. One sentence on stderr
    gives the reason.
    """
    write_any_text()
    words = sys.argv[1:] if arguments is None else arguments
    try:
        subcommand = _SUBCOMMANDS.get(words[0]) if words else None
        return _map(words) if subcommand is None else subcommand(words[1:])
    except LiqmapError as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, SettingsError) else 1
    except KeyboardInterrupt:
        return 130


def _map(words: Sequence[str]) -> int:
    options = _parser().parse_args(words)
    settings = load_settings(options.config)
    try:
        request = _request(options, settings)
    except RequestError as error:
        return mistyped(error)
    make_folder(options.out)  # fail before minutes are spent on a map that could not be saved
    result, files = asyncio.run(_draw(request, options, settings))
    write = _as_json if options.json else _as_text
    sys.stdout.write(write(result, files, typed=request.market))
    return 0


async def _draw(
    request: MapRequest, options: argparse.Namespace, settings: Settings
) -> tuple[MapResult, dict[str, Path]]:
    async with AsyncExitStack() as stack:
        bar = stack.enter_context(ProgressBar())
        bar.show(Progress(f"Looking up {request.market.symbol}"))
        if options.simulated:
            from liqmap.simulator import GENEROUS, MarketServer, SimulatedMarket  # noqa: PLC0415 - takes half a second, rarely needed

            server = await stack.enter_async_context(MarketServer(SimulatedMarket(), weight_limit=GENEROUS))
            settings = server.redirect(settings)
        listings = await stack.enter_async_context(Listings(settings, clock=SystemClock()))
        engine = await stack.enter_async_context(Engine(settings, draws_here=True))
        request = await listings.completed(request)
        try:
            result = await engine.draw(request, progress=bar.show)
        except (RequestError, NotPublished) as error:
            raise await listings.suggesting(error, request, typed=options.symbol) from None
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
    parser.add_argument("value", nargs="?", help="value of the mode (defaults: 100, 100k, 1%%)")
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
    return parser


def _request(options: argparse.Namespace, settings: Settings) -> MapRequest:
    leverages, weights = parse_leverages(options.leverages)
    end = parse_end(options.end, now=datetime.now(UTC))
    symbol = parse_symbol(options.symbol)
    request = MapRequest(
        markets=tuple(Market(each, symbol) for each in parse_exchanges(options.exchange)),
        window=TimeWindow.ending(end, parse_window(options.window)),
        selection=parse_selection(parse_mode(options.mode), options.value),
        theme=parse_theme(options.theme),
        levels_csv=options.csv,
        pictures=PICTURES.union(options.charts),
        model=parse_model(options.model),
        levels=parse_levels(options.levels),
        sweep=parse_sweep(options.sweep),
        positions=parse_positions(options.positions),
        turnover=parse_turnover(options.turnover),
        leverages=leverages,
        weights=weights,
        each=options.each,
        merge=options.merge,
        stack=None if options.stack is None else parse_stack(options.stack),
    )
    return check_request(request, max_days=settings.engine.max_window_days)


def _as_text(result: MapResult, files: dict[str, Path], *, typed: Market) -> str:
    request, summary, coverage = result.request, result.summary, result.coverage
    simulated = "  SIMULATED DATA" if coverage.simulated else ""
    selected = (
        f"{summary.selected_buy + summary.selected_sell:,} of {summary.trades:,} trades,"
        f" {money(summary.selected_notional_buy)} bought, {money(summary.selected_notional_sell)} sold"
    )
    step = price_step(summary.last_price, bucket_size=summary.bucket_size)
    completion = completion_text(typed, request.market)
    rows = [
        *([("symbol", completion)] if completion else []),
        ("window", window_text(request.window)),
        ("data", " · ".join(filter(None, (coverage_text(coverage), age_text(coverage), *coverage.sources)))),
        ("last price", last_price_text(summary.last_price, coverage, step=step)),
        ("selected", selected),
        (
            "longs below",
            standing_text(summary.standing_long, summary.nearest_long, summary.largest_long, step=step),
        ),
        (
            "shorts above",
            standing_text(summary.standing_short, summary.nearest_short, summary.largest_short, step=step),
        ),
        ("swept since", f"{money(summary.swept_long)} of longs, {money(summary.swept_short)} of shorts"),
        *([("too large", f"{money(summary.unplaced)}, for these leverages")] if summary.unplaced else []),
        *(("note", each) for each in filter(None, [unswept_text(result.coverages, summary.margin.sweep)])),
        *_interest_rows(summary),
        *([("liquidated", realised_text(summary.realised))] if summary.realised else []),
        *((f"within {share_text(band.distance)}", band_text(band, summary)) for band in summary.bands),
        *((EXCHANGES[each.market.exchange].label, market_text(each)) for each in summary.by_market),
        *(("left out", left_out_text(each)) for each in summary.left_out),
        *((name, str(path)) for name, path in files.items()),
    ]
    market = f"{request.market.symbol} on {exchanges_text(request.markets)}"
    title = f"{market}, {', '.join(asked_words(request))}{simulated}"
    lines = [title, *(f"  {name:<13} {text}" for name, text in rows)]
    lines.append(f"  Estimated from trades by the {margin_text(summary.margin)}; not financial advice.")
    return "\n".join(lines) + "\n"


def _interest_rows(summary: MapSummary) -> list[tuple[str, str]]:
    """Return what open interest says of a map."""
    rows = []
    if summary.margin.positions is not None:
        rows.append(("not opened", f"{money(summary.not_opened)}, and {money(summary.closed)} closed since"))
    interest = summary.open_interest
    if interest is not None:
        rows.append(("open interest", interest_shares_text(interest)))
    return [*rows, *(("note", each) for each in interest_warnings(interest, summary.margin.positions))]


def _as_json(result: MapResult, files: dict[str, Path], *, typed: Market) -> str:
    request, summary = result.request, result.summary
    report: dict[str, Any] = {
        "request": {
            "typed": typed.symbol,
            "exchange": request.market.exchange,
            "symbol": request.market.symbol,
            "markets": [{"exchange": each.exchange, "symbol": each.symbol} for each in request.markets],
            "start": request.window.start.isoformat(),
            "end": request.window.end.isoformat(),
            "mode": request.selection.mode,
            "value": request.selection.value,
            "model": request.model,
            "leverages": request.leverages,
            "weights": request.weights,
            "levels": request.levels,
            "theme": request.theme,
            "each": request.each,
            "merge": request.merge,
        },
        "files": {name: str(path) for name, path in files.items()},
        "last_price": summary.last_price,
        "trades": summary.trades,
        "selected": {"buy": summary.selected_buy, "sell": summary.selected_sell},
        "selected_notional": {"buy": summary.selected_notional_buy, "sell": summary.selected_notional_sell},
        "standing_notional": {"long": summary.standing_long, "short": summary.standing_short},
        "swept_notional": {"long": summary.swept_long, "short": summary.swept_short},
        "unplaced_notional": summary.unplaced,
        "not_opened_notional": summary.not_opened,
        "closed_notional": summary.closed,
        "open_interest": summary.open_interest
        and {**asdict(summary.open_interest), "share_standing": summary.open_interest.share_standing},
        "clusters": {
            name: None if cluster is None else asdict(cluster)
            for name, cluster in (
                ("nearest_long", summary.nearest_long),
                ("largest_long", summary.largest_long),
                ("nearest_short", summary.nearest_short),
                ("largest_short", summary.largest_short),
            )
        },
        "by_exchange": [_market_report(each) for each in summary.by_market],
        "left_out": [
            {"exchange": each.market.exchange, "kind": each.kind, "reason": left_out_text(each)}
            for each in summary.left_out
        ],
        "bands": [asdict(band) for band in summary.bands],
        "long_share": summary.long_share,
        "margin": _margin_report(summary.margin),
        "liquidated": summary.realised and asdict(summary.realised),
        "coverage": _coverage_report(result.coverage),
        "timings_ms": {name: round(value, 3) for name, value in result.timings_ms.items()},
    }
    return json.dumps(report, allow_nan=False) + "\n"


def _market_report(summary: MarketSummary) -> dict[str, Any]:
    return {
        "exchange": summary.market.exchange,
        "symbol": summary.market.symbol,
        "last_price": summary.last_price,
        "trades": summary.trades,
        "selected": {"buy": summary.selected_buy, "sell": summary.selected_sell},
        "selected_notional": {"buy": summary.selected_notional_buy, "sell": summary.selected_notional_sell},
        "standing_notional": {"long": summary.standing_long, "short": summary.standing_short},
        "swept_notional": {"long": summary.swept_long, "short": summary.swept_short},
        "unplaced_notional": summary.unplaced,
        "margin": _margin_report(summary.margin),
        "coverage": _coverage_report(summary.coverage),
    }


def _margin_report(basis: MarginBasis) -> dict[str, Any]:
    rule = basis.rule
    return {
        "model": basis.model,
        "since": rule and rule.since and rule.since.isoformat(),
        "until": rule and rule.until and rule.until.isoformat(),
        "brackets": basis.brackets and basis.brackets.isoformat(),
        "earliest": basis.earliest,
        "source": basis.source,
        "positions": basis.positions and _positions_report(basis.positions),
        "sweep": basis.sweep and {"price": basis.sweep.price, "share": basis.sweep.share},
        "note": lacking_text(basis) or "",
    }


def _positions_report(basis: PositionBasis) -> dict[str, Any]:
    return {
        "turnover": basis.turnover,
        "judged_intervals": basis.judged,
        "unfit_intervals": basis.unfit,
        "known_from": basis.known_from and basis.known_from.isoformat(),
    }


def _coverage_report(coverage: Coverage) -> dict[str, Any]:
    missing = [
        {
            "start": gap.window.start.isoformat(),
            "end": gap.window.end.isoformat(),
            "kind": gap.kind,
            "reason": gap_text(gap),
        }
        for gap in coverage.missing
    ]
    return {
        "fraction": coverage.fraction,
        "missing": missing,
        "lost_ids": coverage.lost_ids,
        "zero_sizes": coverage.zero_sizes,
        "unverified": coverage.unverified,
        "sources": coverage.sources,
        "last_trade": coverage.last_trade and coverage.last_trade.isoformat(),
        "whole_end": coverage.whole_end and coverage.whole_end.isoformat(),
        "simulated": coverage.simulated,
    }
