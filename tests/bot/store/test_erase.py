from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select

from bot.app import main
from bot.request.defaults import GuildDefaults
from bot.request.due import Schedule
from bot.request.spec import MapSpec
from bot.settings import BotSettings
from bot.store import Store, open_store
from bot.store.alerts import TO_CREATOR, NewAlert
from bot.store.database import SQLITE_FILE
from bot.store.erase import NOBODY, erase_guild, erase_user
from bot.store.subscriptions import NewSubscription
from bot.store.tables import metadata
from liqmap.model import Exchange
from tests.bot.conftest import REQUEST

NOW = datetime(2026, 1, 1, 9, 30, tzinfo=UTC)
# As long as Discord's, so that none of them stands in the file by chance.
GUILD, OTHER_GUILD = 0x1357_9BDF_0246_8ACE, 0x1122_3344_5566_7788
USER, OTHER_USER = 0x0123_4567_89AB_CDEF, 0x0FED_CBA9_8765_4321
SUBSCRIPTION = NewSubscription(GUILD, 2, USER, MapSpec(REQUEST), Schedule(timedelta(hours=1)))
ALERT = NewAlert(GUILD, 2, USER, Exchange.BYBIT, "BTCUSDT", 0.01, 1e6, timedelta(hours=1))
NAMES_NOBODY = {"application_id", "channel_id", "interaction_id", "message_id", "role_id", "subscription_id"}


async def fill(store: Store) -> None:
    """Store what two servers have set up, two people of them in the first."""
    channels = iter(range(2, 100))
    for guild_id, creator_id in ((GUILD, USER), (GUILD, OTHER_USER), (OTHER_GUILD, OTHER_USER)):
        place: dict[str, Any] = {"guild_id": guild_id, "creator_id": creator_id, "channel_id": next(channels)}
        number = await store.subscriptions.draft(replace(SUBSCRIPTION, **place), now=NOW)
        await store.subscriptions.activate(number, now=NOW)
        assert await store.snapshots.claim(number, NOW, now=NOW)
        await store.subscriptions.pause(number, reason=f"paused by <@{creator_id}>")
        await store.alerts.add(replace(ALERT, **place))
        await store.guilds.put(guild_id, GuildDefaults(theme="light"))
    await store.subscriptions.draft(replace(SUBSCRIPTION, channel_id=next(channels)), now=NOW)
    for creator_id in (USER, OTHER_USER):
        await store.alerts.add(replace(ALERT, creator_id=creator_id, channel_id=TO_CREATOR))


@pytest.fixture
async def filled(store: Store) -> Store:
    await fill(store)
    return store


async def rows(store: Store) -> dict[str, list[dict[str, Any]]]:
    async with store.engine.connect() as connection:
        return {
            table.name: [
                dict(row)
                for row in (await connection.execute(select(table).order_by(*table.primary_key))).mappings()
            ]
            for table in metadata.sorted_tables
        }


def test_every_column_that_may_name_somebody_is_known():
    ids = {column.name for table in metadata.sorted_tables for column in table.c if "_id" in column.name}
    assert ids - NAMES_NOBODY == {"guild_id", "creator_id", "user_id"}


async def test_erased_server_is_in_no_table_and_others_stay(filled: Store):
    before = await rows(filled)
    # Two subscriptions and a draft, two alerts and two of persons, the settings; snapshots go along.
    assert await erase_guild(filled.engine, GUILD) == 8
    after = await rows(filled)
    kept = {
        name: [row for row in found if row.get("guild_id") == OTHER_GUILD] for name, found in before.items()
    }
    (subscription,) = after["subscriptions"]
    kept["snapshots"] = [row for row in before["snapshots"] if row["subscription_id"] == subscription["id"]]
    assert len(kept["snapshots"]) == 1
    assert after == kept


async def test_erased_person_is_in_no_table_and_the_server_keeps_its_posts(filled: Store):
    # A draft and an alert of their own; a subscription, an alert and a reason that name them.
    assert await erase_user(filled.engine, USER) == 5
    after = await rows(filled)
    assert str(USER) not in str(after)
    assert [(row["creator_id"], row["reason"]) for row in after["subscriptions"]] == [
        (NOBODY, "paused by somebody"),
        *[(OTHER_USER, f"paused by <@{OTHER_USER}>")] * 2,
    ]
    assert [row["creator_id"] for row in after["alerts"]] == [NOBODY, *[OTHER_USER] * 3]


async def test_erasing_an_unknown_id_changes_nothing(filled: Store):
    before = await rows(filled)
    assert await erase_user(filled.engine, GUILD) == 0
    assert await erase_guild(filled.engine, USER) == 0
    assert await rows(filled) == before


@pytest.mark.parametrize("erase", [erase_guild, erase_user])
async def test_erasing_that_is_interrupted_anywhere_changes_nothing(filled: Store, erase: Any):
    before, whom = await rows(filled), GUILD if erase is erase_guild else USER
    engine = filled.engine.sync_engine
    for place in range(1, 100):
        left = iter(range(place))

        def interrupt(*_: Any, left: Any = left) -> None:
            if next(left, None) is None:
                raise asyncio.CancelledError

        event.listen(engine, "before_cursor_execute", interrupt)
        try:
            await erase(filled.engine, whom)
        except asyncio.CancelledError:
            pass
        else:
            break
        finally:
            event.remove(engine, "before_cursor_execute", interrupt)
        assert await rows(filled) == before
    assert place >= 3
    assert await rows(filled) != before


@pytest.mark.parametrize(
    ("option", "whom", "reported"),
    [("--guild", GUILD, "erased from 8 rows"), ("--user", USER, "erased from 5 rows")],
)
def test_forget_leaves_no_byte_in_the_file(
    settings: BotSettings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    option: str,
    whom: int,
    reported: str,
):
    async def fill_file() -> None:
        async with open_store(settings) as store:
            await fill(store)

    asyncio.run(fill_file())
    folder = settings.storage.path
    traces = (whom.to_bytes(8, "big"), f"<@{whom}>".encode())
    assert traces[0] in (folder / SQLITE_FILE).read_bytes()
    monkeypatch.setenv("LIQMAP__STORAGE__PATH", str(folder))
    assert main(["forget", option, str(whom)]) == 0
    assert capsys.readouterr().out.startswith(reported)
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    assert files
    assert not any(trace in path.read_bytes() for path in files for trace in traces)


@pytest.mark.parametrize("words", [[], ["--guild", "0"], ["--user", "mona"], ["--guild", "1", "--user", "2"]])
def test_forget_without_one_id_is_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="2"):
        main(["forget", *words])
    assert "usage: liqmap-bot forget" in capsys.readouterr().err
