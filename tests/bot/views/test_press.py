"""Every button and menu: who may press it, what is stale, and that a press counts once."""

from __future__ import annotations

import logging
from typing import Any

import discord
import pytest
import simcord
from hypothesis import HealthCheck, example, given
from hypothesis import settings as rules
from hypothesis import strategies as st
from simcord.actors import _dispatch_actor_interaction

from bot.request.spec import STALE
from bot.settings import BotSettings, LimitsSettings
from bot.store import Store
from bot.store.subscriptions import SubscriptionState
from tests.bot.commands.test_maps import refusal, shown
from tests.bot.commands.test_subscriptions import GONE
from tests.bot.conftest import Floor

EXPECTS_ERRORS = pytest.mark.simcord(check_errors=False)
BUTTON, MENU = 2, 3
LACKS_RIGHT = "You need the permission Manage Channels in this channel for that; ask a moderator for it."


@pytest.fixture
def settings(settings: BotSettings) -> BotSettings:
    many = LimitsSettings(maps_per_user_a_minute=100_000, maps_per_guild_a_minute=100_000)
    return settings.model_copy(update={"limits": many})


def demote(floor: Floor, member: simcord.MemberActor) -> None:
    floor.env.backend.edit_member(floor.env.guild.id, member.id, {"role_ids": []})


async def panel(floor: Floor, mona: simcord.MemberActor, kind: str) -> simcord.ResponseMessage:
    """Return a message with buttons: a preview, the list, or a subscription that runs or is paused."""
    if kind == "preview":
        return shown(await floor.subscribe(mona, window="3h"))
    listed = shown(await mona.slash(floor.channel, "subscriptions"))
    if kind != "list":
        await mona.select(listed.message, ["1"], custom_id="sub:pick")
    if kind == "paused":
        await mona.click(listed.message, label="Pause")
    return listed


async def states(store: Store) -> list[SubscriptionState]:
    found = [await store.subscriptions.get(number) for number in (1, 2)]
    return [each.state for each in found if each is not None]


@EXPECTS_ERRORS
@pytest.mark.parametrize(
    ("kind", "press"),
    [
        ("preview", "Confirm"),
        ("preview", "Cancel"),
        ("list", "menu"),
        ("running", "Pause"),
        ("running", "Remove"),
        ("running", "Back"),
        ("paused", "Resume"),
    ],
)
async def test_open_panel_refuses_a_member_who_lost_the_role(
    floor: Floor, store: Store, kind: str, press: str
):
    mona = floor.manager()
    await floor.subscribed(mona)
    message = (await panel(floor, mona, kind)).message
    before = await states(store)
    demote(floor, mona)
    if press == "menu":
        result = await mona.select(message, ["1"], custom_id="sub:pick")
    else:
        result = await mona.click(message, label=press)
    assert refusal(result) == LACKS_RIGHT
    assert await states(store) == before


async def forged(floor: Floor, name: str, **options: Any) -> simcord.InteractionResult:
    """Send a command of servers from a private chat, where Discord would not offer it."""
    user = floor.env.create_user("eve")
    chosen = [{"name": key, "type": 3, "value": value} for key, value in options.items()]
    root, _, leaf = name.partition(" ")
    nested = [{"name": leaf, "type": 1, "options": chosen}] if leaf else chosen
    data = {"id": "1", "name": root, "type": 1, "options": nested}
    return await _dispatch_actor_interaction(user, 2, user.dm_channel, data)


@EXPECTS_ERRORS
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("settings", {"theme": "light"}),
        ("subscribe", {"symbol": "BTC", "window": "6h", "mode": "top_n", "every": "1h"}),
        ("subscribe-scan", {"every": "1h"}),
        ("subscriptions", {}),
        ("unsubscribe", {"subscription": "1"}),
        ("alert near", {"symbol": "BTC", "distance": "1%", "notional": "1m"}),
        ("alert list", {}),
        ("alert remove", {"alert": "1"}),
    ],
)
async def test_server_command_outside_a_known_server_writes_nothing(
    floor: Floor, store: Store, name: str, options: dict[str, str]
):
    sentence = refusal(await forged(floor, name, **options))
    assert sentence == "This works only in servers that the bot is in; use it there, please."
    assert store.guilds.all() == {}
    assert floor.draw.requests == []


