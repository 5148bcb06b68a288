from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web

from liqmap.errors import DataError, NotPublished
from liqmap.net.download import Downloaded, download, published_checksum
from liqmap.net.pace import Sleep
from liqmap.net.session import open_session
from liqmap.settings import DownloadSettings, NetworkSettings
from liqmap.simulator import Fault, MarketServer, SimulatedClock, SimulatedMarket
from tests.liqmap.market_time import driven
from tests.liqmap.net.dripping import HEAD, dripping
from tests.served import served

NETWORK = NetworkSettings(attempts=3, retry_wait=0, retry_wait_max=10, stall_timeout=20)
SETTINGS = DownloadSettings()
START = datetime(2023, 8, 3, tzinfo=UTC)
ZIP = "/data/futures/um/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2023-08-01.zip"


async def fetch(
    server: MarketServer,
    folder: Path,
    *,
    network: NetworkSettings = NETWORK,
    settings: DownloadSettings = SETTINGS,
    checked: bool = True,
    sleep: Sleep = asyncio.sleep,
    on_bytes: Callable[[int, int | None], None] | None = None,
) -> Downloaded:
    url = server.binance_url + ZIP
    async with open_session(network, sleep=sleep) as session:
        return await download(
            session,
            url,
            folder / "day.zip",
            settings=settings,
            checksum_url=f"{url}.CHECKSUM" if checked else None,
            on_bytes=on_bytes,
        )


@pytest.fixture
async def server():
    async with MarketServer(SimulatedMarket(scale=0.01)) as running:
        yield running


async def test_file_without_a_checksum_is_unverified(server: MarketServer, tmp_path: Path):
    server.plan("CHECKSUM$", Fault.NOT_FOUND)
    found = await fetch(server, tmp_path)
    assert found.unverified
    assert found.sha256 == hashlib.sha256(found.path.read_bytes()).hexdigest()
    assert server.requests[f"/binance{ZIP}.CHECKSUM"] == 1


async def test_missing_file_raises_not_published_with_and_without_a_checksum(
    server: MarketServer, tmp_path: Path
):
    for pattern in ("zip", "zip$"):
        server.plan(pattern, Fault.NOT_FOUND, times=2)
        with pytest.raises(NotPublished, match="has no file BTCUSDT-aggTrades"):
            await fetch(server, tmp_path)


@pytest.mark.parametrize(
    "written",
    [
        "{sha}  {name}\n",
        "{sha} *{name}",
        "\ufeff{sha}  {name}\r\n",
        "{SHA}  {name}",
        "{sha}  币安人生USDT.zip",
    ],
)
async def test_checksum_is_read_as_the_tools_write_it(written: str):
    sha = hashlib.sha256(b"day").hexdigest()
    text = written.format(sha=sha, SHA=sha.upper(), name="day.zip")

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=text.encode())

    app = web.Application()
    app.router.add_get("/day.zip.CHECKSUM", answer)
    async with served(app) as url, open_session(NETWORK) as session:
        assert await published_checksum(session, f"{url}/day.zip.CHECKSUM", settings=SETTINGS) == sha
        assert await published_checksum(session, f"{url}/other", settings=SETTINGS) is None


@pytest.mark.parametrize(
    "text", ["", "{sha}", "{sha}\n", "no such", "{sha}0  x", "{sha}  a\nb", "x {sha}  a", "x" * 2000]
)
async def test_unreadable_checksum_raises_one_sentence(text: str):
    body = text.format(sha="ab" * 32).encode()

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body)

    app = web.Application()
    app.router.add_get("/CHECKSUM", answer)
    async with served(app) as url, open_session(NETWORK) as session:
        with pytest.raises(DataError, match="sent a checksum that cannot be read"):
            await published_checksum(session, f"{url}/CHECKSUM", settings=SETTINGS)


async def test_file_arrives_verified_and_marked_as_simulated(server: MarketServer, tmp_path: Path):
    reported: list[tuple[int, int | None]] = []
    found = await fetch(server, tmp_path, on_bytes=lambda done, total: reported.append((done, total)))
    body = found.path.read_bytes()
    assert found.sha256 == hashlib.sha256(body).hexdigest()
    assert found.size == len(body) == reported[-1][0] == reported[-1][1]
    assert found.simulated
    assert not found.unverified
    assert [each.name for each in tmp_path.iterdir()] == ["day.zip"]


@pytest.mark.parametrize(
    ("fault", "pattern"),
    [
        (Fault.TRUNCATE, "zip$"),
        (Fault.CUT, "zip$"),
        (Fault.TOO_MANY, "zip$"),
        (Fault.UNAVAILABLE, "zip$"),
        (Fault.UNAVAILABLE, "CHECKSUM$"),
        (Fault.CORRUPT, "zip$"),
        (Fault.WRONG_CHECKSUM, "CHECKSUM$"),
        (Fault.HTML, "CHECKSUM$"),
        (Fault.HTML, "zip$"),
    ],
)
async def test_passing_fault_is_retried(server: MarketServer, tmp_path: Path, fault: Fault, pattern: str):
    server.plan(pattern, fault, times=2)
    found = await fetch(server, tmp_path)
    assert found.sha256 == hashlib.sha256(found.path.read_bytes()).hexdigest()
    assert server.requests[f"/binance{ZIP}"] + server.requests[f"/binance{ZIP}.CHECKSUM"] >= 4


