from __future__ import annotations

import aiohttp
import pytest
from aiohttp import web

from bot.ops.metrics import Metrics
from liqmap.errors import DataError
from tests.bot.conftest import REQUEST, FakeDraw, Floor
from tests.served import served


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(f"liqmap_{name}", labels) or 0.0


@pytest.mark.simcord(check_errors=False)
async def test_commands_are_counted_and_timed_by_how_they_end(floor: Floor):
    metrics = floor.bot.metrics
    await floor.liqmap()
    await floor.liqmap(window="soon")
    floor.draw.error = ValueError()
    await floor.liqmap()
    for outcome in ("answered", "refused", "failed"):
        assert value(metrics, "commands_total", command="liqmap", outcome=outcome) == 1
    assert value(metrics, "acknowledge_seconds_count") == 3
    assert value(metrics, "answer_seconds_count") == 3
    assert value(metrics, "acknowledge_seconds_bucket", le="3.0") == 3


async def test_presses_and_maps_are_counted(floor: Floor):
    answer = await floor.liqmap()
    assert answer.response is not None
    await floor.member.click(answer.response.message, label="1h")
    assert value(floor.bot.metrics, "presses_total") == 1
    assert value(floor.bot.metrics, "maps_total", outcome="drawn") == 2


async def test_snapshots_are_counted(floor: Floor):
    await floor.subscribed(floor.manager())
    await floor.env.advance_time(3600)
    assert value(floor.bot.metrics, "snapshots_total", outcome="posted") == 1


async def test_map_that_fails_is_counted_by_why():
    metrics, draw = Metrics(), FakeDraw()
    draw.error = DataError("Not there.")
    with pytest.raises(DataError):
        await metrics.measured(draw)(REQUEST)
    assert value(metrics, "maps_total", outcome="DataError") == 1


async def test_requests_to_exchanges_are_counted_by_host_and_outcome():
    metrics = Metrics()
    app = web.Application()
    app.router.add_get("/there", _answer)
    async with aiohttp.ClientSession(trace_configs=[metrics.downloads()]) as session:
        async with served(app) as base:
            for path in ("/there", "/there", "/gone"):
                async with session.get(base + path) as response:
                    await response.read()
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(base)
    host = "127.0.0.1"
    assert value(metrics, "exchange_requests_total", host=host, outcome="200") == 2
    assert value(metrics, "exchange_requests_total", host=host, outcome="404") == 1
    assert value(metrics, "exchange_requests_total", host=host, outcome="ClientConnectorError") == 1
    assert value(metrics, "exchange_bytes_total", host=host) >= 2 * 1234


async def _answer(_: web.Request) -> web.Response:
    return web.Response(body=b"x" * 1234)


def test_page_is_prometheus_text_with_what_is_watched():
    metrics = Metrics()
    metrics.watch("queue", "Maps under way or waiting", lambda: 3)
    assert b"# TYPE liqmap_queue gauge\nliqmap_queue 3.0\n" in metrics.page()
