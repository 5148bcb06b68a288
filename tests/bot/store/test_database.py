from __future__ import annotations

import asyncio
import stat
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from pydantic import SecretStr
from sqlalchemy import text

from bot.settings import BotSettings, DatabaseSettings
from bot.store import open_store
from bot.store.database import open_database
from bot.store.tables import metadata
from liqmap.errors import SettingsError


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


async def test_opening_again_changes_nothing(stored_settings: BotSettings):
    for _ in range(2):
        async with open_store(stored_settings) as store:
            assert await store.subscriptions.active() == []


async def test_several_may_be_the_first_to_open(settings: BotSettings):
    async def subscriptions() -> int:
        async with open_store(settings) as store:
            return len(await store.subscriptions.every_one())

    assert await asyncio.gather(*(subscriptions() for _ in range(4))) == [0] * 4


async def test_steps_that_break_off_leave_nothing_half_done(
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


async def test_folder_that_cannot_be_made_is_one_sentence(settings: BotSettings):
    await asyncio.to_thread(settings.storage.path.write_text, "a file")
    with pytest.raises(SettingsError, match=r"liqmap\.sqlite3 cannot be made"):
        async with open_store(settings):
            pass
