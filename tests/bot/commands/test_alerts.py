from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import discord
import pytest
import simcord
from simcord.interactions import base_payload
from sqlalchemy.exc import DBAPIError

from bot.request.defaults import GuildDefaults
from bot.schedule.posts import Posts
from bot.settings import AlertsSettings, BotSettings, LimitsSettings
from bot.store import Store
from bot.store.alerts import AlertTable, NewAlert
from liqmap.errors import DataError, RequestError
from liqmap.model import Cluster, Exchange, MapRequest, Portion, PositionModel, Side, TopN
from liqmap.run.result import MapResult
from tests.bot.commands.test_maps import refusal, shown
from tests.bot.conftest import SUMMARY, FakeDraw, Floor, SimulatedClock, new_bot
from tests.bot.schedule.test_snapshots import refused

EXPECTS_ERRORS = pytest.mark.simcord(check_errors=False)
MINUTE = 60.0
MINUTES = timedelta(minutes=5)


class Market(FakeDraw):
    """Draws maps of a price and clusters that a test sets."""

    def __init__(self) -> None:
        super().__init__()
        self.last = 30_000.0
        self.wick = 0.0
        self.width = 100.0
        self.since = SUMMARY.newest_since
        self.clusters = {29_000.0: 5e6, 31_000.0: 2e6}
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def __call__(self, request: MapRequest, **listeners: Any) -> MapResult:
        if self.meanwhile is not None:
            await self.meanwhile()
        result = await super().__call__(request, **listeners)
        clusters = tuple(
            Cluster(
                Side.BUY if at < self.last else Side.SELL,
                at - self.width / 2,
                at + self.width / 2,
                at,
                at / self.last - 1,
                at / self.last - 1,
                notional,
            )
            for at, notional in self.clusters.items()
        )
        summary = replace(
            SUMMARY,
            last_price=self.last,
            newest_low=self.last - self.wick,
            newest_high=self.last + self.wick,
            newest_since=self.since,
            clusters=clusters,
        )
        return replace(result, summary=summary)


@pytest.fixture
def draw() -> Market:
    return Market()


async def near(floor: Floor, mona: simcord.MemberActor, **options: str) -> simcord.InteractionResult:
    typed = {"symbol": "btc", "distance": "1%", "notional": "1m"} | options
    return await mona.slash(floor.channel, "alert near", **typed)


def said(floor: Floor) -> list[str]:
    return [message.content for message in floor.channel.history()]


async def test_alert_is_set_and_says_what_it_watches(floor: Floor, store: Store):
    answer = await near(floor, floor.manager())
    assert answer.ephemeral
    assert shown(answer).content == (
        "BTC: BTCUSDT\nAlert 1 is set: BTCUSDT on Binance within 1 % of a cluster of $1M or more, at most"
        f" once every 1h, in <#{floor.channel.id}>. It looks at the last day of trades."
    )
    assert len(await store.alerts.all()) == 1
    whole = await near(floor, floor.manager(), symbol="ETHUSDT")
    assert shown(whole).content.endswith("It looks at the last day of trades.")


async def test_alert_keeps_the_symbol_as_the_exchange_spells_it(floor: Floor, store: Store):
    await near(floor, floor.manager(), symbol="BTCUSD")
    assert [each.symbol for each in await store.alerts.all()] == ["BTCUSD_PERP"]


async def test_alert_on_several_exchanges_watches_each_by_its_own_symbol(floor: Floor, draw: Market):
    answer = await near(floor, floor.manager(), symbol="BTCUSD", exchange="all")
    assert shown(answer).content.startswith("BTCUSD: BTCUSD_PERP on Binance\nAlert 1 is set: BTCUSD_PERP on")
    await floor.env.advance_time(MINUTE)
    for request in draw.requests:
        assert [(each.exchange, each.symbol) for each in request.markets] == [
            (Exchange.BINANCE, "BTCUSD_PERP"),
            (Exchange.BYBIT, "BTCUSD"),
            (Exchange.OKX, "BTCUSD"),
        ]
    assert len(draw.requests) == 2


