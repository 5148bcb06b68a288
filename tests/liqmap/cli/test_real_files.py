"""The command line over files that an exchange really published."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from aiohttp import web

from liqmap.cli.main import main
from tests.conftest import LoopThread
from tests.served import served

SHARED = Path(__file__).parents[4] / "shared" / "data" / "bybit"


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="the real trades of ../shared/data are not here")
def test_real_inverse_day_of_bybit_is_drawn(
    loop_thread: LoopThread, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    body = gzip.compress((SHARED / "BTCUSD2019-10-01-head.csv").read_bytes())

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body)

    app = web.Application()
    app.router.add_get("/trading/BTCUSD/BTCUSD2019-10-01.csv.gz", answer)
    server = served(app)
    url = loop_thread.run(server.__aenter__())
    config = tmp_path / "liqmap.toml"
    config.write_text(
        f'storage.path = "{tmp_path / "store"}"\nengine.workers = 1\nnetwork.retry_wait = 0\n'
        f'exchanges.bybit.archive_url = "{url}"\nexchanges.bybit.api_url = "{url}"\n'
    )
    words = ["BTCUSD", "24h", "top_n", "10", "--exchange", "bybit", "--end", "2019-10-02 00:00"]
    try:
        assert main([*words, "--config", str(config), "--out", str(tmp_path / "out")]) == 0
    finally:
        loop_thread.run(server.__aexit__(None, None, None))
    assert "20 of 400 trades" in capsys.readouterr().out
    assert len(list((tmp_path / "out").iterdir())) == 2
