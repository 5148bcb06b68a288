from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import aiohttp
import discord
import pytest
from simcord.backend.models import Overwrite
from simcord.enums import OverwriteType

from bot.request.spec import MapSpec
from bot.settings import BotSettings
from bot.store import Store
from bot.views import progress
from bot.views.map import map_view
from liqmap.errors import DataError, NotCovered
from liqmap.model import Exchange, GrossValue, MarginModel, Progress, TopN
from liqmap.model.window import TimeWindow
from tests.bot.conftest import CSV, PNG, REQUEST, FakeDraw, Floor, labels, new_bot, result_of

EXPECTS_ERRORS = pytest.mark.simcord(check_errors=False)
END = datetime(2026, 1, 1, 9, 30, tzinfo=UTC)
SIX = timedelta(hours=6)


async def answered(floor: Floor, **options: str) -> discord.Message:
    result = await floor.liqmap(**options)
    assert result.response is not None
    return result.response.message


def now_shown(floor: Floor) -> discord.Message:
    message = floor.channel.last_message
    assert message is not None
    return message


async def test_buttons_stand_under_a_map_within_discord_s_limits(floor: Floor):
    message = await answered(floor)
    assert labels(message) == [["Refresh", "1h", "6h", "24h", "7d"], ["menu"], ["menu"], ["CSV", "Delete"]]


@pytest.mark.parametrize(("label", "length"), [("1h", 1), ("6h", 6), ("24h", 24), ("7d", 168)])
async def test_window_button_draws_that_window_in_place(floor: Floor, label: str, length: int):
    message = await answered(floor, end="2023-08-01 06:00", value="50")
    await floor.member.click(message, label=label)
    drawn = floor.draw.requests[-1]
    end = datetime(2023, 8, 1, 6, tzinfo=UTC)
    assert drawn.window == TimeWindow.ending(end, timedelta(hours=length))
    assert drawn.selection == TopN(50)
    assert now_shown(floor).id == message.id
    assert [len(now_shown(floor).attachments), now_shown(floor).content] == [2, ""]


async def test_refresh_ends_now(floor: Floor):
    message = await answered(floor, end="2023-08-01 06:00")
    await floor.env.advance_time(120)
    await floor.member.click(message, label="Refresh")
    assert floor.draw.requests[-1].window == TimeWindow.ending(END + timedelta(minutes=2), SIX)


def menus(message: discord.Message) -> list[str]:
    return [
        item.custom_id
        for row in message.components
        if isinstance(row, discord.ActionRow)
        for item in row.children
        if isinstance(item, discord.SelectMenu)
    ]


async def test_menus_change_mode_with_its_value_and_exchange_with_its_model(floor: Floor):
    message = await answered(floor, value="50")
    await floor.member.select(message, ["gross_value"], custom_id=menus(message)[0])
    assert floor.draw.requests[-1].selection == GrossValue(100_000)
    await floor.member.select(now_shown(floor), ["bybit"], custom_id=menus(now_shown(floor))[1])
    assert floor.draw.requests[-1].market.exchange is Exchange.BYBIT
    assert floor.draw.requests[-1].model is MarginModel.BYBIT
    assert floor.draw.requests[-1].selection == GrossValue(100_000)


async def test_csv_comes_in_private(floor: Floor):
    message = await answered(floor)
    result = await floor.member.click(message, label="CSV")
    table = result.response
    assert table is not None
    assert table.ephemeral
    (attachment,) = table.attachments
    assert attachment.filename == "BTCUSDT_2026-01-01_03-30-00-2026-01-01_09-30-00_top_n_100.csv"
    assert await attachment.read() == CSV


async def test_buttons_outlive_a_restart(floor: Floor, settings: BotSettings, store: Store):
    message = await answered(floor)
    draw = FakeDraw()
    await floor.env.restart_bot(new_bot(settings, store, draw))
    await floor.member.click(message, label="24h")
    assert [request.window.length for request in draw.requests] == [timedelta(days=1)]