async def test_price_near_a_large_cluster_is_posted_once_per_cooldown(floor: Floor, draw: Market):
    await near(floor, floor.manager())
    await floor.env.advance_time(2 * MINUTE)
    assert said(floor) == []
    draw.last = 29_200.0
    await floor.env.advance_time(MINUTE)
    (sentence,) = said(floor)
    assert sentence == (
        "🔔 **BTCUSDT** on Binance is near $5.00M of longs at 29,000 (-0.68 % from 29,200),"
        " as estimated from trades."
    )
    await floor.env.advance_time(30 * MINUTE)
    assert len(said(floor)) == 1
    await floor.env.advance_time(31 * MINUTE)
    assert len(said(floor)) == 2


async def test_cluster_swept_between_two_checks_raises_an_alert(floor: Floor, draw: Market):
    await near(floor, floor.manager(), distance="0.1%")
    await floor.env.advance_time(MINUTE)
    draw.last, draw.clusters = 31_500.0, {29_000.0: 5e6}
    await floor.env.advance_time(MINUTE)
    (sentence,) = said(floor)
    assert sentence == (
        "🔔 **BTCUSDT** on Binance has swept $2.00M of shorts at 31,000 (-1.59 % from 31,500),"
        " as estimated from trades."
    )


@EXPECTS_ERRORS
async def test_sweep_that_could_not_be_posted_is_posted_later(floor: Floor, draw: Market):
    await near(floor, floor.manager(), distance="0.1%")
    await floor.env.advance_time(MINUTE)
    draw.last, draw.clusters = 31_500.0, {29_000.0: 5e6}
    floor.env.inject_error("POST", "/channels/*/messages", status=400, code=1)
    await floor.env.advance_time(MINUTE)
    assert said(floor) == []
    await floor.env.advance_time(MINUTE)
    assert [sentence.partition(" of ")[0] for sentence in said(floor)] == [
        "🔔 **BTCUSDT** on Binance has swept $2.00M"
    ]


async def test_alert_without_a_database_is_posted_once(floor: Floor, monkeypatch: pytest.MonkeyPatch):
    await near(floor, floor.manager(), distance="5%")

    def away(_: object) -> None:
        raise DBAPIError("", None, Exception())

    monkeypatch.setattr("bot.store.alerts.writing", away)
    await floor.env.advance_time(5 * MINUTE)
    assert len(said(floor)) == 1


async def test_cluster_touched_briefly_between_two_checks_raises_an_alert(floor: Floor, draw: Market):
    await near(floor, floor.manager(), distance="0.1%")
    await floor.env.advance_time(MINUTE)
    draw.wick = 999.0
    await floor.env.advance_time(MINUTE)
    assert said(floor) == []
    draw.wick = 1000.0
    await floor.env.advance_time(MINUTE)
    assert [sentence.partition(" of ")[0] for sentence in said(floor)] == [
        "🔔 **BTCUSDT** on Binance has swept $5.00M"
    ]


async def test_cluster_that_appears_where_the_price_has_been_raises_no_alert(floor: Floor, draw: Market):
    await near(floor, floor.manager(), distance="0.1%")
    draw.clusters, draw.wick = {}, 500.0
    await floor.env.advance_time(MINUTE)
    draw.clusters = {29_700.0: 5e6}
    await floor.env.advance_time(3 * MINUTE)
    assert said(floor) == []
    draw.since = discord.utils.utcnow() + timedelta(days=999)  # another bin
    await floor.env.advance_time(MINUTE)
    assert len(said(floor)) == 1


async def test_price_at_the_edge_of_a_wide_cluster_is_near(floor: Floor, draw: Market):
    await near(floor, floor.manager(), distance="0.1%")
    draw.last, draw.width = 30_400.0, 1200.0
    await floor.env.advance_time(MINUTE)
    assert [sentence.partition(", as")[0] for sentence in said(floor)] == [
        "🔔 **BTCUSDT** on Binance is near $2.00M of shorts at 30,400–31,600 (+1.97 % from 30,400)"
    ]


