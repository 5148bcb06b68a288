from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
import simcord
from hypothesis import given
from hypothesis import strategies as st

from bot.client import LiqmapBot
from bot.request.posted import ScanSpec, decode_posted, encode_posted
from bot.schedule.posts import Posts
from bot.settings import BotSettings
from bot.store import Store
from bot.views.map import CUSTOM_ID_LENGTH
from bot.views.scan import scan_reply
from liqmap import (
    Exchange,
    Market,
    NearCluster,
    RequestError,
    ScannedMarket,
    ScanRequest,
    ScanResult,
    Side,
    Theme,
)
from tests.bot.conftest import NOW, FakeDraw, Floor, new_bot

PNG = b"\x89PNG\r\n\x1a\n"
HOUR = 3600.0


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
        wanted = request.exchanges or frozenset(Exchange)
        found = tuple(each for each in self.found if each.market.exchange in wanted)
        return ScanResult(request, found, 20, picture=PNG)


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
    assert "ETHUSDT on Binance" in str(file.description)  # without the markup of the embed
    shown = await floor.member.click(message, label="ETHUSDT Binance")
    assert shown.response is not None
    drawn = floor.draw.requests[-1]
    assert (drawn.market.symbol, drawn.window.length) == ("ETHUSDT", timedelta(hours=24))
    assert drawn.window.end == request.end
    assert shown.response.ephemeral


async def test_refresh_replaces_the_answer_and_keeps_whose_it_is(floor: Floor, scan: FakeScan):
    answer = await floor.member.slash(floor.channel, "scan", side="long", distance="3")
    assert answer.response is not None
    scan.found = MARKETS[:1]
    await floor.env.advance_time(120)
    await floor.manager().click(answer.response.message, label="Refresh")
    asked, again = scan.requests
    assert replace(again, end=asked.end) == asked
    assert again.end > asked.end
    (message,) = floor.channel.history()
    assert "ETHUSDT" not in str(message.embeds[0].description)
    # Whoever pressed it: only the person who asked can delete it.
    await floor.member.click(message, label="Delete")
    assert floor.channel.history() == []


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


def test_markets_that_could_not_be_scanned_are_counted_with_a_reason():
    failed = tuple((Market(Exchange.BINANCE, each), f"{each} is damaged.") for each in ("AUSDT", "BUSDT"))
    (embed,), _ = scan_reply(ScanResult(ScanRequest(NOW), MARKETS, 2, failed, PNG))
    last = str(embed.description).splitlines()[-1]
    assert last == "-# Left out: 2 markets, such as AUSDT on Binance. AUSDT is damaged."
    (embed,), _ = scan_reply(ScanResult(ScanRequest(NOW), (), 0, failed[:1], PNG))
    assert str(embed.description).endswith("-# Left out: AUSDT on Binance. AUSDT is damaged.\n")


def test_fifty_markets_fit_into_one_message():
    found = tuple(market(f"{'X' * 30}{number}", -0.001 * number) for number in range(1, 51))
    (embed,), (file,) = scan_reply(ScanResult(ScanRequest(NOW, top=50), found, 600, picture=PNG))
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


async def test_alerts_of_the_same_exchanges_share_a_scan_and_wait_where_nothing_is_recorded(
    floor: Floor, scan: FakeScan
):
    await alert(floor)
    await alert(floor, distance="3%")
    await alert(floor, exchange="bybit")
    await floor.env.advance_time(60.0)
    assert [(each.within, each.exchanges) for each in scan.requests] == [
        (0.03, frozenset(Exchange)),
        (0.005, frozenset({Exchange.BYBIT})),
    ]
    said = [each.content for each in floor.channel.history() if "🔔" in each.content]
    assert len(said) == 2  # nothing of Bybit's is near
    assert any("ETHUSDT" in each for each in said)


async def subscribed(floor: Floor, **options: object) -> tuple[simcord.MemberActor, str]:
    """Let somebody use /subscribe-scan and confirm; return who, and what the preview said."""
    mona = floor.manager()
    preview = await mona.slash(floor.channel, "subscribe-scan", **{"every": "1h"} | options)
    assert preview.response is not None
    text, message = preview.response.content, preview.response.message
    assert [each.filename for each in preview.response.attachments] == ["liquidation_scan.png"]
    await mona.click(message, label="Confirm")
    return mona, text


