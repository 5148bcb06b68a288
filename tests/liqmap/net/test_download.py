from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from liqmap.errors import DataError, NotPublished
from liqmap.net.download import Downloaded, download
from liqmap.settings import DownloadSettings
from liqmap.simulator import Fault, MarketServer, SimulatedMarket

SETTINGS = DownloadSettings(attempts=3, retry_wait=0, retry_wait_max=10, stall_timeout=20)
ZIP = "/data/futures/um/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2023-08-01.zip"


async def fetch(
    server: MarketServer,
    folder: Path,
    *,
    settings: DownloadSettings = SETTINGS,
    checked: bool = True,
    on_bytes: Callable[[int, int | None], None] | None = None,
) -> Downloaded:
    url = server.binance_url + ZIP
    async with aiohttp.ClientSession() as session:
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


async def test_file_arrives_verified_and_marked_as_simulated(server: MarketServer, tmp_path: Path):
    told: list[tuple[int, int | None]] = []
    found = await fetch(server, tmp_path, on_bytes=lambda done, total: told.append((done, total)))
    body = found.path.read_bytes()
    assert found.sha256 == hashlib.sha256(body).hexdigest()
    assert found.size == len(body) == told[-1][0] == told[-1][1]
    assert found.simulated
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
async def test_fault_that_passes_is_tried_again(
    server: MarketServer, tmp_path: Path, fault: Fault, pattern: str
):
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
async def test_fault_that_stays_is_a_sentence_and_leaves_nothing(
    server: MarketServer, tmp_path: Path, fault: Fault, pattern: str, sentence: str
):
    server.plan(pattern, fault, times=100)
    with pytest.raises(DataError) as caught:
        await fetch(server, tmp_path)
    assert str(caught.value).startswith(sentence)
    assert server.requests[f"/binance{ZIP}.CHECKSUM"] == SETTINGS.attempts
    assert list(tmp_path.iterdir()) == []


async def test_stalled_download_is_given_up(server: MarketServer, tmp_path: Path):
    server.plan("zip$", Fault.STALL, times=2)
    settings = SETTINGS.model_copy(update={"stall_timeout": 0.05, "attempts": 2})
    with pytest.raises(DataError, match="did not answer in time"):
        await fetch(server, tmp_path, settings=settings, checked=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "error", "sentence"),
    [
        (Fault.NOT_FOUND, NotPublished, "has no file BTCUSDT-aggTrades-2023-08-01.zip"),
        (Fault.FORBIDDEN, DataError, r"refuses this network \(HTTP 403\)"),
        (Fault.BANNED, DataError, "is limiting requests; try again in 60 min"),
    ],
)
async def test_fault_that_cannot_pass_is_not_tried_again(
    server: MarketServer, tmp_path: Path, fault: Fault, error: type[Exception], sentence: str
):
    server.plan("zip$", fault, times=100)
    with pytest.raises(error, match=sentence):
        await fetch(server, tmp_path, checked=False)
    assert server.requests[f"/binance{ZIP}"] == 1
    assert list(tmp_path.iterdir()) == []


async def test_server_that_is_not_there_is_a_sentence(tmp_path: Path):
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
    settings = SETTINGS.model_copy(update={"max_file_size": 1000})
    with pytest.raises(DataError, match=r"raise the setting download\.max_file_size"):
        await fetch(server, tmp_path, settings=settings)
    assert list(tmp_path.iterdir()) == []


async def test_full_disk_is_a_sentence(server: MarketServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
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
