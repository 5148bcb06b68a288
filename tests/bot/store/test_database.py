from __future__ import annotations

import asyncio
import sqlite3
import stat
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import FileLock
from pydantic import SecretStr
from sqlalchemy import make_url, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as QueueTimeout
from sqlalchemy.ext.asyncio import AsyncEngine

from bot.interaction.refusals import refusal
from bot.request.defaults import GuildDefaults
from bot.request.due import Schedule
from bot.settings import BotSettings, DatabaseSettings
from bot.store import Store, database, open_store
from bot.store.alerts import TO_CREATOR, NewAlert
from bot.store.database import open_database, writing
from bot.store.subscriptions import DOUBLED
from bot.store.tables import metadata
from liqmap.errors import RequestError, SettingsError
from liqmap.model import Exchange
from tests.bot.store.test_store import NEW, NOW


def with_url(settings: BotSettings, url: str) -> BotSettings:
    return settings.model_copy(update={"database": DatabaseSettings(url=SecretStr(url))})


async def test_migrations_make_the_tables_that_the_code_uses(stored_settings: BotSettings):
    async with (
        open_database(stored_settings.database.url, folder=stored_settings.storage.path) as engine,
        engine.connect() as connection,
    ):
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), metadata)
        )
    assert differences == []


def test_newest_revision_is_the_last_step():
    folder = Path(database.__file__).with_name("migrations")
    assert ScriptDirectory(str(folder)).get_heads() == [database.NEWEST]


async def test_opening_again_changes_nothing(stored_settings: BotSettings):
    for _ in range(2):
        async with open_store(stored_settings) as store:
            assert await store.subscriptions.active() == []


async def test_several_may_be_the_first_to_open(settings: BotSettings):
    async def subscriptions() -> int:
        async with open_store(settings) as store:
            return len(await store.subscriptions.every_one())

    assert await asyncio.gather(*(subscriptions() for _ in range(4))) == [0] * 4


async def test_upgrades_of_fifteen_starts_at_once_follow_one_another(
    stored_settings: BotSettings, monkeypatch: pytest.MonkeyPatch
):
    upgrade, inside, most = command.upgrade, 0, 0

    def counted(*arguments: Any) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        upgrade(*arguments)
        inside -= 1

    async def subscriptions() -> int:
        async with open_store(stored_settings) as store:
            return len(await store.subscriptions.every_one())

    monkeypatch.setattr(command, "upgrade", counted)
    assert await asyncio.gather(*(subscriptions() for _ in range(15))) == [0] * 15
    assert most == 1


async def test_transaction_that_reads_first_can_write_though_another_wants_to(
    stored_settings: BotSettings, database: str
):
    async def add_one(engine: AsyncEngine) -> None:
        async with writing(engine) as connection:
            if database:  # there, rows are locked, not the whole
                await connection.execute(text("LOCK TABLE counted"))
            (number,) = (await connection.execute(text("SELECT max(number) FROM counted"))).one()
            await connection.execute(text(f"INSERT INTO counted VALUES ({number + 1})"))  # noqa: S608

    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(
                open_database(stored_settings.database.url, folder=stored_settings.storage.path)
            )
            for _ in range(4)
        ]
        async with writing(opened[0]) as connection:
            await connection.execute(text("CREATE TABLE counted (number INTEGER)"))
            await connection.execute(text("INSERT INTO counted VALUES (0)"))
        await asyncio.gather(*(add_one(engine) for engine in opened for _ in range(5)))
        async with opened[0].connect() as connection:
            found = (await connection.execute(text("SELECT number FROM counted"))).scalars().all()
    assert sorted(found) == list(range(21))


async def test_interrupted_steps_leave_nothing_half_done(
    settings: BotSettings, monkeypatch: pytest.MonkeyPatch
):
    def broken(*_: object) -> None:
        raise OSError

    monkeypatch.setattr("alembic.op.create_index", broken)
    with pytest.raises(SettingsError):
        async with open_store(settings):
            pass
    monkeypatch.undo()
    async with open_store(settings) as store:
        assert await store.subscriptions.every_one() == []


