"""Whatever somebody types into an option: one sentence, nobody pinged, nothing logged as a fault."""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from pathlib import Path

import pytest
import simcord
from hypothesis import HealthCheck, given
from hypothesis import settings as rules
from hypothesis import strategies as st

from bot.settings import BotSettings, LimitsSettings
from liqmap.settings import StorageSettings
from tests.bot.conftest import Floor

pytestmark = pytest.mark.simcord(check_errors=False)

NASTY = (
    *("", " ", "\x00", "\x1b[31m", "\u202eTDSU", "\u200b\u2066", "🙂" * 50, "ﷺ" * 100, "é" * 6000),
    *("@everyone", "@here", "<@1>", "<@&2>", "<#3>", "</liqmap:1>", "<t:0:R>", "https://evil.example"),
    *("**bold**", "```\ncode", "||spoiler||", "[a](https://evil.example)", "> quote", "# title", "`x`"),
    *("1e309", "NaN", "-NaN", "inf", "-inf", "0x10", "1_000", "１００", "²", "1" * 6000, "-1", "0", "1e-400"),
    *("../../etc/passwd", "/etc/passwd", "C:\\x", "file:///etc/passwd", "%00", "%2e%2e%2f", "$(reboot)"),
    *(
        "'; DROP TABLE subscriptions; --",
        '" OR 1=1',
        "{{7*7}}",
        "${jndi:ldap://x}",
        "%s%s%n",
        "{0.__class__}",
    ),
    *("999999w", "999999w" * 9, "0001-01-01", "9999-12-31 23:59", "0000-00-00", "2023-02-29"),
    *("1" * 3000 + "h", "1h" * 3000, "a" * 3000 + "!", "10:" * 2000, "," * 6000, "1d " * 2000, "BTC/" * 1500),
)
HOSTILE = st.one_of(
    st.sampled_from(NASTY),
    st.text(max_size=80),
    st.text(min_size=1, max_size=20).map(lambda text: (text * 6000)[:6000]),
    st.from_regex(r"[0-9.,:%kmbhdw _-]{1,40}", fullmatch=True),
)
LIQMAP = {"symbol": "BTCUSDT", "window": "6h", "mode": "top_n"}
SUBSCRIBE = LIQMAP | {"every": "1h"}
ALERT = {"symbol": "BTCUSDT", "distance": "1%", "notional": "1m"}
CASES = [
    *(("liqmap", LIQMAP, name) for name in ("symbol", "window", "value", "end", "leverages")),
    *(("subscribe", SUBSCRIBE, name) for name in ("symbol", "window", "value")),
    *(("alert near", ALERT, name) for name in ("symbol", "distance", "notional", "cooldown")),
    ("alert remove", {}, "alert"),
    ("unsubscribe", {}, "subscription"),
    *(("settings", {}, name) for name in ("value", "leverages")),
]


@pytest.fixture
def settings(tmp_path: Path) -> BotSettings:
    many = LimitsSettings(maps_per_user_a_minute=100_000, maps_per_guild_a_minute=100_000)
    return BotSettings(storage=StorageSettings(path=tmp_path / "store"), limits=many)


def check_harmless(text: str) -> None:
    assert len(text) <= 2000
    assert "went wrong" not in text
    # What the bot says of itself may be a mention or a time; what was typed never is.
    said = re.sub(r"<#\d{17,}>|<t:\d{8,}:R>|<@\d{17,}>", "", text)
    assert not re.search(r"@everyone|@here|<@|<#|</|<t:|://|```|\x00|\u202e", said)


@pytest.fixture
def boss(floor: Floor) -> simcord.MemberActor:
    return floor.manager("boss", manage_guild=True)


@pytest.mark.parametrize(("command", "options", "hostile"), CASES)
@rules(
    max_examples=30,
    deadline=timedelta(seconds=5),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(text=HOSTILE)
async def test_hostile_text_gets_one_sentence(
    floor: Floor,
    boss: simcord.MemberActor,
    caplog: pytest.LogCaptureFixture,
    command: str,
    options: dict[str, str],
    hostile: str,
    text: str,
):
    caplog.clear()
    result = await boss.slash(floor.channel, command, **options | {hostile: text})
    messages = [each for each in (result.response, *result.followups) if each is not None]
    assert len(messages) == 1
    check_harmless(messages[0].content)
    if not messages[0].embeds:
        assert messages[0].ephemeral
        # What a symbol was taken to mean stands on a line above the sentence.
        *completion, sentence = messages[0].content.split("\n")
        assert [re.fullmatch(r"[^:]+: \w+", line) is not None for line in completion] in ([], [True])
        assert sentence.endswith((".", "?"))
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    ("command", "option"),
    [
        *(("liqmap", name) for name in ("symbol", "window", "value")),
        *(("subscribe", name) for name in ("symbol", "window", "value")),
        ("unsubscribe", "subscription"),
        ("alert near", "symbol"),
        ("alert remove", "alert"),
        ("settings", "value"),
    ],
)
async def test_hostile_text_while_typing_gets_suggestions_or_none(
    floor: Floor, boss: simcord.MemberActor, command: str, option: str
):
    for text in NASTY:
        choices = await boss.autocomplete(floor.channel, command, option, text)
        assert len(choices) <= 25
