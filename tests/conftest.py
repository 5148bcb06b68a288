"""What every test gets: an environment without this machine's settings; and exchanges on demand."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import hypothesis
import pytest

from liqmap.model import Exchange, Market
from liqmap.simulator import MarketServer, SimulatedMarket

Result = TypeVar("Result")

BTCUSDT = (Market(Exchange.BINANCE, "BTCUSDT"),)
"""The markets of most requests."""

# The same examples every time, however long they take: no test depends on luck or on the machine.
hypothesis.settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("steady")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("LIQMAP", "DISCORD_TOKEN")) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)


class LoopThread:
    """An event loop in a thread of its own, for servers that blocking code talks to."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    @contextmanager
    def running(self) -> Iterator[LoopThread]:
        thread = threading.Thread(target=self._loop.run_forever)
        thread.start()
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()


@pytest.fixture
def loop_thread() -> Iterator[LoopThread]:
    with LoopThread().running() as thread:
        yield thread


@pytest.fixture
def market_server(loop_thread: LoopThread) -> Iterator[MarketServer]:
    """Serve a small simulated market, in a thread of its own."""
    server = MarketServer(SimulatedMarket(scale=0.005))
    loop_thread.run(server.__aenter__())
    yield server
    loop_thread.run(server.__aexit__(None, None, None))


@pytest.fixture
def config(tmp_path: Path, market_server: MarketServer) -> Path:
    """Write a settings file whose exchanges are `market_server`, with a store in the test's own folder."""
    path = tmp_path / "liqmap.toml"
    path.write_text(
        f'storage.path = "{tmp_path / "store"}"\n'
        "engine.workers = 1\n"
        "network.retry_wait = 0\n"
        + "".join(f'{key} = "{url}"\n' for key, url in market_server.host.settings.items())
    )
    return path