OLD = {
    "subscriptions": [
        "(1, 5, 7, 3, 'b~BTCUSDT~go0~t100~bsd-~', 3600, 'new', NULL, 'active', '', 0, 42, 1)",
        "(2, 5, 8, 3, 'b~BTCUSDT~go0~t100~bsd-~', 3600, 'edit', 9, 'paused', 'so', 1, NULL, 1)",
        "(3, 5, 7, 4, 'b~BTCUSDT~go0~t100~bsd-~', 3600, 'new', NULL, 'active', '', 0, NULL, 1)",
        "(4, 0, 7, 4, 'b~BTCUSDT~go0~t100~bsd-~', 3600, 'new', NULL, 'active', '', 0, NULL, 1)",
        "(5, 5, 7, 4, 'b~BTCUSDT~go0~t100~bsd-~', 3600, 'new', NULL, 'draft', '', 0, NULL, 1)",
    ],
    "snapshots": ["(1, 1, 3600, 'posted', 42, '', 3612)", "(2, 2, 3600, 'failed', NULL, 'no', 3612)"],
    "guilds": ["(5, NULL, NULL, NULL, 'light', NULL, '7')", "(0, NULL, NULL, NULL, 'light', NULL, '')"],
    "alerts": [
        "(1, 5, 7, 3, 'bybit', 'BTCUSDT', 0.01, 1e6, 3600, 99)",
        "(2, 5, 7, 4, 'bybit', 'BTCUSDT', 0.01, 1e6, 60, NULL)",
        "(3, 5, 8, 3, 'bybit', 'BTCUSDT', 0.01, 1e6, 3600, NULL)",
        "(4, 0, 8, 3, 'bybit', 'BTCUSDT', 0.01, 1e6, 3600, NULL)",
    ],
}


