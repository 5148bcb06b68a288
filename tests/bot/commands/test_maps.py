from __future__ import annotations

import asyncio
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import simcord

from liqmap import PICTURES, Market, Picture
from liqmap.errors import DataError, EngineBusy, JobFailed, NotCovered, RequestError
from liqmap.model import (
    Coverage,
    Exchange,
    Gap,
    GapKind,
    GrossValue,
    LeftOut,
    LeftOutKind,
    LevelFilter,
    MapRequest,
    MarginModel,
    MarketSummary,
    Portion,
    Theme,
    TopN,
)
from liqmap.model.summary import MapNumbers
from liqmap.model.window import TimeWindow
from tests.bot.conftest import PNG, REQUEST, SUMMARY, WINDOW, Floor, labels, result_of
from tests.conftest import BTCUSDT

# An error that has become a sentence still counts as one to the simulation.
EXPECTS_ERRORS = pytest.mark.simcord(check_errors=False)
FIRST = TimeWindow.ending(datetime(2026, 1, 1, 9, 30, tzinfo=UTC), timedelta(hours=6))


HALF = Coverage(
    WINDOW,
    (TimeWindow.ending(WINDOW.end, timedelta(hours=3)),),
    (Gap(TimeWindow.ending(WINDOW.end - timedelta(hours=3), timedelta(hours=3)), GapKind.BEING_FETCHED),),
)


def shown(result: simcord.InteractionResult) -> simcord.ResponseMessage:
    assert result.response is not None
    return result.response


def refusal(result: simcord.InteractionResult) -> str:
    """Return the one sentence that a command was refused with, for the person alone."""
    message = shown(result)
    assert result.ephemeral
    assert not message.embeds
    assert not message.attachments
    assert "\n" not in message.content
    return message.content


async def test_command_is_answered_with_map_depth_and_numbers(floor: Floor):
    answer = await floor.liqmap(value="100")
    message = shown(answer)
    assert floor.draw.requests == [MapRequest(BTCUSDT, FIRST, TopN(100))]
    assert not answer.ephemeral
    assert [await attachment.read() for attachment in message.attachments] == [PNG + b"map", PNG + b"depth"]
    assert [attachment.description is not None for attachment in message.attachments] == [True, True]
    first, depth, numbers = message.embeds
    assert first.title == "BTCUSDT liquidation map · last 29,205"
    assert (first.image.url or "").endswith("liquidation_map.png")
    assert (depth.image.url or "").endswith("liquidation_depth.png")
    assert (numbers.image.url, len(numbers.fields)) == (None, 4)
    assert message.content == ""


@pytest.mark.parametrize(
    ("typed", "content"),
    [
        ("btc", "BTC: BTCUSDT"),
        ("btc/usdt", ""),
        ("BTCUSDT.P", ""),
        ("btcusd", "BTCUSD: BTCUSD_PERP"),
        ("ETHBTC", ""),
        ("ADABUSD", ""),
    ],
)
async def test_reply_says_what_an_incomplete_symbol_was_taken_to_mean(floor: Floor, typed: str, content: str):
    assert shown(await floor.liqmap(symbol=typed)).content == content


async def test_options_come_in_the_order_that_people_type(floor: Floor):
    command = floor.env.bot.tree.get_command("liqmap")  # type: ignore[attr-defined] # simcord's is a Client
    names = [parameter.name for parameter in command.parameters]
    assert names == [
        *("symbol", "window", "mode", "value", "exchange", "end"),
        *("chart", "model", "leverages", "levels", "positions", "theme", "private"),
    ]
    assert [parameter.name for parameter in command.parameters if parameter.required] == names[:2]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"symbol": "eth/usdt", "window": "6 Hours"}, {"market": Market(Exchange.BINANCE, "ETHUSDT")}),
        ({"mode": "gross_value", "value": "0.1m"}, {"selection": GrossValue(1e5)}),
        ({"mode": "portion", "value": "0.01"}, {"selection": Portion(0.01)}),
        ({"mode": "portion"}, {"selection": Portion(0.01)}),
        ({"mode": None}, {"selection": TopN(100)}),
        ({"mode": None, "value": "50"}, {"selection": TopN(50)}),
        (
            {"exchange": "bybit", "theme": "light"},
            {"market": Market(Exchange.BYBIT, "BTCUSDT"), "theme": Theme.LIGHT},
        ),
        (
            {"chart": "heatmap", "model": "bybit"},
            {"pictures": PICTURES | {Picture.HEATMAP}, "model": MarginModel.BYBIT},
        ),
        ({}, {"pictures": PICTURES, "model": MarginModel.BINANCE, "levels": LevelFilter.STANDING}),
        ({"levels": "all"}, {"levels": LevelFilter.ALL}),
        ({"leverages": "100, 20x:3"}, {"leverages": (20, 100), "weights": (3.0, 1.0)}),
        (
            {"end": "2023-08-01 06:00"},
            {"window": TimeWindow.ending(datetime(2023, 8, 1, 6, tzinfo=UTC), timedelta(hours=6))},
        ),
    ],
)
async def test_options_are_understood_forgivingly(
    floor: Floor, options: dict[str, str | None], expected: dict[str, Any]
):
    await floor.liqmap(**options)
    (request,) = floor.draw.requests
    assert {name: getattr(request, name) for name in expected} == expected