async def test_small_cluster_causes_no_alert(floor: Floor, draw: Market):
    await near(floor, floor.manager(), notional="10m", distance="10%")
    draw.last = 31_500.0
    await floor.env.advance_time(3 * MINUTE)
    assert said(floor) == []


async def test_clock_set_back_by_hours_stops_no_alert(floor: Floor, monkeypatch: pytest.MonkeyPatch):
    await near(floor, floor.manager(), distance="5%")
    await floor.env.advance_time(2 * MINUTE)
    assert len(said(floor)) == 1
    monkeypatch.setattr(SimulatedClock, "back", timedelta(hours=5))
    await floor.env.advance_time(3 * MINUTE)
    assert len(said(floor)) == 2
    await floor.env.advance_time(62 * MINUTE)
    assert len(said(floor)) == 3


async def test_symbol_is_drawn_once_a_minute_for_all_its_alerts(floor: Floor, draw: Market):
    mona = floor.manager()
    for distance in ("1%", "2%", "3%"):
        await near(floor, mona, distance=distance)
    await near(floor, mona, symbol="eth")
    drawn = len(draw.requests)
    await floor.env.advance_time(MINUTE)
    assert sorted(request.market.symbol for request in draw.requests[drawn:]) == ["BTCUSDT", "ETHUSDT"]
    assert {request.selection for request in draw.requests} == {TopN(100)}


@EXPECTS_ERRORS
async def test_alert_says_itself_what_of_the_trades_stands(floor: Floor, draw: Market, store: Store):
    mona = floor.manager()
    await near(floor, mona)
    answer = await near(floor, mona, positions="open-interest")
    assert "a cluster of $1M or more, by open interest, at most once" in shown(answer).content
    assert draw.requests[-1].positions is PositionModel.OPEN_INTEREST
    drawn = len(draw.requests)
    await floor.env.advance_time(MINUTE)
    watched = [request.positions for request in draw.requests[drawn:]]
    assert sorted(watched) == [PositionModel.OPEN_INTEREST, PositionModel.TRADES]
    assert [each.positions for each in await store.alerts.all()] == [None, PositionModel.OPEN_INTEREST]
    again = await near(floor, mona, positions="open-interest")
    assert "already has this alert" in shown(again).content


async def test_server_s_mode_is_what_its_alerts_watch(floor: Floor, draw: Market):
    boss = floor.manager(manage_guild=True)
    await boss.slash(floor.channel, "settings", mode="portion", value="2%")
    await near(floor, boss)
    assert draw.requests[-1].selection == Portion(0.02)


async def test_market_that_cannot_be_seen_is_waited_for(floor: Floor, draw: Market):
    await near(floor, floor.manager(), distance="5%")
    draw.errors = [DataError("Not now.")]
    await floor.env.advance_time(MINUTE)
    assert said(floor) == []
    await floor.env.advance_time(MINUTE)
    assert len(said(floor)) == 1


@EXPECTS_ERRORS
async def test_fault_of_the_bot_stops_no_other_alert_and_is_in_the_log_once(
    floor: Floor, draw: Market, caplog: pytest.LogCaptureFixture
):
    mona = floor.manager()
    for symbol in ("eth", "btc"):
        await near(floor, mona, symbol=symbol, distance="5%")
    draw.errors = [ValueError("a fault of the bot")]
    await floor.env.advance_time(MINUTE)
    assert len(said(floor)) == 1
    await floor.env.advance_time(2 * MINUTE)
    assert len(said(floor)) == 2
    assert sum(record.exc_info is not None for record in caplog.records) == 1


