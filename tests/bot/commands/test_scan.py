from __future__ import annotations

from datetime import timedelta

import pytest

from bot.client import LiqmapBot
from bot.settings import BotSettings
from bot.store import Store
from bot.views.scan import scan_reply
from liqmap import Exchange, Market, NearCluster, ScannedMarket, ScanRequest, ScanResult, Side
from tests.bot.conftest import NOW, FakeDraw, Floor, new_bot

PNG = b"\x89PNG\r\n\x1a\n"


def market(symbol: str, distance: float) -> ScannedMarket:
    near = NearCluster(100 * (1 + distance), distance, 2.5e6, 1.25, 0.4)
    long, short = (near, None) if distance < 0 else (None, near)
    return ScannedMarket(
        Market(Exchange.BINANCE, symbol), 100.0, 0.1, 1.0, 0.01, 6e6, long, short, simulated=True
    )


MARKETS = (market("BTCUSDT", -0.002), market("ETHUSDT", -0.01))


class FakeScan:
    """Finds two markets, or none."""

    def __init__(self) -> None:
        self.requests: list[ScanRequest] = []
        self.found: tuple[ScannedMarket, ...] = MARKETS

    async def __call__(self, request: ScanRequest) -> ScanResult:
        self.requests.append(request)
        return ScanResult(request, self.found, 20, picture=PNG)


@pytest.fixture
def scan() -> FakeScan:
    return FakeScan()


@pytest.fixture
def simcord_bot(settings: BotSettings, store: Store, draw: FakeDraw, scan: FakeScan) -> LiqmapBot:
    return new_bot(settings, store, draw, scan)


async def test_scan_answers_with_a_picture_and_a_line_and_a_button_for_each_market(
    floor: Floor, scan: FakeScan
):
    answer = await floor.member.slash(floor.channel, "scan", side="long", distance="3")
    request = scan.requests[0]
    assert (request.side, request.within, request.markets) == (Side.BUY, 0.03, ())
    assert request.exchanges == frozenset(Exchange)
    assert answer.response is not None
    message = answer.response.message
    (embed,) = message.embeds
    assert embed.title == "Nearest large clusters · simulated"
    assert "BTCUSDT" in str(embed.description).splitlines()[0]
    assert "$2.50M" in str(embed.description)
    (file,) = answer.response.attachments
    assert file.filename == "liquidation_scan.png"
    assert "ETHUSDT Binance" in str(file.description)  # without the markup of the embed
    shown = await floor.member.click(message, label="ETHUSDT Binance")
    assert shown.response is not None
    drawn = floor.draw.requests[-1]
    assert (drawn.market.symbol, drawn.window.length) == ("ETHUSDT", timedelta(hours=24))
    assert drawn.window.end == request.end
    assert shown.response.ephemeral


async def test_scan_that_finds_nothing_says_what_to_try(floor: Floor, scan: FakeScan):
    scan.found = ()
    answer = await floor.member.slash(floor.channel, "scan")
    assert answer.response is not None
    assert "try a larger distance" in str(answer.response.message.embeds[0].description)


@pytest.mark.simcord(check_errors=False)
async def test_invalid_distance_is_refused_before_anything_is_scanned(floor: Floor, scan: FakeScan):
    answer = await floor.member.slash(floor.channel, "scan", distance="near")
    assert answer.response is not None
    assert "share of the price" in answer.response.message.content
    assert scan.requests == []


def test_fifty_markets_fit_into_one_message():
    found = tuple(market(f"{'X' * 30}{number}", -0.001 * number) for number in range(1, 51))
    embed, file = scan_reply(ScanResult(ScanRequest(NOW, top=50), found, 600, picture=PNG))
    assert len(str(embed.description)) <= 4096
    assert len(str(file.description)) <= 1024


async def alert(floor: Floor, **options: str) -> str:
    typed = {"distance": "0.5%", "notional": "2m", "cooldown": "1h"} | options
    answer = await floor.manager().slash(floor.channel, "alert any", **typed)
    assert answer.response is not None
    return str(answer.response.message.content)


async def test_alert_of_any_market_names_the_nearest_once_a_cooldown(
    floor: Floor, scan: FakeScan, store: Store
):
    assert await alert(floor) == (
        "Alert 1 is set: any recorded market on Binance + Bybit + OKX within 0.5 % of a cluster of $2M or"
        f" more, at most once every 1h, in <#{floor.channel.id}>. It looks at what is recorded of the last"
        " day."
    )
    for _ in range(3):
        await floor.env.advance_time(60.0)
    request = scan.requests[0]
    assert (request.least, request.within, request.pictured) == (2e6, 0.005, False)
    (message,) = [each.content for each in floor.channel.history() if "🔔" in each.content]
    assert "**BTCUSDT** on Binance" in message
    assert "ETHUSDT" not in message  # farther than the alert's distance
    assert "$2.50M" in message
    (stored,) = await store.alerts.all()
    assert stored.fired_at is not None


async def test_alerts_of_any_market_share_a_scan_and_wait_where_nothing_is_recorded(
    floor: Floor, scan: FakeScan
):
    await alert(floor)
    await alert(floor, distance="3%")
    await alert(floor, exchange="bybit")
    await floor.env.advance_time(60.0)
    assert [each.within for each in scan.requests] == [0.03]
    said = [each.content for each in floor.channel.history() if "🔔" in each.content]
    assert len(said) == 2  # nothing of Bybit's is near
    assert any("ETHUSDT" in each for each in said)
