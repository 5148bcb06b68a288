from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import discord
import pytest
import simcord
from simcord.backend.serializers import guild_create_payload

from bot.request.defaults import GuildDefaults
from bot.request.due import Schedule
from bot.request.spec import MapSpec
from bot.settings import BotSettings, SubscriptionsSettings
from bot.store import Store, open_store
from bot.store.database import SQLITE_FILE
from bot.store.subscriptions import NewSubscription, PostStyle, SubscriptionState
from liqmap.errors import DataError
from liqmap.model import Exchange, Portion
from tests.bot.commands.test_maps import refusal, shown
from tests.bot.conftest import APPLICATION, NOW, REQUEST, Floor, new_bot

EXPECTS_ERRORS = pytest.mark.simcord(check_errors=False)
GONE = "That subscription no longer exists; /subscriptions shows the others."


def text_of(message: simcord.ResponseMessage) -> str:
    return message.content + "".join(f"{each.title} {each.description}" for each in message.embeds)


async def test_subscribe_previews_and_saves_only_after_confirm(floor: Floor, store: Store):
    mona = floor.manager()
    preview = await floor.subscribe(mona)
    message = shown(preview)
    assert preview.ephemeral
    assert message.content == (
        "**Preview.** BTCUSDT 6h on Binance, top 100 trades per side, every 1h"
        f" in <#{floor.channel.id}>. Post it like this?"
    )
    assert len(message.attachments) == 2
    assert await store.subscriptions.active() == []
    await mona.click(message.message, label="Confirm")
    (saved,) = await store.subscriptions.active()
    assert (saved.channel_id, saved.creator_id) == (floor.channel.id, mona.id)
    assert saved.schedule.every == timedelta(hours=1)
    # 10:00 UTC and the jitter of the first subscription.
    assert "The next post comes <t:1767261612:R>" in shown(preview).content
    assert shown(preview).components == []
    assert floor.channel.history() == []


async def test_confirm_is_acknowledged_though_the_connection_is_reset(
    floor: Floor, store: Store, resets: list[Exception]
):
    mona = floor.manager()
    preview = await floor.subscribe(mona)
    resets.append(ConnectionResetError(104, "reset"))
    await mona.click(shown(preview).message, label="Confirm")
    assert len(await store.subscriptions.active()) == 1
    assert shown(preview).content.startswith("Saved: ")


async def test_server_that_was_left_unseen_is_forgotten_within_the_hour(floor: Floor, store: Store):
    await floor.subscribed(floor.manager())
    new = NewSubscription(5, 55, 42, MapSpec(REQUEST), Schedule(timedelta(hours=1)))
    await store.subscriptions.activate(await store.subscriptions.draft(new, now=NOW), now=NOW)
    await store.guilds.put(6, GuildDefaults(theme="light"))
    await floor.env.advance_time(3600)
    assert [each.guild_id for each in await store.subscriptions.active()] == [floor.env.guild.id]
    assert 6 not in store.guilds.all()


async def test_another_bot_s_servers_are_neither_posted_nor_tidied(floor: Floor, store: Store):
    other = await store.of(APPLICATION + 1)
    new = NewSubscription(
        floor.env.guild.id, floor.channel.id, 42, MapSpec(REQUEST), Schedule(timedelta(hours=1))
    )
    for each in (new, replace(new, guild_id=5, channel_id=55)):
        await other.subscriptions.activate(await other.subscriptions.draft(each, now=NOW), now=NOW)
    await other.guilds.put(5, GuildDefaults(theme="light"))
    await floor.env.advance_time(3700)
    assert floor.channel.history() == []
    assert len(await other.subscriptions.active()) == 2
    await other.guilds.load()
    assert other.guilds.all() == {5: GuildDefaults(theme="light")}


async def test_unclaimed_rows_are_claimed_at_the_start_and_posted(
    floor: Floor, settings: BotSettings, store: Store, caplog: pytest.LogCaptureFixture
):
    guild, channel = floor.env.guild.id, floor.channel.id
    new = NewSubscription(guild, channel, 42, MapSpec(REQUEST), Schedule(timedelta(hours=1)))
    async with open_store(settings) as keeper:
        for each in (new, replace(new, guild_id=5, channel_id=55)):
            number = await keeper.subscriptions.draft(each, now=NOW)
            await keeper.subscriptions.activate(number, now=NOW - timedelta(hours=2))
    await floor.env.restart_bot(new_bot(settings, store))
    # Discord sends each server at the start; the simulation sends none that the bot would hear of.
    backend = floor.env.backend
    backend.emit("GUILD_CREATE", guild_create_payload(backend, backend.get_guild(guild)))
    await floor.env.advance_time(60)
    assert [each.guild_id for each in await store.subscriptions.active()] == [guild]
    assert len(floor.channel.history()) == 1
    assert f"claimed in guild {guild}, where they belonged to no bot: 1 subscriptions" in caplog.text
    await floor.env.advance_time(3600)
    async with open_store(settings) as keeper:
        assert len(await keeper.subscriptions.active()) == 2


