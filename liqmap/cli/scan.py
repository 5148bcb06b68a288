"""The subcommand `liqmap scan`: where in the market price is nearest to a large cluster."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from liqmap.clock import SystemClock
from liqmap.collect.listings import Listings
from liqmap.compute.scan import MOST_LISTED, ScanRequest
from liqmap.errors import RequestError
from liqmap.files import write_file
from liqmap.model import Exchange, Market, Theme
from liqmap.model.window import HOUR
from liqmap.parsing import (
    POPULAR_SYMBOLS,
    parse_distance,
    parse_end,
    parse_exchange,
    parse_side,
    parse_symbol,
)
from liqmap.run.engine import Engine
from liqmap.run.simulated import simulated_market
from liqmap.settings import load_settings
from liqmap.text import counted, market_name, meant_text, scanned_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from liqmap.compute.scan import NearCluster, ScannedMarket, ScanResult
    from liqmap.settings import Settings

_SIMULATED_SCALE = 0.02  # share of the usual number of trades: enough to show a scan, and invented fast
_SIMULATED_SYMBOLS = POPULAR_SYMBOLS[:5]


def scan(words: Sequence[str]) -> int:
    """Run `liqmap scan` and return the exit code, 2 if the arguments are wrong."""
    options = _parser().parse_args(words)
    settings = load_settings(options.config)
    try:
        request = _request(options)
    except RequestError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    result = asyncio.run(_scanned(request, settings, simulated=options.simulated))
    path = options.out and options.out / f"liqmap_scan_{request.end:%Y-%m-%d_%H-%M}.png"
    if path:
        write_file(path, result.picture)
    sys.stdout.write(_as_json(result, path) if options.json else _as_text(result, path))
    return 0


async def _scanned(request: ScanRequest, settings: Settings, *, simulated: bool) -> ScanResult:
    async with AsyncExitStack() as stack:
        if simulated:
            # Scaled trades must not stay in the store, where full ones are expected.
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="liqmap-")))
            storage = settings.storage.model_copy(update={"path": folder})
            settings = settings.model_copy(update={"storage": storage})
            settings = await stack.enter_async_context(simulated_market(settings, scale=_SIMULATED_SCALE))
        listings = await stack.enter_async_context(Listings(settings, clock=SystemClock()))
        engine = await stack.enter_async_context(Engine(settings))
        meant = [await listings.meant(each, request.window) for each in request.markets]
        for typed, market in zip(request.markets, meant, strict=True):
            if completion := meant_text(typed, market):
                # On stderr, where it does not spoil the JSON.
                sys.stderr.write(f"{completion}\n")
        # Two spellings of one market, such as btc and BTCUSDT, are scanned once.
        return await engine.scan(replace(request, markets=tuple(dict.fromkeys(meant))))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="liqmap scan",
        description="Show where in the market price is nearest to a large cluster of estimated liquidations.",
    )
    parser.add_argument(
        "symbols", nargs="*", metavar="SYMBOL", help="what to scan (default: all that is recorded)"
    )
    parser.add_argument(
        "--exchange",
        choices=[each.value for each in Exchange],
        type=str.lower,
        help="scan this exchange only (default: all)",
    )
    parser.add_argument(
        "--side", metavar="SIDE", help="the clusters of one side only, long or short (default: both)"
    )
    parser.add_argument(
        "--top",
        metavar="N",
        type=int,
        default=10,
        help=f"how many markets, up to {MOST_LISTED} (default: 10)",
    )
    parser.add_argument(
        "--within", metavar="SHARE", default="5%", help="the largest distance from the price (default: 5%%)"
    )
    parser.add_argument(
        "--end", metavar="TIME", help='end of the 24 hours in UTC, "2023-08-01 06:00" (default: now)'
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="folder for the picture (default: none is written)"
    )
    parser.add_argument(
        "--theme", choices=[each.value for each in Theme], default=Theme.DARK.value, type=str.lower,
        help="colours of the picture (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.add_argument("--config", metavar="FILE", type=Path, help="settings, as in config.example.toml")
    parser.add_argument("--simulated", action="store_true", help="scan the built-in invented market")
    return parser


def _request(options: argparse.Namespace) -> ScanRequest:
    now = datetime.now(UTC)
    exchanges = frozenset([parse_exchange(options.exchange)] if options.exchange else Exchange)
    names, end = options.symbols, parse_end(options.end, now=now)
    if options.simulated:
        # Nothing has been recorded in the invented market, so there is no "all" to scan.
        names = names or _SIMULATED_SYMBOLS
        # Every exchange has published a day that is over, so nothing has to be recorded first.
        end = end if options.end else now.replace(hour=0, minute=0, second=0, microsecond=0)
    return ScanRequest(
        end=end,
        markets=tuple(
            Market(exchange, parse_symbol(name)) for name in names for exchange in sorted(exchanges)
        ),
        exchanges=exchanges,
        side=parse_side(options.side),
        within=parse_distance(options.within, example="5%"),
        top=options.top,
        theme=Theme(options.theme),
    )


def _as_text(result: ScanResult, path: Path | None) -> str:
    request = result.request
    simulated = "  SIMULATED DATA" if any(each.simulated for each in result.markets) else ""
    hours = request.window.length // HOUR
    until = f"{request.end:%Y-%m-%d %H:%M} UTC"
    head = f"{counted(result.scanned, 'market')}, the {hours} hours until {until}{simulated}"
    lines = [head, *(_line(each, result) for each in result.markets)]
    if not result.markets:
        lines.append(
            f"  No large cluster is within {request.within:.2%} of its price; try a larger --within."
        )
    lines += [f"  {market_name(market)}: {problem}" for market, problem in result.failed]
    if path:
        lines.append(f"  picture: {path}")
    lines.append("  Estimated from trades; not financial advice.")
    return "\n".join(lines) + "\n"


def _line(each: ScannedMarket, result: ScanResult) -> str:
    return f"  {market_name(each.market):<26} {scanned_text(each, each.clusters(result.request.side))}"


def _as_json(result: ScanResult, path: Path | None) -> str:
    report: dict[str, Any] = {
        "start": result.request.window.start.isoformat(),
        "end": result.request.end.isoformat(),
        "scanned": result.scanned,
        "simulated": any(each.simulated for each in result.markets),
        "markets": [_market_report(each, end=result.request.end) for each in result.markets],
        "failed": [
            {"exchange": market.exchange, "symbol": market.symbol, "reason": problem}
            for market, problem in result.failed
        ],
        "file": path and str(path),
    }
    return json.dumps(report, allow_nan=False) + "\n"


def _market_report(each: ScannedMarket, *, end: datetime) -> dict[str, Any]:
    return {
        "exchange": each.market.exchange,
        "symbol": each.market.symbol,
        "last_price": each.last_price,
        "last_trade": (end - each.price_age).isoformat(),
        "is_current": each.is_current,
        "covered": each.covered,
        "hourly_volatility": each.volatility,
        "hour_notional": each.hour_notional,
        "long": _cluster_report(each.long),
        "short": _cluster_report(each.short),
    }


def _cluster_report(cluster: NearCluster | None) -> dict[str, Any] | None:
    return None if cluster is None else asdict(cluster)