async def test_row_that_makes_no_sense_stops_no_other_alert(floor: Floor, store: Store):
    new = NewAlert(5, 2, 3, Exchange.BINANCE, "BTCUSDT", 0.1, 1.0, timedelta(hours=1))
    await store.guilds.put(5, GuildDefaults(mode="bogus"))
    await store.alerts.add(new)
    await store.alerts.add(replace(new, guild_id=6, symbol="../x"))
    await near(floor, floor.manager(), distance="5%")
    await floor.env.advance_time(MINUTE)
    assert len(said(floor)) == 1


async def test_restart_keeps_alerts_and_their_cooldown(
    floor: Floor, draw: Market, settings: BotSettings, store: Store
):
    await near(floor, floor.manager(), distance="5%")
    await floor.env.advance_time(MINUTE)
    await floor.env.restart_bot(new_bot(settings, store, draw))
    await floor.env.advance_time(10 * MINUTE)
    assert len(said(floor)) == 1


@EXPECTS_ERRORS
async def test_alert_that_may_not_be_posted_is_removed_and_its_creator_informed(floor: Floor, store: Store):
    mona = floor.manager()
    await near(floor, mona, distance="5%")
    floor.env.inject_error("POST", "/channels/*/messages", status=403, code=50013)
    await floor.env.advance_time(MINUTE)
    assert await store.alerts.all() == []
    (reported,) = mona.user.dm_channel.history()
    assert "I have removed the alert of BTCUSDT" in reported.content


@EXPECTS_ERRORS
async def test_alert_that_discord_refuses_is_posted_later(floor: Floor):
    await near(floor, floor.manager(), distance="5%")
    floor.env.inject_error("POST", "/channels/*/messages", status=400, code=1)
    await floor.env.advance_time(2 * MINUTE)
    assert len(said(floor)) == 1


@pytest.mark.parametrize("stop", ["remove", "pause"])
async def test_alert_that_is_stopped_while_its_map_is_drawn_is_not_posted(
    floor: Floor, draw: Market, store: Store, stop: str
):
    async def stopped() -> None:
        await (store.alerts.remove(1) if stop == "remove" else store.alerts.pause(1, reason="paused"))

    await near(floor, floor.manager(), distance="5%")
    draw.meanwhile = stopped
    await floor.env.advance_time(MINUTE)
    assert said(floor) == []


async def test_alert_is_posted_while_it_cannot_be_read_whether_it_is_there(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
):
    def away(*_: object) -> None:
        raise DBAPIError("", None, Exception())

    await near(floor, floor.manager(), distance="5%")
    monkeypatch.setattr(AlertTable, "is_watched", away)
    await floor.env.advance_time(MINUTE)
    assert len(said(floor)) == 1


async def test_alert_of_a_channel_that_goes_while_it_is_posted_informs_nobody(
    floor: Floor, store: Store, monkeypatch: pytest.MonkeyPatch
):
    async def gone(*_: object, **__: object) -> None:
        await store.alerts.remove_channel(floor.channel.id)
        raise refused(403, code=50001)

    mona = floor.manager()
    await near(floor, mona, distance="5%")
    monkeypatch.setattr(Posts, "write", gone)
    await floor.env.advance_time(MINUTE)
    assert mail(mona) == []


async def test_list_and_remove(floor: Floor, store: Store):
    mona = floor.manager()
    listed = shown(await mona.slash(floor.channel, "alert list"))
    assert listed.embeds[0].description == "No alerts here; /alert near sets one."
    await near(floor, mona)
    await near(floor, mona, symbol="eth")
    listed = shown(await mona.slash(floor.channel, "alert list"))
    assert [line[:10] for line in (listed.embeds[0].description or "").splitlines()] == [
        *("1. BTCUSDT", "2. ETHUSDT")
    ]
    choices = await mona.autocomplete(floor.channel, "alert remove", "alert", "eth")
    assert [choice["value"] for choice in choices] == ["2"]
    removed = shown(await mona.slash(floor.channel, "alert remove", alert="2"))
    assert removed.content.startswith("Removed: ETHUSDT on Binance within 1 %")
    assert [each.id for each in await store.alerts.all()] == [1]
    symbols = await mona.autocomplete(floor.channel, "alert near", "symbol", "sol")
    assert symbols[0]["value"] == "SOLUSDT"