async def test_import_into_a_running_bot_is_claimed_within_the_hour(
    floor: Floor, settings: BotSettings, store: Store
):
    async with open_store(settings) as keeper:
        new = NewSubscription(
            floor.env.guild.id, floor.channel.id, 42, MapSpec(REQUEST), Schedule(timedelta(hours=1))
        )
        await keeper.subscriptions.activate(await keeper.subscriptions.draft(new, now=NOW), now=NOW)
        await floor.env.advance_time(3600)
    assert len(await store.subscriptions.active()) == 1
    assert len(floor.channel.history()) == 1


async def test_cancel_saves_nothing(floor: Floor, store: Store):
    mona = floor.manager()
    preview = await floor.subscribe(mona)
    await mona.click(shown(preview).message, label="Cancel")
    assert shown(preview).content == "Not saved."
    assert shown(preview).attachments == []
    assert await store.subscriptions.every_one() == []
    assert await store.subscriptions.get(1) is None


async def test_confirm_outlives_a_restart_and_counts_once(floor: Floor, settings: BotSettings, store: Store):
    mona = floor.manager()
    preview = await floor.subscribe(mona)
    message = shown(preview).message
    await floor.env.restart_bot(new_bot(settings, store))
    await mona.click(message, label="Confirm")
    assert len(await store.subscriptions.active()) == 1


async def test_every_option_is_kept(floor: Floor, store: Store):
    mona = floor.manager(mention_everyone=True)
    role = floor.env.guild.create_role("traders")
    other = floor.env.guild.create_news_channel("news")
    await floor.subscribed(
        mona,
        mode="portion",
        value="2%",
        every="15m",
        channel=other,
        exchange="bybit",
        style="edit",
        role=role,
        theme="light",
    )
    (saved,) = await store.subscriptions.active()
    assert (saved.channel_id, saved.role_id, saved.style) == (other.id, role.id, PostStyle.EDIT)
    assert isinstance(saved.spec, MapSpec)
    assert (saved.spec.request.market.exchange, saved.spec.request.selection, saved.spec.request.theme) == (
        *(Exchange.BYBIT, Portion(0.02), "light"),
    )


async def test_post_comes_at_a_time_of_day_on_weekdays_of_the_server_s_zone(floor: Floor, store: Store):
    mona = floor.manager(manage_guild=True)
    await mona.slash(floor.channel, "settings", timezone="tokyo")
    # It is Thursday 09:30 in UTC, which is 18:30 in Tokyo.
    await floor.subscribed(mona, window="1h", every="1d", at="7pm", days="fri-wed")
    preview = await floor.subscribe(mona, every="1d", at="19", days="thu")
    assert "every 1d at 19:00 on Thu (Asia/Tokyo) in" in shown(preview).content
    await mona.click(shown(preview).message, label="Confirm")
    saved = await store.subscriptions.get(2)
    assert saved is not None
    assert saved.schedule == Schedule(
        timedelta(days=1), timedelta(hours=19), frozenset({3}), timezone="Asia/Tokyo"
    )
    await floor.env.advance_time(0.4 * 3600)
    assert floor.channel.history() == []
    await floor.env.advance_time(0.2 * 3600)
    (post,) = floor.channel.history()
    assert "04:00 → 10:00 UTC" in (post.embeds[-1].footer.text or "")


async def test_same_map_at_another_time_of_day_is_another_subscription(floor: Floor, store: Store):
    mona = floor.manager()
    for at in ("08:00", "20:00"):
        await floor.subscribed(mona, every="1d", at=at)
    assert len(await store.subscriptions.active()) == 2


async def test_posts_of_an_announcement_channel_are_published(floor: Floor):
    news = floor.env.guild.create_news_channel("news")
    await floor.subscribed(floor.manager(), channel=news, publish=True)
    await floor.env.advance_time(3600)
    (post,) = news.history()
    assert post.flags.value  # of which the simulation sets another bit than Discord


