from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.client import LiqmapBot
from bot.request.drawing import EngineFacts
from bot.settings import BotSettings
from bot.store import Store
from liqmap import SymbolStatus
from liqmap.live.registry import Recording
from liqmap.model import Exchange
from liqmap.model.window import TimeWindow
from tests.bot.conftest import NOW, FakeDraw, Floor, SimulatedClock

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
LIVE = SymbolStatus(
    Recording(
        Exchange.BINANCE,
        "BTCUSDT",
        updated=NOW,
        since=NOW - MINUTE,
        connected=True,
        last_trade=NOW - SECOND,
        lag=0.25,
    ),
    is_alive=True,
    sources=("REST", "live stream"),
    first=NOW - timedelta(hours=7),
    gaps=(),
    age=SECOND,
    filled=0.25,
)
STOPPED = SymbolStatus(
    Recording(Exchange.BYBIT, "ETHUSDT", updated=NOW - timedelta(hours=1), since=NOW - timedelta(hours=2)),
    is_alive=False,
    sources=(),
    first=None,
    gaps=(TimeWindow.ending(NOW, 3 * MINUTE), TimeWindow.ending(NOW - timedelta(hours=1), MINUTE)),
    age=None,
)


SEALED = "12 maps sealed, last hash 60303a"


@pytest.fixture
def recorded() -> list[SymbolStatus]:
    return []


@pytest.fixture
def simcord_bot(
    settings: BotSettings, store: Store, draw: FakeDraw, recorded: Sequence[SymbolStatus]
) -> LiqmapBot:
    return LiqmapBot(
        settings,
        draw=draw,
        store=store,
        clock=SimulatedClock(),
        facts=EngineFacts(lambda: recorded, lambda: 3, sealed=lambda: SEALED),
    )


async def status(floor: Floor) -> tuple[str, dict[str, str]]:
    answer = await floor.member.slash(floor.channel, "status")
    assert answer.ephemeral
    assert answer.response is not None
    (embed,) = answer.response.embeds
    assert embed.title == "Recorded live"
    assert (embed.footer.text or "").startswith("liqmap ")
    return embed.description or "", {field.name or "": field.value or "" for field in embed.fields}


async def test_status_reports_the_state_of_the_bot(floor: Floor):
    text, fields = await status(floor)
    assert text == "Nothing is recorded yet; recording starts with the first map whose window ends now."
    assert fields == {
        "Maps": "3 of 32 maps under way",
        "Posts": "0 subscriptions run; nothing posted yet",
        "Running": f"since <t:{int(NOW.timestamp())}:R>",
        "Clock": "no exchange disagrees with it",
        "Sealed maps": SEALED,
    }


async def test_status_says_that_the_clock_is_off(floor: Floor, recorded: list[SymbolStatus]):
    recorded += [STOPPED, replace(LIVE, recording=replace(LIVE.recording, clock_off=25.0))]
    _, fields = await status(floor)
    assert fields["Clock"] == (
        "This machine's clock is about 25 s ahead of Binance's; set it, for example with NTP."
    )


async def test_status_reports_damage(floor: Floor, settings: BotSettings):
    aside = "damaged/bybit/BTCUSDT/20230801T000000Z-20230801T000100Z.0a1b2c3d"
    (settings.storage.path / aside).mkdir(parents=True)
    _, fields = await status(floor)
    assert fields["Damaged"].startswith("1 damaged file is set aside in the store's folder `damaged`")


async def test_status_reports_source_freshness_and_gaps_of_each_symbol(
    floor: Floor, recorded: list[SymbolStatus]
):
    recorded[:] = [LIVE, STOPPED, replace(STOPPED, gaps=STOPPED.gaps[1:])]
    now = int(NOW.timestamp())
    live, stopped, once = (await status(floor))[0].splitlines()
    assert live == (
        f"**BTCUSDT** on Binance: 🟢 live, last trade <t:{now - 1}:R>, 0.2 s behind,"
        f" 25 % of the last 24 h in the store, by REST and live stream, no gaps since <t:{now - 7 * 3600}:f>"
    )
    assert stopped == "**ETHUSDT** on Bybit: ⚪ stopped, 2 gaps, 4 min"
    assert once == "**ETHUSDT** on Bybit: ⚪ stopped, 1 gap, 1 min"


async def test_many_symbols_are_listed_as_far_as_they_fit(floor: Floor, recorded: list[SymbolStatus]):
    recorded[:] = [STOPPED] * 200
    text, _ = await status(floor)
    lines = text.splitlines()
    assert len(text) <= 4096
    assert lines[-1] == f"… and {200 - len(lines) + 1} more"


async def test_status_works_in_a_private_chat(floor: Floor):
    answer = await floor.env.create_user("bob").slash("status")
    assert answer.ephemeral