async def test_long_list_ends_with_a_whole_alert_and_how_many_there_are_beyond(floor: Floor, store: Store):
    guild, channel = floor.env.guild.id, floor.channel.id
    for large in range(60):
        notional = 1e6 + large
        await store.alerts.add(
            NewAlert(guild, channel, 1, Exchange.BINANCE, "BTCUSDT", 0.01, notional, MINUTES)
        )
    listed = shown(await floor.manager().slash(floor.channel, "alert list"))
    *lines, rest = (listed.embeds[0].description or "").splitlines()
    assert all(line.endswith(f" in <#{floor.channel.id}>") for line in lines)
    assert rest == f"… and {60 - len(lines)} more"


@EXPECTS_ERRORS
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"distance": "NaN"}, "The distance is a share of the price, above 0 and up to 20%; try 1%."),
        ({"distance": "21%"}, "The distance is a share of the price"),
        ({"distance": "-1"}, "The distance is a share of the price"),
        ({"notional": "1e309"}, "The notional is a value in quote currency; try 5m or 500k."),
        ({"notional": "0"}, "The notional is a value in quote currency"),
        ({"cooldown": "1s"}, "The cooldown is a length of time from 5m to 7d; try 1h."),
        ({"cooldown": "soon"}, "The cooldown is a length of time"),
        ({"symbol": "../x"}, "“../x” is not a symbol; try BTCUSDT."),
    ],
)
async def test_bad_option_is_one_sentence(floor: Floor, store: Store, options: dict[str, str], sentence: str):
    assert sentence in refusal(await near(floor, floor.manager(), **options))
    assert await store.alerts.all() == []


@EXPECTS_ERRORS
async def test_symbol_that_cannot_be_drawn_gets_no_alert(floor: Floor, draw: Market, store: Store):
    draw.error = RequestError("No such thing.")
    assert refusal(await near(floor, floor.manager())) == "No such thing."
    assert await store.alerts.all() == []


@EXPECTS_ERRORS
async def test_alert_in_dollars_is_refused_for_a_market_priced_in_bitcoin(floor: Floor, store: Store):
    sentence = "ETHBTC is priced in bitcoin, so its amounts cannot be compared with dollars"
    assert sentence in refusal(await near(floor, floor.manager(), symbol="ethbtc"))
    assert await store.alerts.all() == []


@EXPECTS_ERRORS
async def test_one_too_many_and_one_that_is_gone_are_refused(
    floor: Floor, settings: BotSettings, store: Store
):
    few = settings.model_copy(update={"alerts": AlertsSettings(per_guild=1)})
    await floor.env.restart_bot(new_bot(few, store, floor.draw))
    mona = floor.manager()
    await near(floor, mona)
    assert "This server has 1 alert, which is the limit" in refusal(await near(floor, mona, symbol="eth"))
    answer = await mona.slash(floor.channel, "alert remove", alert="99")
    assert refusal(answer) == "That alert no longer exists; /alert list shows the others."


@EXPECTS_ERRORS
async def test_alerts_set_at_once_stay_within_the_limit(
    floor: Floor, draw: Market, settings: BotSettings, store: Store
):
    few = settings.model_copy(
        update={"alerts": AlertsSettings(per_guild=3), "limits": LimitsSettings(maps_per_user=8)}
    )
    await floor.env.restart_bot(new_bot(few, store, floor.draw))
    mona, draw.gate = floor.manager(), asyncio.Event()
    for each in range(8):
        options = {"symbol": "btc", "distance": f"{each + 1}%", "notional": "1m"}
        chosen = [{"name": key, "type": 3, "value": value} for key, value in options.items()]
        data = {
            "id": "1",
            "name": "alert",
            "type": 1,
            "options": [{"name": "near", "type": 1, "options": chosen}],
        }
        _, payload = base_payload(
            floor.env.backend,
            type=2,
            channel_id=floor.channel.id,
            guild_id=floor.env.guild.id,
            user_id=mona.id,
            data=data,
        )
        floor.env.backend.emit("INTERACTION_CREATE", payload)
    while len(draw.requests) < 8:  # all have seen that there is room
        await asyncio.sleep(0)
    assert await store.alerts.all() == []
    draw.gate.set()
    await floor.env.settle()
    assert len(await store.alerts.all()) == 3