@EXPECTS_ERRORS
async def test_publishing_that_discord_refuses_is_reported_and_the_posts_go_on(floor: Floor, store: Store):
    news, mona = floor.env.guild.create_news_channel("news"), floor.manager()
    await floor.subscribed(mona, channel=news, publish=True)
    floor.env.inject_error(
        "POST", "/channels/*/messages/*/crosspost", status=403, code=50013, message="Missing Permissions"
    )
    await floor.env.advance_time(2 * 3600)
    assert [post.flags.value for post in news.history()] == [0, 0]
    (message,) = mona.user.dm_channel.history()
    assert message.content == (
        f"I cannot publish the posts of BTCUSDT in <#{news.id}> (Discord says: Missing Permissions)."
        " They go on without being published; subscribe anew to try it again."
    )
    (saved,) = await store.subscriptions.active()
    assert not saved.publish


@EXPECTS_ERRORS
async def test_only_announcement_channels_can_be_published(floor: Floor):
    assert refusal(await floor.subscribe(floor.manager(), publish=True)) == (
        f"<#{floor.channel.id}> is not an announcement channel, so its posts cannot be published; choose"
        " one, or leave publish out."
    )


async def test_thread_takes_posts(floor: Floor, store: Store):
    mona = floor.manager()
    thread = await text_channel(floor).create_thread(name="maps", type=discord.ChannelType.public_thread)
    (handle,) = floor.channel.threads
    await floor.subscribed(mona, channel=handle)
    (saved,) = await store.subscriptions.active()
    assert saved.channel_id == thread.id
    await floor.env.advance_time(3600)
    assert len(handle.history()) == 1


def text_channel(floor: Floor) -> discord.TextChannel:
    channel = floor.env.bot.get_channel(floor.channel.id)
    assert isinstance(channel, discord.TextChannel)
    return channel


def closed(floor: Floor, **denied: bool) -> simcord.ChannelHandle:
    bot = floor.env.bot.user
    assert bot is not None
    return floor.env.guild.create_text_channel(
        "closed", overwrites={bot: discord.PermissionOverwrite(**denied)}
    )


@EXPECTS_ERRORS
@pytest.mark.parametrize(
    ("denied", "named"),
    [
        ({"send_messages": False}, "Send Messages, Embed Links and Attach Files"),
        ({"embed_links": False}, "Embed Links"),
        ({"attach_files": False, "embed_links": False}, "Embed Links and Attach Files"),
    ],
)
async def test_missing_right_of_the_bot_is_named_with_its_channel(
    floor: Floor, store: Store, denied: dict[str, bool], named: str
):
    target = closed(floor, **denied)
    sentence = refusal(await floor.subscribe(floor.manager(), channel=target))
    assert sentence == (
        f"I lack the permission {named} in <#{target.id}>: grant it to my role under Edit Channel →"
        " Permissions, and try again."
    )
    assert floor.draw.requests == []
    assert await store.subscriptions.get(1) is None


@EXPECTS_ERRORS
async def test_channel_that_the_bot_cannot_see_is_reported(floor: Floor):
    sentence = refusal(await floor.subscribe(floor.manager(), channel=closed(floor, view_channel=False)))
    assert "View Channel" in sentence


@EXPECTS_ERRORS
async def test_voice_channel_takes_no_posts(floor: Floor):
    voice = floor.env.guild.create_voice_channel("talk")
    mona = floor.manager()
    with pytest.raises(simcord.OptionError):
        await floor.subscribe(mona, channel=voice)
    answer = await mona.slash(voice, "subscribe", symbol="btc", window="6h", mode="top_n", every="1h")
    assert refusal(answer) == f"<#{voice.id}> cannot take posts; choose a text channel or a thread."


@EXPECTS_ERRORS
async def test_member_cannot_reach_through_the_bot_where_they_may_not_post(floor: Floor):
    mona = floor.manager()
    everyone = floor.env.guild.default_role
    hidden = floor.env.guild.create_text_channel(
        "announcements", overwrites={everyone: discord.PermissionOverwrite(send_messages=False)}
    )
    assert "You cannot post in" in refusal(await floor.subscribe(mona, channel=hidden))


@EXPECTS_ERRORS
async def test_role_is_mentioned_only_by_people_with_the_right(floor: Floor):
    role = floor.env.guild.create_role("traders")
    sentence = refusal(await floor.subscribe(floor.manager(), role=role))
    assert sentence == f"You cannot mention <@&{role.id}> yourself; choose another role, or none."


@EXPECTS_ERRORS
async def test_role_that_is_gone_before_confirm_is_reported(floor: Floor, store: Store):
    mona = floor.manager(mention_everyone=True)
    role = floor.env.guild.create_role("traders")
    preview = await floor.subscribe(mona, role=role)
    floor.env.backend.delete_role(floor.env.guild.id, role.id)
    await floor.env.settle()
    result = await mona.click(shown(preview).message, label="Confirm")
    assert [each.content for each in result.followups] == [
        "The role to mention no longer exists; use /subscribe with another role, or none."
    ]
    assert await store.subscriptions.active() == []


