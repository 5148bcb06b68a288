import asyncio
import csv
import gzip
import hashlib
import io
import zipfile
from collections.abc import Sequence
from datetime import date

import aiohttp
import numpy as np
import pytest

from liqmap.settings import Settings
from liqmap.simulator import Fault, MarketDay, MarketServer, SimulatedMarket

DAY = date(2023, 8, 1)
MARKET = SimulatedMarket(scale=0.001)
ZIP = "/data/futures/um/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2023-08-01.zip"
GZ = "/trading/SHIBUSDT/SHIBUSDT2023-08-01.csv.gz"


async def fetch(
    url: str, *, skip: Sequence[str] = (), patience: float | None = None
) -> tuple[int, bytes, dict[str, str]]:
    timeout = aiohttp.ClientTimeout(sock_read=patience)
    async with (
        aiohttp.ClientSession(timeout=timeout, skip_auto_headers=skip) as session,
        session.get(url) as response,
    ):
        return response.status, await response.read(), dict(response.headers)


async def test_binance_zip_holds_the_market_s_day():
    async with MarketServer(MARKET) as server:
        status, body, headers = await fetch(server.binance_url + ZIP)
        _, checksum, _ = await fetch(server.binance_url + ZIP + ".CHECKSUM")
    assert status == 200
    assert headers["X-Simulated-Market"] == "1"
    assert checksum.decode() == f"{hashlib.sha256(body).hexdigest()}  BTCUSDT-aggTrades-2023-08-01.zip\n"
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.namelist() == ["BTCUSDT-aggTrades-2023-08-01.csv"]
        rows = list(csv.DictReader(io.TextIOWrapper(archive.open(archive.namelist()[0]))))
    day = MARKET.day("BTCUSDT", DAY)
    assert [float(row["price"]) for row in rows] == day.trades.price.tolist()
    assert [int(row["transact_time"]) for row in rows] == day.trades.time.tolist()
    assert [int(row["agg_trade_id"]) for row in rows] == day.ids.tolist()
    assert [row["is_buyer_maker"] == "false" for row in rows] == day.trades.is_buy.tolist()


async def test_binance_liquidations_stand_twice_and_only_of_days_that_had_files():
    path = "/data/futures/cm/daily/liquidationSnapshot/BTCUSD_PERP/BTCUSD_PERP-liquidationSnapshot-{}.zip"
    async with MarketServer(MARKET) as server:
        status, body, _ = await fetch(server.binance_url + path.format(DAY))
        others = [
            await fetch(server.binance_url + wrong)
            for wrong in (
                path.format("2023-06-24"),
                path.format("2024-10-15"),
                path.format(DAY).replace("BTCUSD_PERP", "BTCUSDT"),
            )
        ]
    assert status == 200
    assert [status for status, *_ in others] == [404] * 3
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        rows = archive.read(f"BTCUSD_PERP-liquidationSnapshot-{DAY}.csv").decode().splitlines()[1:]
    reported = MARKET.liquidations("BTCUSD_PERP", DAY).latest_a_second()
    assert [int(row.partition(",")[0]) for row in rows[::2]] == reported.time.tolist()
    assert rows[::2] == rows[1::2]


async def test_bybit_gz_holds_the_market_s_day_in_plain_decimals():
    async with MarketServer(MARKET) as server:
        status, body, _ = await fetch(server.bybit_url + GZ)
    assert status == 200
    rows = list(csv.DictReader(io.StringIO(gzip.decompress(body).decode())))
    trades = MARKET.day("SHIBUSDT", DAY).trades
    assert [float(row["price"]) for row in rows] == trades.price.tolist()
    assert all("e" not in row["price"] and len(row["price"].partition(".")[2]) == 8 for row in rows)
    times = np.floor([float(row["timestamp"]) * 1000 + 0.01 for row in rows])
    assert times.tolist() == trades.time.tolist()
    assert len({row["trdMatchID"] for row in rows}) == len(rows)


