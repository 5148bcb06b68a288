"""What really comes from outside, of each kind: the inputs that are mutated."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from io import BytesIO
from typing import Any

from bot.ops.backup_file import VERSION
from bot.request.spec import MapSpec, encode_spec
from liqmap.model import Exchange
from liqmap.model.series import SeriesKind
from liqmap.simulator.formats import binance_liquidations_zip, binance_zip, bybit_csv_gz
from liqmap.simulator.listings import MarketDay
from liqmap.simulator.market import SimulatedMarket
from liqmap.simulator.okx_messages import okx_zip
from liqmap.simulator.series_formats import (
    binance_candles,
    binance_interest,
    binance_mark_zip,
    binance_metrics_zip,
    bybit_candles,
    bybit_interest,
    okx_candles,
    okx_interest,
)
from tests.bot.conftest import REQUEST
from tests.doors.mutations import in_gzip, in_zip
from tests.liqmap.exchanges.binance import test_live as binance
from tests.liqmap.exchanges.bybit import test_live as bybit
from tests.liqmap.exchanges.okx import samples as okx

DAY = date(2023, 8, 1)
_ROWS = 12


@dataclass(frozen=True)
class Samples:
    """What one exchange sends; what it does not have is left out. `inside` mutates what a file holds."""

    files: dict[str, bytes]
    inside: Any
    messages: Sequence[object]
    newest: Sequence[object]
    listings: Sequence[object]
    times: Sequence[object]
    pages: Sequence[object] = ()
    refusals: Sequence[object] = ()
    risk_limits: Sequence[object] = ()
    volumes: Sequence[object] = ()
    busy: Sequence[object] = ()
    weights: Sequence[str] = ()
    liquidations: bytes = b""
    liquidation_pages: Sequence[object] = ()
    series_files: Mapping[SeriesKind, bytes] = field(default_factory=dict)
    series_pages: Mapping[SeriesKind, object] = field(default_factory=dict)


@cache
def samples_of(exchange: Exchange) -> Samples:
    """Return what an exchange sends. Every exchange has its samples, or nothing shows that it is safe."""
    market = SimulatedMarket(scale=0.001)
    series = market.series_in(market.day("BTCUSDT", DAY))
    match exchange:
        case Exchange.BINANCE:
            return Samples(
                files={name: binance_zip(_day(name)) for name in ("BTCUSDT", "BTCUSD_PERP")},
                inside=in_zip,
                messages=[binance.TRADE, binance.LIQUIDATION, binance.CONTRACT, {"result": None, "id": 3}],
                newest=[[binance.ROW]],
                times=[{"serverTime": 1499827319559}],
                listings=[
                    {"symbols": [{"symbol": name, "status": "TRADING"} for name in ("BTCUSDT", "ETHUSDT")]}
                ],
                pages=[[binance.ROW, binance.ROW | {"a": 3474491308}]],
                refusals=[{"code": -1121, "msg": "Invalid symbol."}],
                volumes=[[{"symbol": "BTCUSDT", "volume": "8913.30000000", "quoteVolume": "15.30000000"}]],
                weights=["120"],
                liquidations=binance_liquidations_zip(
                    SimulatedMarket(scale=0.05).liquidations("BTCUSD_PERP", DAY)
                ),
                series_files={
                    SeriesKind.OPEN_INTEREST: _first_rows(binance_metrics_zip(series)),
                    SeriesKind.MARK_PRICE: _first_rows(binance_mark_zip(series)),
                },
                series_pages={
                    SeriesKind.OPEN_INTEREST: binance_interest(series)[:_ROWS],
                    SeriesKind.MARK_PRICE: binance_candles(series)[:_ROWS],
                },
            )
        case Exchange.BYBIT:
            acknowledged = {"op": "subscribe", "success": False, "ret_msg": "already subscribed"}
            return Samples(
                files={"BTCUSDT": _with_row_twice(bybit_csv_gz(_day("BTCUSDT")))}
                | {"BTCUSD": bybit_csv_gz(_day("BTCUSD"))},
                inside=in_gzip,
                messages=[bybit.TRADES, bybit.LIQUIDATIONS, acknowledged | {"req_id": "3"}],
                newest=[bybit.ANSWER],
                times=[{"retCode": 0, "retMsg": "OK", "result": {}, "time": 1688639403423}],
                listings=[_page(*({"symbol": name, "status": "Trading"} for name in ("BTCUSDT", "BTCUSD")))],
                risk_limits=[_page(*_RISK_LIMITS)],
                series_pages={
                    SeriesKind.OPEN_INTEREST: _page(*bybit_interest(series)[:_ROWS]),
                    SeriesKind.MARK_PRICE: _page(*bybit_candles(series)[:_ROWS]),
                },
                volumes=[
                    _page({"symbol": "BTCUSDT", "turnover24h": "2352949504.6", "volume24h": "49337.318"})
                ],
            )

        case Exchange.OKX:
            return Samples(
                files={"BTCUSDT": okx_zip([_day("BTCUSDT")], "BTCUSDT", DAY)},
                inside=in_zip,
                messages=[okx.TRADE, okx.LIQUIDATION, okx.SUBSCRIBED, okx.NOTICE, okx.REFUSED],
                newest=[okx.answer(okx.ROW)],
                times=[okx.answer({"ts": "1597026383085"})],
                busy=[{"code": "50011", "data": [], "msg": "Too Many Requests"}],
                listings=[okx.answer(okx.INSTRUMENT, okx.INVERSE)],
                pages=[okx.answer(okx.ROW, okx.ROW | {"tradeId": "242720721"})],
                refusals=[okx.UNKNOWN],
                risk_limits=[okx.answer(*okx.TIERS)],
                liquidation_pages=[okx.answer(*okx.LIQUIDATION["data"])],
                series_pages={
                    SeriesKind.OPEN_INTEREST: {"code": "0", "data": okx_interest(series)[:_ROWS]},
                    SeriesKind.MARK_PRICE: {"code": "0", "data": okx_candles(series)[:_ROWS]},
                },
                volumes=[okx.answer({"instId": "BTC-USDT-SWAP", "last": "60000.1", "volCcy24h": "2.5"})],
            )


def encoded(value: object) -> bytes:
    """Return a value as JSON."""
    return json.dumps(value).encode()


def _day(symbol: str) -> MarketDay:
    return SimulatedMarket(scale=0.001).day(symbol, DAY).part(0, _ROWS)


def _with_row_twice(content: bytes) -> bytes:
    """Return a gzip of one table with its last row once more."""
    lines = gzip.decompress(content).splitlines(keepends=True)
    return gzip.compress(b"".join([*lines, lines[-1]]), mtime=0)


def _first_rows(content: bytes) -> bytes:
    """Return a zip of one table with its first rows alone."""
    with zipfile.ZipFile(BytesIO(content)) as archive:
        (name,) = archive.namelist()
        lines = archive.read(name).decode().splitlines()[: _ROWS + 1]
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, "\n".join(lines))
    return file.getvalue()


def _page(*rows: object) -> dict[str, Any]:
    return {"retCode": 0, "result": {"list": list(rows), "nextPageCursor": "a%3Db"}, "time": 1672053054358}


_RISK_LIMITS = [
    {
        "symbol": "BTCUSDT",
        "riskLimitValue": cap,
        "maintenanceMargin": rate,
        "initialMargin": margin,
        "maxLeverage": leverage,
        "mmDeduction": deduction,
    }
    for cap, rate, margin, leverage, deduction in (
        ("300000", "0.0033", "0.0067", "150.00", ""),
        ("2000000", "0.005", "0.01", "100.00", "510"),
    )
]

BRACKET_TABLE = b"# Binance, 2030-01-01\nBTCUSDT 50000,0.004,125 600000,0.005,100\nETHUSDT 50000,0.005,100\n"

CHECKSUM = b"0123456789abcdef" * 4 + b"  BTCUSDT-aggTrades-2023-08-01.zip\n"

_WHO = {"guild_id": 1, "channel_id": 2, "creator_id": 3}
BACKUP = {
    "version": VERSION,
    "subscriptions": [
        _WHO
        | {
            "spec": encode_spec(MapSpec(REQUEST)),
            "every": 3600,
            "style": "new",
            "role_id": None,
            "state": "active",
            "reason": "",
        }
    ],
    "alerts": [
        _WHO
        | {
            "exchange": "bybit",
            "symbol": "BTCUSDT",
            "distance": 0.01,
            "notional": 1e6,
            "cooldown": 3600,
        }
    ],
    "guilds": [
        {
            "guild_id": 1,
            "exchange": "binance",
            "mode": "top_n",
            "value": "100",
            "theme": "dark",
            "leverages": "10,25",
            "channels": [2],
        }
    ],
}