@EXPECTS_ERRORS
async def test_same_subscription_twice_and_one_too_many_are_refused(
    floor: Floor, settings: BotSettings, store: Store
):
    few = settings.model_copy(update={"subscriptions": SubscriptionsSettings(per_guild=2)})
    await floor.env.restart_bot(new_bot(few, store))
    mona = floor.manager()
    await floor.subscribed(mona)
    assert refusal(await floor.subscribe(mona)).startswith(f"<#{floor.channel.id}> already gets")
    late = await floor.subscribe(mona, window="3h")
    await floor.subscribed(mona, window="1h")
    assert "This server has 2 subscriptions, which is the limit" in refusal(
        await floor.subscribe(mona, window="2h")
    )
    result = await mona.click(shown(late).message, label="Confirm")
    assert "This server has 2 subscriptions" in result.followups[0].content
    assert len(await store.subscriptions.active()) == 2


@EXPECTS_ERRORS
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"window": "soon"}, "The window “soon” is not a length of time"),
        ({"symbol": "B-T-C!"}, "“B-T-C!” is not a symbol"),
        ({"value": "x"}, "The value “x” does not fit top_n"),
        ({"window": "91d"}, "longer than 90 days"),
        ({"at": "noon"}, "“noon” is not a time of day; try 08:00."),
        ({"days": "someday"}, "“someday” are not weekdays; try mon-fri or sat,sun."),
        ({"timezone": "Mars"}, "The time zone “Mars” is not known"),
    ],
)
async def test_bad_option_is_one_sentence(floor: Floor, options: dict[str, str], sentence: str):
    assert sentence in refusal(await floor.subscribe(floor.manager(), **options))


@EXPECTS_ERRORS
async def test_preview_that_cannot_be_drawn_is_one_private_sentence(floor: Floor, store: Store):
    floor.draw.error = DataError("Not there.")
    assert refusal(await floor.subscribe(floor.manager())) == "Not there."
    assert await store.subscriptions.get(1) is None


@pytest.mark.parametrize("name", ["subscribe", "subscriptions", "unsubscribe"])
async def test_commands_need_the_right_to_manage_channels(floor: Floor, name: str):
    assert name not in floor.member.available_commands(floor.channel)
    assert name in floor.manager().available_commands(floor.channel)
    assert name not in floor.env.create_user("bob").available_commands()


async def test_list_shows_the_next_and_the_last_post(floor: Floor):
    mona = floor.manager()
    await floor.subscribed(mona)
    await floor.subscribed(mona, symbol="ETH", every="1d")
    await floor.env.advance_time(3600)
    listed = shown(await mona.slash(floor.channel, "subscriptions"))
    assert listed.ephemeral
    lines = text_of(listed).splitlines()
    assert lines[0].endswith(
        f"1. BTCUSDT 6h on Binance, top 100 trades per side, every 1h in <#{floor.channel.id}>"
    )
    assert lines[1] == "-# next <t:1767265212:R> · last <t:1767261600:R> posted"
    assert lines[3].startswith("-# next <t:1767312")
    assert lines[3].endswith("nothing posted yet")
    elsewhere = floor.env.guild.create_text_channel("elsewhere")
    empty = shown(await mona.slash(floor.channel, "subscriptions", channel=elsewhere))
    assert empty.content == "No subscriptions here; /subscribe adds one."


async def picked(floor: Floor, mona: simcord.MemberActor, number: int = 1) -> simcord.InteractionResult:
    listed = await mona.slash(floor.channel, "subscriptions")
    await mona.select(shown(listed).message, [str(number)], custom_id="sub:pick")
    return listed


async def test_pause_resume_and_remove_by_buttons(floor: Floor, store: Store):
    mona = floor.manager()
    await floor.subscribed(mona)
    panel = await picked(floor, mona)
    await mona.click(shown(panel).message, label="Pause")
    assert f"⏸ paused: paused by <@{mona.id}>" in text_of(shown(panel))
    await floor.env.advance_time(2 * 3600)
    assert floor.channel.history() == []
    await mona.click(shown(panel).message, label="Resume")
    assert floor.channel.history() == []
    await floor.env.advance_time(3600)
    assert len(floor.channel.history()) == 1
    await mona.click(shown(panel).message, label="Back")
    assert "1. BTCUSDT" in text_of(shown(panel))
    await mona.select(shown(panel).message, ["1"], custom_id="sub:pick")
    await mona.click(shown(panel).message, label="Remove")
    assert shown(panel).content == "No subscriptions here; /subscribe adds one."
    assert await store.subscriptions.every_one() == []
    await floor.env.advance_time(3600)
    assert len(floor.channel.history()) == 1


