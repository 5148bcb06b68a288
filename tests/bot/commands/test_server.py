from __future__ import annotations

import pytest

from bot.request.defaults import GuildDefaults
from bot.store import Store
from liqmap.model import Exchange, MarginModel, Portion, Theme, TopN
from tests.bot.commands.test_maps import refusal, shown
from tests.bot.conftest import Floor

EXPECTS_ERRORS = pytest.mark.simcord(check_errors=False)


def fields(floor_answer) -> dict[str, str]:
    (embed,) = shown(floor_answer).embeds
    return {str(field.name): str(field.value) for field in embed.fields}


async def test_settings_without_options_show_the_current_defaults(floor: Floor, store: Store):
    answer = await floor.manager(manage_guild=True).slash(floor.channel, "settings")
    assert answer.ephemeral
    assert fields(answer) == {
        "Exchange": "Binance",
        "Trades": "top 100 trades per side",
        "Theme": "dark",
        "Leverages": "10, 25, 50, 100",
        "Time zone": "UTC",
        "Channels": "all",
    }
    assert store.guilds.all() == {}


async def test_defaults_apply_to_options_left_out(floor: Floor):
    boss = floor.manager(manage_guild=True)
    options = {
        "exchange": "bybit",
        "mode": "portion",
        "value": "2%",
        "theme": "light",
        "leverages": "10:3,20",
    }
    answer = await boss.slash(floor.channel, "settings", **options)
    assert fields(answer)["Trades"] == "top 2 % of trades per side"
    assert fields(answer)["Leverages"] == "10:3, 20"
    await floor.liqmap(mode=None)
    await floor.liqmap(mode="top_n", exchange="binance", theme="dark", leverages="50")
    first, second = floor.draw.requests
    assert (first.market.exchange, first.selection, first.theme) == (
        Exchange.BYBIT,
        Portion(0.02),
        Theme.LIGHT,
    )
    assert (first.leverages, first.weights, first.model) == ((10, 20), (3.0, 1.0), MarginModel.BYBIT)
    assert (second.market.exchange, second.selection, second.theme) == (
        Exchange.BINANCE,
        TopN(100),
        Theme.DARK,
    )
    assert second.leverages == (50,)


@EXPECTS_ERRORS
async def test_maps_are_drawn_in_allowed_channels_only(floor: Floor):
    boss = floor.manager(manage_guild=True)
    other = floor.env.guild.create_text_channel("maps")
    answer = await boss.slash(floor.channel, "settings", allow=other)
    assert fields(answer)["Channels"] == f"<#{other.id}>"
    sentence = refusal(await floor.liqmap())
    assert sentence == f"On this server, maps are drawn only in <#{other.id}>; use the command there, please."
    typed = {"symbol": "BTC", "window": "6h", "mode": "top_n"}
    drawn = await floor.member.slash(other, "liqmap", **typed)
    assert len(shown(drawn).attachments) == 2
    assert (await floor.env.create_user("bob").slash("liqmap", **typed)).response is not None
    answer = await boss.slash(floor.channel, "settings", disallow=other)
    assert fields(answer)["Channels"] == "all"


async def test_chat_of_a_voice_channel_can_be_allowed(floor: Floor):
    voice = floor.env.guild.create_voice_channel("talk")
    answer = await floor.manager(manage_guild=True).slash(floor.channel, "settings", allow=voice)
    assert fields(answer)["Channels"] == f"<#{voice.id}>"
    drawn = await floor.member.slash(voice, "liqmap", symbol="BTC", window="6h", mode="top_n")
    assert len(shown(drawn).attachments) == 2


async def test_deleted_channel_is_removed_from_the_allowed_ones(floor: Floor, store: Store):
    boss = floor.manager(manage_guild=True)
    other = floor.env.guild.create_text_channel("maps")
    await store.guilds.put(5, GuildDefaults(channels=(6,)))
    await boss.slash(floor.channel, "settings", allow=other)
    floor.env.backend.delete_channel(other.id)
    await floor.env.settle()
    assert len(shown(await floor.liqmap()).attachments) == 2
    assert store.guilds.all() == {floor.env.guild.id: GuildDefaults(), 5: GuildDefaults(channels=(6,))}


async def test_reset_forgets_before_it_sets(floor: Floor, store: Store):
    boss = floor.manager(manage_guild=True)
    await boss.slash(floor.channel, "settings", theme="light", mode="portion")
    await boss.slash(floor.channel, "settings", reset=True, exchange="bybit")
    assert store.guilds.get(floor.env.guild.id) == GuildDefaults(exchange="bybit")


@pytest.mark.parametrize(
    ("leverages", "weights"),
    [
        ("10:0.00001, 25", (0.00001, 1.0)),
        ("10:999999.9,25:1", (999999.9, 1.0)),
        ("100:12345,110:12345,120:12345,125:12345,130,140,145,150", (12345.0,) * 4 + (1.0,) * 4),
    ],
)
async def test_stored_leverages_keep_their_meaning(floor: Floor, leverages: str, weights: tuple[float, ...]):
    answer = await floor.manager(manage_guild=True).slash(floor.channel, "settings", leverages=leverages)
    assert fields(answer)["Leverages"] == leverages.replace(" ", "").replace(",", ", ")
    await floor.liqmap()
    (request,) = floor.draw.requests
    assert request.weights == weights


async def test_value_is_kept_without_spaces(floor: Floor, store: Store):
    value = "1" + " " * 45 + "00"
    await floor.manager(manage_guild=True).slash(floor.channel, "settings", value=value)
    assert store.guilds.get(floor.env.guild.id).value == "100"


@EXPECTS_ERRORS
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"timezone": "Mars"}, "The time zone “Mars” is not known; try Europe/Berlin or UTC."),
        ({"leverages": "10:0"}, "Every leverage needs a weight above 0"),
        ({"leverages": "200"}, "Leverages go from 2 to 150"),
        ({"value": "," * 38 + "100"}, "The value is longer than 40 characters; try 100, 100k or 1%."),
        ({"leverages": "10,10"}, "The leverages “10,10” have one of them twice"),
        ({"value": "NaN"}, "The value “NaN” does not fit top_n; try 100."),
        ({"mode": "portion", "value": "150%"}, "portion takes a share above 0"),
    ],
)
async def test_bad_default_is_refused_with_one_sentence(
    floor: Floor, store: Store, options: dict[str, str], sentence: str
):
    answer = await floor.manager(manage_guild=True).slash(floor.channel, "settings", **options)
    assert sentence in refusal(answer)
    assert store.guilds.all() == {}


async def test_settings_need_the_right_to_manage_the_server(floor: Floor):
    assert "settings" not in floor.manager().available_commands(floor.channel)
    assert "settings" in floor.manager("boss", manage_guild=True).available_commands(floor.channel)


async def test_values_are_suggested_for_the_mode(floor: Floor):
    boss = floor.manager(manage_guild=True)
    choices = await boss.autocomplete(floor.channel, "settings", "value", "", mode="portion")
    assert choices[0]["value"] == "0.1%"