@EXPECTS_ERRORS
async def test_same_alert_twice_is_refused(floor: Floor, draw: Market, store: Store):
    mona, elsewhere = floor.manager(), floor.env.guild.create_text_channel("elsewhere")
    await near(floor, mona)
    answer = await near(floor, floor.manager("otto"), cooldown="2h")
    assert refusal(answer) == f"<#{floor.channel.id}> already has this alert; see /alert list."
    assert len(draw.requests) == 1
    await near(floor, mona, distance="2%")
    await mona.slash(elsewhere, "alert near", symbol="btc", distance="1%", notional="1m")
    assert len(await store.alerts.all()) == 3


@EXPECTS_ERRORS
async def test_same_alert_that_is_set_while_another_is_drawn_is_refused(
    floor: Floor, draw: Market, store: Store
):
    draw.gate = asyncio.Event()
    setting = asyncio.create_task(near(floor, floor.manager()))
    while not draw.requests:
        await asyncio.sleep(0)
    guild, channel = floor.env.guild.id, floor.channel.id
    await store.alerts.add(NewAlert(guild, channel, 1, Exchange.BINANCE, "BTCUSDT", 0.01, 1e6, MINUTES))
    draw.gate.set()
    assert "already has this alert" in refusal(await setting)
    assert len(await store.alerts.all()) == 1


@EXPECTS_ERRORS
async def test_bot_without_a_permission_names_it(floor: Floor):
    bot = floor.env.bot.user
    assert bot is not None
    closed = floor.env.guild.create_text_channel(
        "closed", overwrites={bot: discord.PermissionOverwrite(embed_links=False)}
    )
    options = {"symbol": "btc", "distance": "1%", "notional": "1m"}
    answer = await floor.manager().slash(closed, "alert near", **options)
    assert "I lack the permission Embed Links" in refusal(answer)


@EXPECTS_ERRORS
async def test_alerts_of_a_channel_are_for_those_who_manage_it(floor: Floor, store: Store):
    await near(floor, floor.manager())
    answer = await member_near(floor, floor.member, to=None)
    assert refusal(answer).startswith(
        "You need the permission Manage Channels to set an alert for a channel;"
    )
    listed = shown(await floor.member.slash(floor.channel, "alert list"))
    assert listed.embeds[0].description == "No alerts here; /alert near sets one."
    assert await floor.member.autocomplete(floor.channel, "alert remove", "alert", "") == []
    assert "no longer exists" in refusal(await floor.member.slash(floor.channel, "alert remove", alert="1"))
    assert len(await store.alerts.all()) == 1


async def member_near(
    floor: Floor, member: simcord.MemberActor, *, to: str | None = "me", **options: str
) -> simcord.InteractionResult:
    return await near(floor, member, **({} if to is None else {"to": to}), **options)


def mail(member: simcord.MemberActor) -> list[str]:
    return [message.content for message in member.user.dm_channel.history()]


async def test_own_alert_is_a_private_message_that_nobody_else_sees(floor: Floor, draw: Market):
    answer = await member_near(floor, floor.member, symbol="BTCUSDT")
    words = "BTCUSDT on Binance within 1 % of a cluster of $1M or more, at most once every 1h"
    assert shown(answer).content == (
        f"Alert 1 is set: {words}, by private message. It looks at the last day of trades."
    )
    assert mail(floor.member) == [f"Alerts come here: {words}. /alert remove ends them."]
    draw.last = 29_200.0
    await floor.env.advance_time(MINUTE)
    assert said(floor) == []
    (sentence,) = mail(floor.member)[1:]
    assert sentence.startswith("🔔 **BTCUSDT** on Binance is near $5")
    listed = shown(await floor.manager().slash(floor.channel, "alert list"))
    assert listed.embeds[0].description == "No alerts here; /alert near sets one."
    removed = shown(await floor.member.slash(floor.channel, "alert remove", alert="1"))
    assert removed.content == f"Removed: {words}, by private message."