@pytest.fixture(params=["first", "lasting_ids", "interactions"])
async def old_tables(
    stored_settings: BotSettings, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> BotSettings:
    """Make a database as an earlier step left it, with rows that it allowed in every table."""
    upgrade = command.upgrade
    with monkeypatch.context() as patch:
        patch.setattr(command, "upgrade", lambda config, _: upgrade(config, request.param))
        async with (
            open_database(stored_settings.database.url, folder=stored_settings.storage.path) as engine,
            writing(engine) as connection,
        ):
            for table, rows in OLD.items():
                for row in rows:
                    await connection.execute(text(f"INSERT INTO {table} VALUES {row}"))  # noqa: S608
                if engine.dialect.name == "postgresql" and table != "guilds":
                    counter = f"pg_get_serial_sequence('{table}', 'id')"
                    await connection.execute(text(f"SELECT setval({counter}, {len(rows)})"))
    return stored_settings


async def test_rows_of_an_earlier_version_are_kept_without_their_duplicates(
    old_tables: BotSettings, caplog: pytest.LogCaptureFixture
):
    async with open_store(old_tables) as store:
        assert [
            (each.id, each.state, each.reason, each.message_id)
            for each in await store.subscriptions.every_one()
        ] == [
            (1, "active", "", 42),
            (2, "paused", "so", None),
            (3, "paused", DOUBLED, None),
        ]
        assert await store.subscriptions.get(5) is not None
        assert [(each.id, each.creator_id) for each in await store.alerts.all()] == [(1, 3), (3, 3)]
        assert store.guilds.all() == {5: GuildDefaults(theme="light", channels=(7,))}
        posts = [await store.snapshots.newest(number) for number in (1, 2, 3)]
        assert [each and each.message_id for each in posts] == [42, None, None]
        assert posts[2] is None
    assert "paused 1 subscriptions that were there twice" in caplog.text
    assert "removed 1 alerts that were there twice" in caplog.text


async def test_rows_of_the_version_before_schedules_go_on_as_they_were(
    stored_settings: BotSettings, monkeypatch: pytest.MonkeyPatch
):
    upgrade = command.upgrade
    with monkeypatch.context() as patch:
        patch.setattr(command, "upgrade", lambda config, _: upgrade(config, "applications"))
        async with (
            open_database(stored_settings.database.url, folder=stored_settings.storage.path) as engine,
            writing(engine) as connection,
        ):
            await connection.execute(
                text(
                    "INSERT INTO subscriptions (guild_id, application_id, channel_id, creator_id, spec,"
                    " every, style, state, reason, failures, active_since, place) VALUES"
                    " (5, 9, 7, 3, 'b~BTCUSDT~go0~t100~bsd-~', 3600, 'new', 'active', '', 0, 1, 0)"
                )
            )
            await connection.execute(
                text(
                    "INSERT INTO guilds (guild_id, application_id, theme, channels)"
                    " VALUES (5, 9, 'light', '')"
                )
            )
    async with open_store(stored_settings) as keeper:
        store = await keeper.of(9)
        (running,) = await store.subscriptions.active()
        assert (running.schedule, running.publish) == (Schedule(timedelta(hours=1)), False)
        assert store.guilds.get(5) == GuildDefaults(theme="light")
        equal = replace(NEW, guild_id=5, channel_id=7, spec=running.spec, schedule=running.schedule)
        with pytest.raises(RequestError, match="already gets"):
            await store.subscriptions.check_room(equal, most=9)
        later = replace(equal, schedule=Schedule(timedelta(hours=1), timedelta(minutes=20)))
        assert await store.subscriptions.activate(await store.subscriptions.draft(later, now=NOW), now=NOW)


async def test_alerts_of_the_version_before_own_ones_stay_as_they_were(
    stored_settings: BotSettings, monkeypatch: pytest.MonkeyPatch
):
    upgrade = command.upgrade
    with monkeypatch.context() as patch:
        patch.setattr(command, "upgrade", lambda config, _: upgrade(config, "schedules"))
        async with (
            open_database(stored_settings.database.url, folder=stored_settings.storage.path) as engine,
            writing(engine) as connection,
        ):
            await connection.execute(
                text(
                    "INSERT INTO alerts (guild_id, application_id, channel_id, creator_id, exchange, symbol,"
                    " distance, notional, cooldown, fired_at, place)"
                    " VALUES (5, 9, 7, 3, 'bybit', 'X0', 0.01, 1e6, 3600, 99, 0),"
                    " (5, 9, 7, 3, 'bybit', 'X1', 0.01, 1e6, 3600, 99, 1)"
                )
            )
    async with open_store(stored_settings) as keeper:
        store = await keeper.of(9)
        first, second = await store.alerts.of_guild(5)
        assert (first.symbol, first.reason, second.symbol) == ("X0", "", "X1")
        assert first.fired_at == datetime.fromtimestamp(99, UTC)
        new = NewAlert(5, 7, 3, Exchange.BYBIT, "X0", 0.01, 1e6, timedelta(hours=1))
        with pytest.raises(RequestError, match="already has this alert"):
            await store.alerts.add(new, most=9)
        with pytest.raises(RequestError, match="This server has 2 alerts"):
            await store.alerts.add(replace(new, symbol="Y"), most=2)
        assert await store.alerts.add(replace(new, channel_id=TO_CREATOR), most=2)


async def test_rows_of_an_earlier_version_are_claimed_completely(old_tables: BotSettings):
    async with open_store(old_tables) as keeper:
        bot = await keeper.of(7)
        claimed = await bot.claims.claim(5)
        assert claimed is not None
        assert (list(claimed.subscriptions), list(claimed.alerts)) == ([1, 2, 3, 5], [1, 3])
        with pytest.raises(RequestError, match="This server has 3 subscriptions"):
            await bot.subscriptions.check_room(replace(NEW, guild_id=5), most=3)


async def test_tables_of_an_earlier_version_keep_indexes_and_references(old_tables: BotSettings):
    async with open_store(old_tables) as store:
        for number in (1, 2):
            assert await store.subscriptions.remove(number)
            assert await store.snapshots.newest(number) is None
        assert await store.subscriptions.draft(NEW, now=NOW) == 6
        async with store.engine.connect() as connection:
            differences = await connection.run_sync(
                lambda sync: compare_metadata(MigrationContext.configure(sync), metadata)
            )
            if store.engine.dialect.name == "sqlite":
                assert (await connection.execute(text("PRAGMA foreign_key_check"))).all() == []
    assert differences == []


async def test_sqlite_writes_ahead_and_is_private(settings: BotSettings):
    async with open_database(settings.database.url, folder=settings.storage.path) as engine:
        async with engine.connect() as connection:
            mode = (await connection.execute(text("PRAGMA journal_mode"))).scalar_one()
        files = await asyncio.to_thread(lambda: list(settings.storage.path.iterdir()))
        assert mode == "wal"
        assert {file.name for file in files} >= {"liqmap.sqlite3"}
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://u:s3cret@h/d", "redis://x", "://", "postgresql://u:s3cret@h:port/d"]
)
async def test_url_of_another_kind_is_one_sentence(settings: BotSettings, url: str):
    with pytest.raises(SettingsError, match=r"database\.url: must be like postgresql://") as caught:
        async with open_store(with_url(settings, url)):
            pass
    assert "s3cret" not in str(caught.value)