@EXPECTS_ERRORS
async def test_command_without_permission_is_refused_even_if_discord_delivers_it(floor: Floor, store: Store):
    data = {
        "id": "1",
        "name": "settings",
        "type": 1,
        "options": [{"name": "theme", "type": 3, "value": "light"}],
    }
    answer = await _dispatch_actor_interaction(floor.member, 2, floor.channel, data)
    assert refusal(answer).startswith("You need the permission Manage Server in this channel")
    assert store.guilds.all() == {}


@EXPECTS_ERRORS
@pytest.mark.parametrize(
    "data",
    [
        {"name": "gone", "options": []},
        {"name": "liqmap", "options": []},
        {"name": "alert", "options": [{"name": "gone", "type": 1, "options": []}]},
        {"name": "subscribe", "options": [{"name": "symbol", "type": 4, "value": 1}]},
    ],
)
async def test_command_of_an_earlier_version_is_one_sentence(floor: Floor, data: dict[str, Any]):
    boss = floor.manager()
    answer = await _dispatch_actor_interaction(boss, 2, floor.channel, {"id": "1", "type": 1, **data})
    assert refusal(answer) == "This command has changed; reload Discord and use it again."


@EXPECTS_ERRORS
async def test_preview_can_be_confirmed_or_cancelled_only_by_its_creator(floor: Floor, store: Store):
    preview = shown(await floor.subscribe(floor.manager()))
    otto = floor.manager("otto")
    for action in ("confirm", "cancel"):
        result = await pressed(floor, otto, preview.message, f"sub:{action}:1")
        (sentence,) = result.followups
        assert sentence.content == "Only the person who requested this preview can confirm or cancel it."
    assert await states(store) == [SubscriptionState.DRAFT]


@EXPECTS_ERRORS
@pytest.mark.parametrize("action", ["confirm", "cancel", "pause", "resume", "remove"])
async def test_subscription_of_another_server_is_out_of_reach_of_every_button(
    floor: Floor, store: Store, action: str
):
    await floor.subscribe(floor.manager())
    guild = floor.env.create_guild("Elsewhere")
    channel = guild.create_text_channel("general")
    role = guild.create_role("boss", permissions=discord.Permissions(manage_channels=True))
    boss = guild.add_member(floor.env.create_user("boss"), roles=[role])
    listed = shown(await boss.slash(channel, "subscriptions"))
    result = await pressed(floor, boss, listed.message, f"sub:{action}:1", channel=channel)
    (sentence,) = result.followups
    assert sentence.content == GONE
    assert await states(store) == [SubscriptionState.DRAFT]


@EXPECTS_ERRORS
async def test_cancel_of_a_saved_subscription_says_so(floor: Floor, store: Store):
    mona = floor.manager()
    preview = await floor.subscribed(mona)
    result = await pressed(floor, mona, preview.message, "sub:cancel:1")
    assert result.followups[0].content.startswith("It is already saved")
    assert await states(store) == [SubscriptionState.ACTIVE]


async def pressed(
    floor: Floor,
    member: simcord.MemberActor,
    message: discord.Message,
    custom_id: str,
    *,
    values: list[str] | None = None,
    channel: simcord.ChannelHandle | None = None,
) -> simcord.InteractionResult:
    """Press what stands under `message` by its `custom_id`, whatever really stands there."""
    kind = BUTTON if values is None else MENU
    component: dict[str, Any] = {"type": kind, "custom_id": custom_id, "style": 1, "label": "x"}
    data: dict[str, Any] = {"custom_id": custom_id, "component_type": kind}
    if values is not None:
        component["options"] = [{"label": "x", "value": "x"}]
        data["values"] = values
    where = channel or floor.channel
    payload = dict(
        simcord.backend.serializers.message_payload(
            floor.env.backend, floor.env.backend.get_message(where.id, message.id)
        )
    )
    payload["components"] = [{"type": 1, "components": [component]}]
    return await _dispatch_actor_interaction(
        member, 3, where, data, extra={"message": payload}, source_message_id=message.id
    )