async def test_scan_is_previewed_saved_listed_paused_and_resumed_as_a_map_is(
    floor: Floor, scan: FakeScan, store: Store
):
    mona, text = await subscribed(floor, side="long", distance="2%", exchange="okx", at="08:00", every="1d")
    assert text == (
        "**Preview.** Market scan of OKX, longs within 2 %, every 1d at 08:00"
        f" in <#{floor.channel.id}>. Post it like this?"
    )
    (saved,) = await store.subscriptions.active()
    request = ScanRequest(NOW, exchanges=frozenset({Exchange.OKX}), side=Side.BUY, within=0.02)
    assert saved.spec == ScanSpec(request)
    assert scan.requests[0] == ScanSpec(request).ending(scan.requests[0].end)
    listed = await mona.slash(floor.channel, "subscriptions")
    assert listed.response is not None
    assert "Market scan of OKX" in str(listed.response.message.embeds[0].description)
    await mona.select(listed.response.message, [str(saved.id)], custom_id="sub:pick")
    await mona.click(listed.response.message, label="Pause")
    assert await store.subscriptions.active() == []
    await mona.click(listed.response.message, label="Resume")
    assert await store.subscriptions.active() == [saved]
    removed = await mona.slash(floor.channel, "unsubscribe", subscription=str(saved.id))
    assert removed.response is not None
    assert removed.response.content.startswith("Removed: Market scan of OKX")


@pytest.mark.simcord(check_errors=False)
async def test_equal_scans_of_a_channel_are_one(floor: Floor, store: Store):
    mona, _ = await subscribed(floor)
    again = await mona.slash(floor.channel, "subscribe-scan", every="1h", distance="5 %")
    assert again.response is not None
    assert "already gets exactly these posts" in again.response.content
    assert len(await store.subscriptions.active()) == 1


async def test_due_scans_are_posted_once_with_buttons_and_can_be_found_again(
    floor: Floor, scan: FakeScan, store: Store, monkeypatch: pytest.MonkeyPatch
):
    mona, _ = await subscribed(floor)
    await floor.env.advance_time(HOUR)
    (message,) = floor.channel.history()
    due = scan.requests[-1].end
    assert due == NOW.replace(hour=10, minute=0, second=0)
    assert message.embeds[0].title == "Nearest large clusters · simulated"
    assert "2025-12-31 10:00 → 2026-01-01 10:00 UTC" in str(message.embeds[0].footer.text)
    (posted,) = await store.subscriptions.active()
    # Discord's simulation stamps messages with a time of its own.
    monkeypatch.setattr("bot.schedule.posts._CLOCKS_DIFFER", timedelta(days=9999))
    posts = Posts(floor.bot, per_second=50, sleep=asyncio.sleep)
    assert await posts.find(posted, due, since=NOW) == message.id
    other = replace(posted, spec=ScanSpec(ScanRequest(NOW, within=0.01)))
    assert await posts.find(other, due, since=NOW) is None
    assert await posts.find(posted, due + timedelta(hours=1), since=NOW) is None
    # What is everybody's stays as it is: who presses gets an answer of their own, as of now.
    fresh = await mona.click(message, label="Refresh")
    assert fresh.response is not None
    assert fresh.response.ephemeral
    assert scan.requests[-1].end > due
    assert len(floor.channel.history()) == 1


async def test_scan_is_edited_in_place(floor: Floor):
    await subscribed(floor, style="edit")
    await floor.env.advance_time(HOUR)
    (first,) = floor.channel.history()
    await floor.env.advance_time(HOUR)
    assert [each.id for each in floor.channel.history()] == [first.id]


@given(
    exchanges=st.frozensets(st.sampled_from(Exchange), min_size=1),
    side=st.sampled_from((None, *Side)),
    within=st.integers(1, 10_000).map(lambda number: number / 10_000),
    top=st.integers(1, 50),
    theme=st.sampled_from(Theme),
)
def test_decoded_scan_is_the_encoded_one(
    exchanges: frozenset[Exchange], side: Side | None, within: float, top: int, theme: Theme
):
    request = ScanRequest(NOW, exchanges=exchanges, side=side, within=within, top=top, theme=theme)
    spec = ScanSpec(request)
    assert decode_posted(encode_posted(spec)) == spec
    assert spec.ending(NOW) == request
    assert len(f"scan:{encode_posted(spec)}:{'z' * 13}") <= CUSTOM_ID_LENGTH


@pytest.mark.parametrize(
    "code",
    [
        ".",
        ".scan~",
        ".scan~bo~ed~e~10",
        ".scan~bo~ed~2~10",
        ".scan~bo~ed~0.05~0",
        ".scan~bo~xd~0.05~10",
        ".scan~q~ed~0.05~10",
        ".scan~bo~ed~0.05~10~",
        "scan~bo~ed~0.05~10",
    ],
)
def test_code_of_no_scan_is_refused_with_a_sentence(code: str):
    with pytest.raises(RequestError, match=r"\.$"):
        decode_posted(code)