async def test_unreachable_database_is_one_sentence_without_its_password(
    settings: BotSettings, caplog: pytest.LogCaptureFixture
):
    hidden = with_url(settings, "postgresql://liqmap:s3cret@127.0.0.1:1/liqmap")
    with pytest.raises(SettingsError, match=r"^The database cannot be opened: check that it runs") as caught:
        async with open_store(hidden):
            pass
    assert "s3cret" not in f"{caught.value!r} {caught.value.__cause__!r} {hidden!r} {hidden} {caplog.text}"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:s3cret@127.0.0.1:1/d?bogus=1",
        "postgresql://u:s3cret@127.0.0.1:1/d?timeout=5",
        "postgresql://u:s3cret@127.0.0.1:1/d?prepared_statement_cache_size=x",
        "postgresql://u:s3cret@127.0.0.1:1/d?sslmode=bogus",
        "postgresql://u:s3cret@127.0.0.1:99999/d",
        "sqlite:///FOLDER/x?timeout=s3cret",
    ],
)
async def test_url_that_the_driver_refuses_is_one_sentence(settings: BotSettings, url: str):
    hidden = with_url(settings, url.replace("FOLDER", str(settings.storage.path)))
    with pytest.raises(SettingsError, match=r"^The database cannot be opened: check that it runs") as caught:
        async with open_store(hidden):
            pass
    assert "s3cret" not in str(caught.value)


async def test_sslmode_is_understood(settings: BotSettings, postgres: Any):
    async with open_store(with_url(settings, postgres.url("postgres?sslmode=prefer"))) as store:
        assert await store.subscriptions.active() == []
    with pytest.raises(SettingsError, match=r"cannot be opened: .* \(ConnectionError\)\.$"):
        async with open_store(with_url(settings, postgres.url("postgres?sslmode=require"))):
            pass


async def test_wrong_password_is_one_sentence_without_it(settings: BotSettings, postgres: Any):
    url = postgres.url("postgres").replace("pass-of-this-test", "wrong-one")
    with pytest.raises(SettingsError, match="cannot be opened") as caught:
        async with open_store(with_url(settings, url)):
            pass
    assert "wrong-one" not in str(caught.value)


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_LOCK_WAIT_SECONDS", "_QUEUE_WAIT_SECONDS", "_OPENING_WAIT_SECONDS", "_START_WAIT_SECONDS"):
        monkeypatch.setattr(f"bot.store.database.{name}", 0.0)


async def opening(settings: BotSettings) -> str:
    """Return the sentence with which a database is refused."""
    with pytest.raises(SettingsError) as caught:
        async with open_store(settings):
            pass
    return str(caught.value)


