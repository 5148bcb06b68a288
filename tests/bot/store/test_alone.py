from __future__ import annotations

import pytest

from bot.settings import BotSettings
from bot.store import Store, open_store
from liqmap.errors import SettingsError

FIRST, SECOND = 2**62, 2**62 + 1


async def test_application_runs_once_on_a_database(store: Store, stored_settings: BotSettings):
    assert await store.processes.take(FIRST)
    assert await store.processes.take(FIRST)
    async with open_store(stored_settings) as other:
        assert not await other.processes.take(FIRST)
        assert await other.processes.take(SECOND)
    assert await store.processes.take(SECOND)


async def test_lock_that_cannot_be_made_is_one_sentence(settings: BotSettings):
    async with open_store(settings) as store:
        (settings.storage.path / f"liqmap.sqlite3.{FIRST}.lock").mkdir()
        with pytest.raises(SettingsError, match=rf"\.{FIRST}\.lock cannot be written"):
            await store.processes.take(FIRST)


async def test_application_that_has_ended_makes_room_for_its_next_process(stored_settings: BotSettings):
    for _ in range(2):
        async with open_store(stored_settings) as store:
            assert await store.processes.take(FIRST)