@pytest.mark.parametrize(
    "path", [ZIP.replace("08-01", "08-03"), ZIP.replace("BTC", "NOPE"), ZIP.replace("08-01", "13-01"), "/"]
)
async def test_binance_misses_files_in_xml(path: str):
    async with MarketServer(MARKET, published_until=date(2023, 8, 2)) as server:
        status, body, headers = await fetch(server.binance_url + path)
    assert status == 404
    assert b"<Code>NoSuchKey</Code>" in body
    assert headers["Content-Type"].startswith("application/xml")


async def test_bybit_misses_files_and_refuses_strangers():
    async with MarketServer(MARKET) as server:
        assert (await fetch(server.bybit_url + GZ.replace("SHIB", "NOPE")))[0] == 404
        assert (await fetch(server.bybit_url + GZ, skip=["User-Agent"]))[0] == 403


async def test_day_requested_twice_at_once_is_made_once():
    made = []

    class Counting(SimulatedMarket):
        def day(self, symbol: str, day: date) -> MarketDay:
            made.append((symbol, day))
            return MARKET.day(symbol, day)

    async with MarketServer(Counting()) as server:
        bodies = await asyncio.gather(*(fetch(server.binance_url + ZIP) for _ in range(5)))
        assert server.requests[f"/binance{ZIP}"] == 5
    assert len({body for _, body, _ in bodies}) == 1
    assert made == [("BTCUSDT", DAY)]


@pytest.mark.parametrize(
    ("fault", "status", "headers"),
    [
        (Fault.NOT_FOUND, 404, {}),
        (Fault.TOO_MANY, 429, {"Retry-After": "0"}),
        (Fault.BANNED, 429, {"Retry-After": "3600"}),
        (Fault.UNAVAILABLE, 503, {}),
        (Fault.FORBIDDEN, 403, {}),
    ],
)
async def test_fault_of_status_is_shown_as_often_as_planned(
    fault: Fault, status: int, headers: dict[str, str]
):
    async with MarketServer(MARKET) as server:
        server.plan("aggTrades", fault, times=2)
        answers = [await fetch(server.binance_url + ZIP) for _ in range(3)]
    assert [answer[0] for answer in answers] == [status, status, 200]
    assert headers.items() <= answers[0][2].items()


@pytest.mark.parametrize("fault", [Fault.TRUNCATE, Fault.CUT])
async def test_fault_breaks_off_the_body(fault: Fault):
    async with MarketServer(MARKET) as server:
        server.plan("aggTrades", fault)
        with pytest.raises(aiohttp.ClientError):
            await fetch(server.binance_url + ZIP)
        assert (await fetch(server.binance_url + ZIP))[0] == 200


async def test_fault_stalls_until_the_client_gives_up():
    async with MarketServer(MARKET) as server:
        server.plan("aggTrades", Fault.STALL)
        with pytest.raises(TimeoutError):
            await fetch(server.binance_url + ZIP, patience=0.1)


async def test_faults_spoil_the_content():
    async with MarketServer(MARKET) as server:
        sound = (await fetch(server.binance_url + ZIP))[1]
        server.plan("zip$", Fault.CORRUPT)
        assert (await fetch(server.binance_url + ZIP))[1] != sound
        server.plan("CHECKSUM", Fault.WRONG_CHECKSUM)
        assert (await fetch(server.binance_url + ZIP + ".CHECKSUM"))[1].startswith(b"0" * 64 + b"  BTC")
        server.plan("gz", Fault.EMPTY)
        assert gzip.decompress((await fetch(server.bybit_url + GZ))[1]) == b""
        server.plan("gz", Fault.HTML)
        assert b"<html>" in (await fetch(server.bybit_url + GZ))[1]


async def test_redirect_changes_addresses_and_keeps_simulated_trades_apart():
    settings = Settings()
    async with MarketServer(MARKET) as server:
        redirected = server.redirect(settings)
        assert redirected.exchanges.binance.archive_url == server.binance_url
        assert redirected.exchanges.bybit.archive_url == server.bybit_url
    assert redirected.storage.path == settings.storage.path / "simulated"
    assert redirected.engine == settings.engine