async def test_unsubscribe_suggests_and_removes(floor: Floor, store: Store):
    mona = floor.manager()
    await floor.subscribed(mona)
    await floor.subscribed(mona, symbol="ETH")
    choices = await mona.autocomplete(floor.channel, "unsubscribe", "subscription", "eth")
    assert choices == [
        {"name": "ETHUSDT 6h on Binance, top 100 trades per side, every 1h in #trading", "value": "2"}
    ]
    removed = shown(await mona.slash(floor.channel, "unsubscribe", subscription="2"))
    assert removed.content.startswith("Removed: ETHUSDT 6h on Binance")
    assert [each.id for each in await store.subscriptions.active()] == [1]


@EXPECTS_ERRORS
@pytest.mark.parametrize(
    "typed", ["2", "", "-1", "²", "1e9", "9" * 60, "1" * 6000, "1; DROP TABLE subscriptions"]
)
async def test_unsubscribe_of_what_is_not_there_is_one_sentence(floor: Floor, typed: str):
    answer = await floor.manager().slash(floor.channel, "unsubscribe", subscription=typed)
    assert refusal(answer) == GONE


@EXPECTS_ERRORS
async def test_another_server_s_subscription_is_out_of_reach(floor: Floor, store: Store):
    await floor.subscribed(floor.manager())
    guild = floor.env.create_guild("Elsewhere")
    channel = guild.create_text_channel("general")
    role = guild.create_role("boss", permissions=discord.Permissions(manage_channels=True))
    boss = guild.add_member(floor.env.create_user("boss"), roles=[role])
    assert "no longer exists" in refusal(await boss.slash(channel, "unsubscribe", subscription="1"))
    assert await boss.autocomplete(channel, "unsubscribe", "subscription", "") == []
    assert len(await store.subscriptions.active()) == 1


async def test_removed_channel_thread_and_server_are_forgotten(floor: Floor, store: Store):
    mona = floor.manager()
    other = floor.env.guild.create_text_channel("other")
    thread = await text_channel(floor).create_thread(name="maps", type=discord.ChannelType.public_thread)
    (handle,) = floor.channel.threads
    for target in (floor.channel, other, handle):
        await floor.subscribed(mona, channel=target)
    await thread.delete()
    floor.env.backend.delete_channel(other.id)
    await floor.env.settle()
    assert [each.channel_id for each in await store.subscriptions.active()] == [floor.channel.id]
    floor.env.backend.remove_guild(floor.env.guild.id)
    await floor.env.settle()
    assert await store.subscriptions.every_one() == []


@pytest.mark.simcord(check_errors=False)
async def test_removed_channel_is_forgotten_once_the_database_is_no_longer_locked(
    floor: Floor, settings: BotSettings, store: Store, caplog: pytest.LogCaptureFixture
):
    other = floor.env.guild.create_text_channel("other")
    for target in (floor.channel, other):
        await floor.subscribed(floor.manager(), channel=target)
    async with store.engine.connect() as connection:
        await connection.exec_driver_sql("PRAGMA busy_timeout = 0")
    with closing(sqlite3.connect(settings.storage.path / SQLITE_FILE, isolation_level=None)) as locking:
        locking.execute("BEGIN IMMEDIATE")
        floor.env.backend.delete_channel(other.id)
        await floor.env.advance_time(60)
        assert len(await store.subscriptions.active()) == 2
        locking.execute("ROLLBACK")
    await floor.env.advance_time(120)
    assert [each.channel_id for each in await store.subscriptions.active()] == [floor.channel.id]
    assert "a change that Discord reported waits for the database: OperationalError" in caplog.text
    assert not [each for each in caplog.records if each.exc_info]


async def test_drafts_of_yesterday_are_tidied_up(floor: Floor, store: Store):
    new = NewSubscription(floor.env.guild.id, 55, 42, MapSpec(REQUEST), Schedule(timedelta(hours=1)))
    old, young = [
        await store.subscriptions.draft(new, now=NOW - timedelta(hours=hours)) for hours in (25, 22)
    ]
    await floor.env.advance_time(3600)
    assert await store.subscriptions.get(old) is None
    draft = await store.subscriptions.get(young)
    assert draft is not None
    assert draft.state is SubscriptionState.DRAFT