@EXPECTS_ERRORS
async def test_error_of_a_press_is_private_and_keeps_the_map(floor: Floor):
    message = await answered(floor)
    floor.draw.error = DataError("Not there.")
    result = await floor.member.click(message, label="1h")
    (sentence,) = result.followups
    assert (sentence.content, sentence.ephemeral) == ("Not there.", True)
    assert (now_shown(floor).content, len(now_shown(floor).attachments)) == ("", 2)


async def test_press_for_an_uncovered_window_keeps_the_map_and_offers_another(floor: Floor):
    message = await answered(floor)
    end = datetime(2025, 12, 31, tzinfo=UTC)
    floor.draw.errors = [NotCovered("There is none.", whole_end=end)]
    result = await floor.member.select(message, ["bybit"], custom_id=menus(message)[1])
    (aside,) = result.followups
    assert (aside.content, aside.ephemeral) == ("There is none.", True)
    assert labels(aside.message) == [["The whole 6h until Dec 31 00:00 UTC", "Delete"]]
    assert (now_shown(floor).content, len(now_shown(floor).attachments)) == ("", 2)
    assert labels(now_shown(floor))[0][0] == "Refresh"


@EXPECTS_ERRORS
@pytest.mark.parametrize("error", [DataError("Not there."), NotCovered("Not there.", whole_end=END)])
async def test_sentence_beside_a_map_comes_though_the_connection_is_reset(
    floor: Floor, followup_resets: list[Exception], error: Exception
):
    message = await answered(floor)
    floor.draw.error = error
    followup_resets += [ConnectionResetError(104, "reset"), aiohttp.ServerDisconnectedError()]
    result = await floor.member.click(message, label="1h")
    assert [each.content for each in result.followups] == ["Not there."]


@EXPECTS_ERRORS
async def test_progress_is_removed_from_a_map_after_any_error(floor: Floor, monkeypatch: pytest.MonkeyPatch):
    message = await answered(floor)
    monkeypatch.setattr(progress, "PROGRESS_EVERY", 0.0)
    floor.draw.news, floor.draw.gate = [Progress("Drawing")], asyncio.Event()
    floor.draw.error = ValueError()
    pressing = asyncio.create_task(floor.member.click(message, label="1h"))
    while now_shown(floor).content != "Drawing …":
        await asyncio.sleep(0)
    floor.draw.gate.set()
    (sentence,) = (await pressing).followups
    assert "went wrong" in sentence.content
    assert (now_shown(floor).content, len(now_shown(floor).attachments)) == ("", 2)


@EXPECTS_ERRORS
async def test_press_that_fails_after_a_partial_map_says_that_the_map_stays_incomplete(floor: Floor):
    message = await answered(floor, symbol="eth")
    floor.draw.partial = result_of()
    floor.draw.errors = [DataError("Not there.")]
    result = await floor.member.click(message, label="1h")
    assert [each.content for each in result.followups] == ["Not there."]
    assert now_shown(floor).content.startswith("The rest could not be fetched, so this map is incomplete")
    await floor.member.click(now_shown(floor), label="Refresh")
    assert [request.market.symbol for request in floor.draw.requests] == ["ETHUSDT", "ETHUSDT", "BTCUSDT"]


@EXPECTS_ERRORS
async def test_delete_is_for_the_author_and_for_moderators(floor: Floor):
    message = await answered(floor)
    stranger = floor.env.guild.add_member(floor.env.create_user("bob"))
    result = await stranger.click(message, label="Delete")
    assert result.response is not None
    assert result.response.content == "Only the person who asked for this map, or a moderator, can delete it."
    assert floor.channel.history() == [message]
    await floor.member.click(message, label="Delete")
    assert floor.channel.history() == []
    message = await answered(floor)
    moderator = floor.manager("mod", manage_messages=True)
    await moderator.click(message, label="Delete")
    assert floor.channel.history() == []