@EXPECTS_ERRORS
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"symbol": "B-T-C!"}, "“B-T-C!” is not a symbol; try BTCUSDT."),
        ({"symbol": "@everyone"}, "“everyone” is not a symbol; try BTCUSDT."),
        ({"window": "soon"}, "The window “soon” is not a length of time; try 6h, 90m or 7d."),
        ({"window": "91d"}, "The window is longer than 90 days, the most that is drawn here."),
        ({"value": "NaN"}, "The value “NaN” does not fit top_n; try 100."),
        ({"value": "1e309"}, "The value “1e309” does not fit top_n; try 100."),
        ({"mode": "portion", "value": "150%"}, "portion"),
        (
            {"leverages": "10,10"},
            "The leverages “10,10” have one of them twice; give each once.",
        ),
        ({"leverages": "1,200"}, "Leverages go from 2 to 150, such as 10,25,50,100."),
        ({"end": "tomorrow"}, "The end “tomorrow” is not a time; try 2023-08-01 06:00 (UTC)."),
        ({"end": "2030-01-01"}, "lies in the future"),
        ({"end": "2019-01-01"}, "Binance USD-M trades are published from 2019-12-31 on; try a later end."),
        ({"window": "6" * 6000}, "The window “666666666666666666666666666666…” cannot be read"),
    ],
)
async def test_bad_option_is_one_private_sentence(floor: Floor, options: dict[str, str], sentence: str):
    answer = await floor.liqmap(**options)
    assert sentence in refusal(answer)
    assert floor.draw.requests == []


@EXPECTS_ERRORS
@pytest.mark.parametrize(
    "error",
    [
        RequestError("Nobody traded."),
        DataError("Not there."),
        EngineBusy("Busy."),
        JobFailed("It took too long."),
    ],
)
async def test_error_while_drawing_becomes_its_sentence_in_private(floor: Floor, error: Exception):
    floor.draw.error = error
    answer = await floor.liqmap()
    (sentence,) = answer.followups
    assert answer.response is None
    assert sentence.content == str(error)
    assert sentence.ephemeral


@EXPECTS_ERRORS
async def test_sentence_comes_in_private_though_the_connection_is_reset(
    floor: Floor, followup_resets: list[Exception]
):
    floor.draw.error = DataError("Not there.")
    followup_resets.append(ConnectionResetError(104, "reset"))
    answer = await floor.liqmap()
    assert answer.response is None
    assert [(each.content, each.ephemeral) for each in answer.followups] == [("Not there.", True)]


@EXPECTS_ERRORS
async def test_too_many_maps_a_minute_are_refused_with_when_to_come_again(floor: Floor):
    for _ in range(10):
        await floor.liqmap()
    sentence = refusal(await floor.liqmap())
    assert sentence.startswith("You have asked for 10 maps within a minute; try again <t:")
    await floor.env.advance_time(61)
    assert len(shown(await floor.liqmap()).attachments) == 2


async def test_private_answer_is_seen_by_the_person_alone(floor: Floor):
    answer = await floor.liqmap(private=True)
    assert answer.ephemeral
    assert shown(answer).ephemeral
    assert len(shown(answer).attachments) == 2


async def test_command_works_in_a_private_chat(floor: Floor):
    answer = await floor.env.create_user("bob").slash("liqmap", symbol="BTC", window="6h", mode="top_n")
    assert len(answer.response.attachments) == 2


async def test_partial_map_comes_first_and_the_complete_map_replaces_it(floor: Floor):
    floor.draw.gate = asyncio.Event()
    floor.draw.partial = result_of(
        coverage=HALF, pictures={Picture.MAP: PNG + b"half", Picture.DEPTH: PNG + b"depth"}
    )
    asking = asyncio.create_task(floor.liqmap(value="100"))
    while (message := floor.channel.last_message) is None or not message.attachments:
        await asyncio.sleep(0)
    assert message.content.startswith("This map is incomplete; the rest is being fetched")
    assert await message.attachments[0].read() == PNG + b"half"
    assert "⚠️ 50 % covered, missing 00:00–03:00 (still being fetched)" in (
        message.embeds[0].description or ""
    )
    assert not message.components
    floor.draw.gate.set()
    whole = shown(await asking)
    assert whole.message.id == message.id
    assert [whole.content, await whole.attachments[0].read()] == ["", PNG + b"map"]
    assert "covered" not in (whole.embeds[0].description or "")


