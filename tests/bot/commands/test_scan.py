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
    assert [each.filename for each in answer.response.attachments] == ["liquidation_scan.png"]
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
async def test_distance_that_is_none_is_refused_before_anything_is_scanned(floor: Floor, scan: FakeScan):
    answer = await floor.member.slash(floor.channel, "scan", distance="near")
    assert answer.response is not None
    assert "share of the price" in answer.response.message.content
    assert scan.requests == []


def test_fifty_markets_fit_into_one_message():
    found = tuple(market(f"{'X' * 30}{number}", -0.001 * number) for number in range(1, 51))
    embed, file = scan_reply(ScanResult(ScanRequest(NOW, top=50), found, 600, picture=PNG))
    assert len(str(embed.description)) <= 4096
    assert len(str(file.description)) <= 1024