@pytest.mark.parametrize(
    ("fault", "pattern", "sentence"),
    [
        (Fault.TRUNCATE, "zip$", "127.0.0.1 broke off a download; try again in a few minutes."),
        (Fault.CUT, "zip$", "127.0.0.1 "),
        (Fault.TOO_MANY, "zip$", "127.0.0.1 is busy (HTTP 429); try again in a few minutes."),
        (Fault.UNAVAILABLE, "zip$", "127.0.0.1 is busy (HTTP 503); try again in a few minutes."),
        (
            Fault.CORRUPT,
            "zip$",
            "127.0.0.1 sent BTCUSDT-aggTrades-2023-08-01.zip with a wrong checksum; try again later.",
        ),
        (
            Fault.WRONG_CHECKSUM,
            "CHECK",
            "127.0.0.1 sent BTCUSDT-aggTrades-2023-08-01.zip with a wrong checksum; try again later.",
        ),
        (Fault.HTML, "CHECK", "127.0.0.1 sent a checksum that cannot be read; try again later."),
    ],
)
async def test_lasting_fault_raises_one_sentence_and_leaves_nothing(
    server: MarketServer, tmp_path: Path, fault: Fault, pattern: str, sentence: str
):
    server.plan(pattern, fault, times=100)
    with pytest.raises(DataError) as caught:
        await fetch(server, tmp_path)
    assert str(caught.value).startswith(sentence)
    assert server.requests[f"/binance{ZIP}.CHECKSUM"] == NETWORK.attempts
    assert list(tmp_path.iterdir()) == []


async def test_stalled_download_is_given_up(server: MarketServer, tmp_path: Path):
    server.plan("zip$", Fault.STALL, times=2)
    # The pace is measured over this time too, so it must not be what ends the download.
    network = NETWORK.model_copy(update={"stall_timeout": 0.05, "attempts": 2})
    with pytest.raises(DataError, match="did not answer in time"):
        await fetch(server, tmp_path, network=network, checked=False, sleep=lambda _: asyncio.Event().wait())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "error", "sentence"),
    [
        (Fault.NOT_FOUND, NotPublished, "has no file BTCUSDT-aggTrades-2023-08-01.zip"),
        (Fault.FORBIDDEN, DataError, r"refuses this network \(HTTP 403\)"),
        (Fault.BANNED, DataError, "is limiting requests; try again in 60 min"),
    ],
)
async def test_permanent_fault_is_not_retried(
    server: MarketServer, tmp_path: Path, fault: Fault, error: type[Exception], sentence: str
):
    server.plan("zip$", fault, times=100)
    with pytest.raises(error, match=sentence):
        await fetch(server, tmp_path, checked=False)
    assert server.requests[f"/binance{ZIP}"] == 1
    assert list(tmp_path.iterdir()) == []


async def test_unreachable_server_raises_one_sentence(tmp_path: Path):
    async with MarketServer(SimulatedMarket()) as server:
        pass
    with pytest.raises(DataError, match="cannot be reached; check the network"):
        await fetch(server, tmp_path)


@pytest.mark.parametrize("fault", [None, Fault.STALL])
async def test_file_beyond_the_size_limit_is_refused(
    server: MarketServer, tmp_path: Path, fault: Fault | None
):
    if fault:
        server.plan("zip$", fault)
    settings = DownloadSettings.model_validate({"max_file_size": 1000})
    with pytest.raises(DataError, match=r"raise the setting download\.max_file_size"):
        await fetch(server, tmp_path, settings=settings)
    assert list(tmp_path.iterdir()) == []


async def test_full_disk_raises_one_sentence(
    server: MarketServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(DataError, match="the disk is full"):
        await fetch(server, tmp_path)


async def test_cancelled_download_leaves_nothing(server: MarketServer, tmp_path: Path):
    server.plan("zip$", Fault.STALL)
    arrived = asyncio.Event()
    task = asyncio.create_task(fetch(server, tmp_path, on_bytes=lambda *_: arrived.set()))
    await arrived.wait()
    assert [each.name for each in tmp_path.iterdir()] == ["day.zip.part"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(tmp_path.iterdir()) == []


async def dripped(clock: SimulatedClock, url: str, folder: Path, settings: DownloadSettings) -> None:
    async with open_session(NETWORK, sleep=clock.sleep) as session:
        await driven(clock, download(session, url, folder / "day.zip", settings=settings))


@pytest.mark.parametrize(
    "at_once", [b"HTTP/1.1 200 ", b"HTTP/1.1 200 OK\r\nX-Slow: ", HEAD, HEAD + b"x" * 199_000]
)
async def test_slow_drip_is_stopped_and_retried(tmp_path: Path, at_once: bytes):
    clock = SimulatedClock(START)
    async with dripping(clock, at_once=at_once) as (drip, url):
        with pytest.raises(DataError, match=r"^127\.0\.0\.1 sends too slowly; try again in a few minutes\.$"):
            await dripped(clock, url, tmp_path, SETTINGS)
    assert drip.connections == NETWORK.attempts
    assert (clock.now() - START).total_seconds() == NETWORK.attempts * NETWORK.stall_timeout
    assert list(tmp_path.iterdir()) == []


async def test_download_ends_at_its_deadline_though_data_still_arrives(tmp_path: Path):
    clock = SimulatedClock(START)
    settings = DownloadSettings.model_validate({"least_speed": 0, "longest": 600})
    async with dripping(clock) as (drip, url):
        with pytest.raises(DataError, match=r"^127\.0\.0\.1 has not sent day\.zip within 10 min; try again"):
            await dripped(clock, f"{url}/day.zip", tmp_path, settings)
        assert (clock.now() - START).total_seconds() == 600
        assert drip.connections == 1
    assert list(tmp_path.iterdir()) == []


async def test_checksum_without_an_end_is_not_read_to_the_end(server: MarketServer, tmp_path: Path):
    server.plan("CHECKSUM$", Fault.ENDLESS, times=100)
    with pytest.raises(DataError, match="sent a checksum that cannot be read"):
        await fetch(server, tmp_path)