async def test_slow_exchange_is_named_in_the_map_of_the_others_until_it_is_there(floor: Floor):
    floor.draw.gate = asyncio.Event()
    markets = Market(Exchange.BINANCE, "BTCUSDT"), Market(Exchange.OKX, "BTCUSDT")
    one = MarketSummary(
        **{each.name: getattr(SUMMARY, each.name) for each in fields(MapNumbers)},
        market=markets[0],
        coverage=Coverage(WINDOW, (WINDOW,)),
    )
    slow = LeftOut(markets[1], LeftOutKind.BEING_FETCHED)
    floor.draw.partial = result_of(
        replace(REQUEST, markets=markets), summary=replace(SUMMARY, by_market=(one,), left_out=(slow,))
    )
    asking = asyncio.create_task(floor.liqmap(exchange="all"))
    while (message := floor.channel.last_message) is None or not message.attachments:
        await asyncio.sleep(0)
    assert message.content.startswith("This map is incomplete; the rest is being fetched")
    words = str([each.to_dict() for each in message.embeds])
    assert "OKX is left out (still being fetched)" in words
    floor.draw.gate.set()
    whole = shown(await asking)
    assert whole.message.id == message.id
    assert "left out" not in str([each.to_dict() for each in whole.embeds])


@EXPECTS_ERRORS
@pytest.mark.parametrize("private", [False, True])
async def test_partial_map_stays_if_the_rest_cannot_be_fetched(floor: Floor, private: bool):
    floor.draw.partial = result_of(
        REQUEST, coverage=HALF, pictures={Picture.MAP: PNG + b"half", Picture.DEPTH: PNG + b"depth"}
    )
    floor.draw.errors = [DataError("Not there.")]
    answer = await floor.liqmap(private=private)
    assert [(each.content, each.ephemeral) for each in answer.followups] == [("Not there.", True)]
    message = shown(answer)
    assert message.content.startswith("The rest could not be fetched, so this map is incomplete; press Ref")
    assert await message.attachments[0].read() == PNG + b"half"
    await floor.member.click(message.message, label="Refresh")
    assert (message.content, len(message.attachments)) == ("", 2)


@EXPECTS_ERRORS
async def test_partial_map_that_could_not_be_shown_does_not_stay(floor: Floor):
    floor.draw.partial, floor.draw.error = result_of(), DataError("Not there.")
    floor.env.inject_error("PATCH", "/webhooks/*/messages/@original", status=503)
    answer = await floor.liqmap()
    assert answer.response is None
    assert [each.content for each in answer.followups] == ["Not there."]


async def test_uncovered_window_after_a_partial_map_is_reported_beside_it(floor: Floor):
    floor.draw.partial = result_of(coverage=HALF)
    floor.draw.errors = [NotCovered("There is none.", whole_end=datetime(2025, 12, 31, tzinfo=UTC))]
    answer = await floor.liqmap()
    (aside,) = answer.followups
    assert (aside.content, aside.ephemeral) == ("There is none.", True)
    assert len(shown(answer).attachments) == 2


async def test_uncovered_window_offers_the_newest_whole_one(floor: Floor):
    end = datetime(2025, 12, 31, tzinfo=UTC)
    floor.draw.errors = [NotCovered("There is none; ask for the end 2025-12-31 00:00 UTC.", whole_end=end)]
    message = shown(await floor.liqmap(exchange="bybit", value="50"))
    assert message.content == "There is none; ask for the end 2025-12-31 00:00 UTC."
    assert labels(message.message) == [["The whole 6h until Dec 31 00:00 UTC", "Delete"]]
    await floor.member.click(message.message, label="The whole 6h until Dec 31 00:00 UTC")
    expected = MapRequest(
        (Market(Exchange.BYBIT, "BTCUSDT"),), TimeWindow.ending(end, timedelta(hours=6)), TopN(50)
    )
    assert floor.draw.requests[-1] == expected
    now = floor.channel.last_message
    assert now is not None
    assert (now.id, now.content, len(now.attachments)) == (message.message.id, "", 2)


async def test_window_that_is_partly_there_offers_the_newest_whole_one_too(floor: Floor):
    end = datetime(2025, 12, 31, tzinfo=UTC)
    floor.draw.coverage = replace(HALF, whole_end=end)
    message = shown(await floor.liqmap()).message
    assert labels(message)[-1] == ["CSV", "The whole 6h until Dec 31 00:00 UTC", "Delete"]
    await floor.member.click(message, label="The whole 6h until Dec 31 00:00 UTC")
    assert floor.draw.requests[-1].window.end == end


@pytest.mark.parametrize(
    ("option", "typed", "filled", "first"),
    [
        ("symbol", "", {}, "BTCUSDT"),
        ("symbol", "sol", {}, "SOLUSDT"),
        ("symbol", "pepe", {}, "1000PEPEUSDT"),
        ("window", "1", {}, "1h"),
        ("value", "", {"mode": "portion"}, "0.1%"),
        ("value", "", {"mode": "gross_value"}, "50k"),
        ("value", "1", {}, "1"),
        ("end", "2023-08", {}, "2023-08-01 00:00"),
        ("leverages", "", {}, "10,25,50,100"),
    ],
)
async def test_suggestions_start_with_what_is_typed(
    floor: Floor, option: str, typed: str, filled: dict[str, str], first: str
):
    choices = await floor.member.autocomplete(floor.channel, "liqmap", option, typed, **filled)
    assert choices[0]["value"] == first
    assert len(choices) <= 25


async def test_nonsense_gets_no_suggestions(floor: Floor):
    assert await floor.member.autocomplete(floor.channel, "liqmap", "symbol", "\x00" * 90) == []