@EXPECTS_ERRORS
@pytest.mark.parametrize("label", ["Refresh", "24h", "The whole 6h until Dec 31 00:00 UTC"])
async def test_redrawn_map_still_belongs_to_its_author(floor: Floor, label: str):
    floor.draw.coverage = replace(result_of().coverage, whole_end=datetime(2025, 12, 31, tzinfo=UTC))
    message = await answered(floor)
    stranger = floor.env.guild.add_member(floor.env.create_user("bob"))
    await stranger.click(message, label=label)
    result = await stranger.click(now_shown(floor), label="Delete")
    assert result.response is not None
    assert result.response.content.startswith("Only the person who asked for this map")
    await floor.member.click(now_shown(floor), label="Delete")
    assert floor.channel.history() == []


async def test_delete_of_a_deleted_message_is_not_an_error(floor: Floor):
    message = await answered(floor)
    floor.env.inject_error("DELETE", "/webhooks/*/messages/@original", status=404, code=10008)
    result = await floor.member.click(message, label="Delete")
    assert result.followups == []


@pytest.mark.parametrize("label", ["1h", "CSV", "Delete"])
async def test_press_is_acknowledged_though_the_connection_is_reset(
    floor: Floor, resets: list[Exception], label: str
):
    message = await answered(floor)
    resets += [ConnectionResetError(104, "reset"), aiohttp.ServerDisconnectedError()]
    result = await floor.member.click(message, label=label)
    assert not [each for each in result.followups if "went wrong" in each.content]
    match label:
        case "1h":
            assert len(floor.draw.requests) == 2
        case "CSV":
            assert floor.draw.requests[-1].levels_csv
        case _:
            assert floor.channel.history() == []


@EXPECTS_ERRORS
async def test_person_without_the_right_to_use_commands_cannot_press_buttons(floor: Floor):
    message = await answered(floor)
    stranger = floor.env.guild.add_member(floor.env.create_user("bob"))
    channel = floor.env.bot.get_channel(floor.channel.id)
    assert isinstance(channel, discord.TextChannel)
    member = channel.guild.default_role
    floor.env.backend.set_overwrite(
        channel.id, Overwrite(target_id=member.id, type=OverwriteType.ROLE, allow=0, deny=1 << 31)
    )
    for label in ("1h", "CSV"):
        result = await stranger.click(message, label=label)
        assert result.response is not None
        assert result.response.content.startswith("You need the permission Use Application Commands in this")
    assert len(floor.draw.requests) == 1


def codes(view: discord.ui.View) -> list[str]:
    return [str(getattr(item, "custom_id", "")) for item in view.children]


async def test_every_custom_id_is_short_and_a_spec_that_is_too_long_leaves_delete():
    spec = MapSpec(REQUEST)
    assert all(len(code) <= 100 for code in codes(map_view(spec, END, author_id=2**63)))
    weights = tuple(float(each) + 0.123456 for each in range(8))
    leverages = (101, 102, 103, 104, 105, 106, 107, 108)
    long = MapSpec(replace(REQUEST, selection=TopN(1), leverages=leverages, weights=weights))
    assert codes(map_view(long, END, author_id=1)) == ["delete:1"]


@EXPECTS_ERRORS
async def test_stale_button_is_answered_politely(floor: Floor):
    message = await answered(floor)
    stored = floor.env.backend.get_message(floor.channel.id, message.id)
    stored.components[0]["components"][0]["custom_id"] = "map:r:nonsense:0"
    result = await floor.member.click(message, label="Refresh")
    assert result.response is not None
    assert result.response.content == "This button is too old; run /liqmap again, please."
    assert result.ephemeral


async def test_pictures_are_the_drawn_ones(floor: Floor):
    message = await answered(floor)
    await floor.member.click(message, label="Refresh")
    assert [await each.read() for each in now_shown(floor).attachments] == [PNG + b"map", PNG + b"depth"]