@pytest.mark.usefixtures("no_waiting")
async def test_locked_database_is_one_sentence(settings: BotSettings):
    async with open_store(settings):
        pass
    with closing(sqlite3.connect(settings.storage.path / "liqmap.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        sentence = await opening(settings)
    assert sentence == (
        "The database cannot be opened: another program has locked it; stop that program, and start again."
    )


@pytest.mark.usefixtures("no_waiting")
async def test_start_that_never_ends_is_one_sentence_for_the_next(settings: BotSettings):
    async with open_store(settings):
        pass
    with FileLock(f"{settings.storage.path / 'liqmap.sqlite3'}.lock"):
        sentence = await opening(settings)
    assert sentence.endswith("another program has locked it; stop that program, and start again.")


def test_waits_for_a_locked_database_are_a_few_seconds():
    # The first answer to a command is due in three seconds, and its refusal soon after.
    assert database._LOCK_WAIT_SECONDS < 3
    assert database._LOCK_WAIT_SECONDS + database._QUEUE_WAIT_SECONDS <= 10
    assert database._OPENING_WAIT_SECONDS <= 10


async def test_transactions_that_queue_for_a_locked_database_all_end_soon(
    settings: BotSettings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("bot.store.database._LOCK_WAIT_SECONDS", 0.05)
    monkeypatch.setattr("bot.store.database._QUEUE_WAIT_SECONDS", 0.1)
    defaults = GuildDefaults(theme="light")

    async def change(store: Store, guild: int) -> None:
        await store.guilds.put(guild, defaults)

    async with open_store(settings) as store:
        path = settings.storage.path / "liqmap.sqlite3"
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            changes = (change(store, guild) for guild in range(1, 41))
            outcomes = await asyncio.gather(*changes, return_exceptions=True)
            failures = [each for each in outcomes if isinstance(each, SQLAlchemyError)]
            assert len(failures) == 40
            assert {type(each) for each in failures} == {OperationalError, QueueTimeout}
            assert all(refusal(each, number="1") is not None for each in failures)
            assert store.guilds.get(1) != defaults
            other.execute("ROLLBACK")
        await change(store, 1)
        assert store.guilds.get(1) == defaults


async def test_full_disk_is_one_sentence(settings: BotSettings, monkeypatch: pytest.MonkeyPatch):
    def small(connection: Any, record: object) -> None:
        set_up(connection, record)
        connection.execute("PRAGMA max_page_count = 2")

    set_up = database._set_up_sqlite
    monkeypatch.setattr("bot.store.database._set_up_sqlite", small)
    assert await opening(settings) == (
        "The database cannot be opened: its disk is full; make room, and start again."
    )


async def test_database_of_a_newer_version_is_one_sentence_and_left_as_it_is(settings: BotSettings):
    async with open_store(settings):
        pass
    with closing(sqlite3.connect(settings.storage.path / "liqmap.sqlite3")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'tomorrow'")
        connection.commit()
    sentence = await opening(settings)
    assert sentence.startswith(
        "The database cannot be opened: a newer version of the bot has changed it; run that version"
    )
    with closing(sqlite3.connect(settings.storage.path / "liqmap.sqlite3")) as connection:
        assert connection.execute("SELECT * FROM alembic_version").fetchall() == [("tomorrow",)]


async def test_damaged_file_is_one_sentence(settings: BotSettings):
    settings.storage.path.mkdir()
    (settings.storage.path / "liqmap.sqlite3").write_bytes(b"no database at all " * 100)
    assert (await opening(settings)).startswith(
        "The database cannot be opened: its file is not a SQLite database; check the setting database.url"
    )


async def test_missing_postgresql_database_is_one_sentence(settings: BotSettings, postgres: Any):
    sentence = await opening(with_url(settings, postgres.url("nowhere")))
    assert sentence.startswith("The database cannot be opened: it does not exist; create it, or check")


async def test_unreachable_postgresql_raises_the_database_s_own_error():
    engine = database._engine(make_url("postgresql+asyncpg://liqmap:s3cret@127.0.0.1:1/liqmap"))
    with pytest.raises(OperationalError) as caught:
        async with engine.connect():
            pass
    assert "s3cret" not in f"{caught.value!r} {caught.value}"
    await engine.dispose()


async def test_folder_that_cannot_be_made_is_one_sentence(settings: BotSettings):
    await asyncio.to_thread(settings.storage.path.write_text, "a file")
    with pytest.raises(SettingsError, match=r"liqmap\.sqlite3 cannot be created"):
        async with open_store(settings):
            pass