@EXPECTS_ERRORS
async def test_menu_value_of_five_thousand_digits_is_a_stale_button(
    floor: Floor, caplog: pytest.LogCaptureFixture
):
    mona = floor.manager()
    await floor.subscribed(mona)
    message = (await panel(floor, mona, "list")).message
    result = await pressed(floor, mona, message, "sub:pick", values=["9" * 5000])
    assert [each.content for each in result.followups] == [GONE]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def written_as(pattern: str) -> st.SearchStrategy[str]:
    return st.from_regex(pattern, fullmatch=True)


CUSTOM_IDS = st.one_of(
    st.text(min_size=1, max_size=100),
    written_as(r"map:[a-z][0-9]{0,3}:[a-z]~[A-Z]{1,9}~[0-9a-z]{1,7}~[tgp][0-9.e+-]{1,9}~[a-z]{3}[h-]~:[0-9]"),
    written_as(r"map:(r|c|e|w[0-9]{1,3}|m|x):b~BTCUSDT~[0-9a-z]{1,7}~t[0-9]{1,9}~bsd-~:[0-9a-z]{1,20}"),
    written_as(r"sub:(confirm|cancel|pause|resume|remove|list|pick):?[0-9]{0,30}"),
    written_as(r"delete:[0-9a-z]{1,20}"),
)
VALUES = st.none() | st.lists(st.text(max_size=100) | written_as(r"[0-9]{1,100}"), max_size=2)


@EXPECTS_ERRORS
@rules(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(custom_id=CUSTOM_IDS, values=VALUES)
@example(custom_id="map:w0:b~BTCUSDT~go0~t100~bsd-~:t86js0", values=None)
@example(custom_id="map:w\u0663:b~BTCUSDT~go0~t100~bsd-~:t86js0", values=None)
@example(custom_id="sub:pause:\u0663", values=None)
@example(custom_id="map:m:b~BTCUSDT~go0~t100~bsd-~:t86js0", values=[])
@example(custom_id="sub:pick", values=["9" * 5000])
async def test_press_of_any_custom_id_is_answered_without_a_fault(
    floor: Floor, caplog: pytest.LogCaptureFixture, custom_id: str, values: list[str] | None
):
    caplog.clear()
    boss = floor.manager("boss")
    message = shown(await floor.liqmap()).message
    result = await pressed(floor, boss, message, custom_id, values=values)
    said = [each.content for each in (result.response, *result.followups) if each is not None]
    assert not [text for text in said if "went wrong" in text]
    assert said or floor.channel.last_message is not None
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@EXPECTS_ERRORS
@pytest.mark.parametrize("custom_id", ["map:zz:old", "sub:rename:1", "poll:1", "x" * 100])
async def test_button_of_an_earlier_version_is_answered(floor: Floor, custom_id: str):
    message = shown(await floor.liqmap()).message
    assert refusal(await pressed(floor, floor.member, message, custom_id)) == STALE


@EXPECTS_ERRORS
async def test_unknown_form_is_answered(floor: Floor):
    data = {"custom_id": "form:1", "components": []}
    assert refusal(await _dispatch_actor_interaction(floor.member, 5, floor.channel, data)) == STALE


@pytest.fixture
def twice(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every interaction reach the bot twice."""
    emit = floor.env.backend.emit

    def doubled(event: str, payload: dict[str, Any], **options: Any) -> None:
        for _ in range(2 if event == "INTERACTION_CREATE" else 1):
            emit(event, payload, **options)

    monkeypatch.setattr(floor.env.backend, "emit", doubled)


@pytest.mark.usefixtures("twice")
async def test_interactions_that_come_twice_have_one_effect_and_one_answer(floor: Floor, store: Store):
    mona = floor.manager()
    drawn = await floor.liqmap()
    await mona.click(shown(drawn).message, label="1h")
    assert len(floor.draw.requests) == 2
    preview = await floor.subscribe(mona)
    assert len(floor.draw.requests) == 3
    confirmed = await mona.click(shown(preview).message, label="Confirm")
    assert [drawn.followups, preview.followups, confirmed.followups] == [[], [], []]
    assert await states(store) == [SubscriptionState.ACTIVE]


@EXPECTS_ERRORS
@pytest.mark.usefixtures("twice")
async def test_refusals_that_come_twice_are_reported_once(floor: Floor):
    refused = await floor.liqmap(window="soon")
    assert "“soon”" in refusal(refused)
    assert refused.followups == []