@EXPECTS_ERRORS
async def test_closed_private_messages_are_reported_and_no_alert_is_set(floor: Floor, store: Store):
    floor.env.inject_error("POST", "/channels/*/messages", status=403, code=50007)
    sentence = refusal(await member_near(floor, floor.member))
    assert sentence.startswith("I cannot send you private messages: allow direct messages")
    assert await store.alerts.all() == []


@EXPECTS_ERRORS
async def test_own_alert_whose_messages_were_closed_is_paused_and_goes_on_when_set_again(
    floor: Floor, store: Store
):
    await member_near(floor, floor.member, distance="5%")
    floor.env.inject_error("POST", "/channels/*/messages", status=403, code=50007)
    await floor.env.advance_time(MINUTE)
    sent = len(floor.env.http_requests)
    await floor.env.advance_time(30 * MINUTE)
    assert [each for each in floor.env.http_requests[sent:] if "/messages" in each.path] == []
    listed = shown(await floor.member.slash(floor.channel, "alert list"))
    assert (
        (listed.embeds[0].description or "")
        .strip()
        .endswith("(⏸ paused: your private messages were closed to me; open them, and set the alert again)")
    )
    again = await member_near(floor, floor.member, distance="5%", cooldown="2h")
    assert "Alert 1 is set" in shown(again).content
    await floor.env.advance_time(MINUTE)
    assert mail(floor.member)[-1].startswith("🔔 **BTCUSDT** on Binance is near")
    (alert,) = await store.alerts.all()
    assert (alert.reason, alert.cooldown) == ("", timedelta(hours=2))


@EXPECTS_ERRORS
async def test_alert_that_cannot_be_paused_now_costs_no_other_its_news(
    floor: Floor, draw: Market, store: Store, monkeypatch: pytest.MonkeyPatch
):
    async def locked(*_: object, **__: object) -> None:
        raise DBAPIError("", None, Exception())

    await member_near(floor, floor.member, distance="0.1%")
    await near(floor, floor.manager(), distance="0.1%")
    await floor.env.advance_time(MINUTE)
    draw.last, draw.clusters = 31_500.0, {29_000.0: 5e6}
    with monkeypatch.context() as away:
        away.setattr(AlertTable, "pause", locked)
        floor.env.inject_error("POST", "/channels/*/messages", status=403, code=50007)
        await floor.env.advance_time(MINUTE)
        assert [sentence.partition(" of ")[0] for sentence in said(floor)] == [
            "🔔 **BTCUSDT** on Binance has swept $2.00M"
        ]
    floor.env.inject_error("POST", "/channels/*/messages", status=403, code=50007)
    await floor.env.advance_time(MINUTE)
    assert [bool(each.reason) for each in await store.alerts.all()] == [True, False]


@EXPECTS_ERRORS
async def test_own_alerts_have_a_limit_of_their_own(floor: Floor, settings: BotSettings, store: Store):
    few = settings.model_copy(update={"alerts": AlertsSettings(per_guild=1, per_person=1)})
    await floor.env.restart_bot(new_bot(few, store, floor.draw))
    mona = floor.manager()
    await near(floor, mona)
    await member_near(floor, mona)
    await member_near(floor, floor.member)
    assert refusal(await member_near(floor, mona)) == "You already have this alert; see /alert list."
    assert refusal(await member_near(floor, mona, symbol="eth")) == (
        "You have 1 alert, which is the limit; remove one first."
    )
    assert len(await store.alerts.all()) == 3
