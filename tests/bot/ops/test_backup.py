from __future__ import annotations

import asyncio
import errno
import json
import os
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.ops.backup import export_to, import_from
from bot.request.defaults import GuildDefaults
from bot.request.spec import MapSpec
from bot.settings import BotSettings
from bot.store import Store, open_store
from bot.store.alerts import NewAlert
from bot.store.subscriptions import NewSubscription, PostStyle, SubscriptionState
from liqmap.errors import RequestError
from liqmap.model import Exchange
from liqmap.settings import StorageSettings
from tests.bot.conftest import REQUEST

NOW = datetime(2026, 1, 1, 9, 30, tzinfo=UTC)
NEW = NewSubscription(2**62, 5, 6, MapSpec.of(REQUEST), timedelta(hours=1), PostStyle.EDIT, 7)
ALERT = NewAlert(1, 2, 3, Exchange.BYBIT, "BTCUSDT", 0.01, 1e6, timedelta(hours=1))


@pytest.fixture
async def backup(store: Store, tmp_path: Path) -> Path:
    """Write the backup of two subscriptions, an alert and a server's defaults."""
    for new in (NEW, replace(NEW, channel_id=8)):
        number = await store.subscriptions.draft(new, now=NOW)
        await store.subscriptions.activate(number, now=NOW)
    await store.subscriptions.pause(number, reason="I may not post there")
    await store.subscriptions.draft(replace(NEW, channel_id=9), now=NOW)
    await store.alerts.add(ALERT)
    await store.guilds.put(1, GuildDefaults(theme="light", channels=(2, 3)))
    path = tmp_path / "backup.json"
    assert await export_to(store, path) == 2
    return path


async def test_backup_is_readable_by_its_owner_alone(backup: Path):
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600


async def test_backup_takes_the_place_of_another_whole_or_not_at_all(
    backup: Path, store: Store, monkeypatch: pytest.MonkeyPatch
):
    backup.write_text("of before")
    backup.chmod(0o644)
    write = Path.write_text

    def full(path: Path, text: str, **options: Any) -> int:
        write(path, text[:9], **options)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(RequestError, match="No space left"):
            await export_to(store, backup)
    assert backup.read_text() == "of before"
    await export_to(store, backup)
    assert json.loads(backup.read_text())["version"] == 1
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert [each.name for each in backup.parent.glob(".*")] == []


async def test_backup_goes_into_a_pipe(store: Store, tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    text, _ = await asyncio.gather(asyncio.to_thread(pipe.read_text), export_to(store, pipe))
    assert json.loads(text)["version"] == 1


async def test_import_brings_everything_back_once(backup: Path, tmp_path: Path):
    settings = BotSettings(storage=StorageSettings(path=tmp_path / "new"))
    async with open_store(settings) as store:
        assert await import_from(store, backup, now=NOW) == 2
        assert await import_from(store, backup, now=NOW) == 0
        first, second = await store.subscriptions.every_one()
        assert (first.guild_id, first.spec, first.style, first.role_id) == (2**62, NEW.spec, "edit", 7)
        assert (first.state, first.active_since) == (SubscriptionState.ACTIVE, NOW)
        assert (second.state, second.reason) == (SubscriptionState.PAUSED, "I may not post there")
        (alert,) = store.alerts.all()
        assert (alert.exchange, alert.cooldown) == (Exchange.BYBIT, timedelta(hours=1))
        assert store.guilds.all() == {1: GuildDefaults(theme="light", channels=(2, 3))}


TOO_MANY = ",".join(f"{leverage}x.5" for leverage in range(10, 36))

BROKEN: list[dict[str, Any]] = [
    {"version": 2},
    {"surprise": 1},
    {"subscriptions": [{}]},
    {"subscriptions": [{"spec": "../../etc"}]},
    {"subscriptions": [{"spec": f"b~BTCUSDT~go0~t100~bsd-~{TOO_MANY}"}]},
    {"subscriptions": [{"every": 7}]},
    {"subscriptions": [{"guild_id": 2**70}]},
    {"subscriptions": [{"guild_id": "1; DROP TABLE"}]},
    {"subscriptions": [{"state": "draft"}]},
    {"alerts": [{"symbol": "../x"}]},
    {"alerts": [{"distance": -1}]},
    {"alerts": [{"symbol": "btc"}]},
    {"alerts": [{"symbol": "BTC-_-"}]},
    {"alerts": [{"exchange": "nyse"}]},
    {"guilds": [{"channels": ["x"]}]},
    {"guilds": [{"exchange": "nyse"}]},
    {"guilds": [{"mode": "top"}]},
    {"guilds": [{"value": "1k%"}]},
    {"guilds": [{"mode": "portion", "value": "150%"}]},
    {"guilds": [{"theme": "pink"}]},
    {"guilds": [{"leverages": "10:1e-05"}]},
    {"guilds": [{"leverages": "200"}]},
]


@pytest.mark.parametrize("changes", BROKEN)
async def test_broken_backup_is_one_sentence_and_adds_nothing(
    backup: Path, tmp_path: Path, changes: dict[str, Any]
):
    content = json.loads(await asyncio.to_thread(backup.read_text))
    for key, change in changes.items():
        row = change[0] if isinstance(change, list) else None
        if row:
            content[key][-1].update(row)
        else:
            content[key] = change
    path = tmp_path / "broken.json"
    await asyncio.to_thread(path.write_text, json.dumps(content))
    settings = BotSettings(storage=StorageSettings(path=tmp_path / "new"))
    async with open_store(settings) as store:
        with pytest.raises(RequestError, match=r"^The backup cannot be used: .*\.$"):
            await import_from(store, path, now=NOW)
        assert await store.subscriptions.every_one() == []
        assert store.alerts.all() == []
        assert store.guilds.all() == {}


@pytest.mark.parametrize(
    ("key", "changes", "sentence"),
    [
        ("alerts", {"symbol": "btc"}, "the alert of 'btc': A symbol is letters and digits, such as BTCUSDT."),
        ("guilds", {"leverages": "x"}, "the server 1: The leverages “x” are not up to 8 different ones"),
        ("guilds", {"theme": "pink"}, "guilds.0.theme: Input should be 'dark' or 'light'."),
    ],
)
async def test_broken_backup_names_the_place(
    backup: Path, store: Store, key: str, changes: dict[str, str], sentence: str
):
    content = json.loads(await asyncio.to_thread(backup.read_text))
    content[key][-1].update(changes)
    await asyncio.to_thread(backup.write_text, json.dumps(content))
    with pytest.raises(RequestError) as caught:
        await import_from(store, backup, now=NOW)
    assert str(caught.value).startswith(f"The backup cannot be used: {sentence}")


async def test_file_that_cannot_be_read_or_written_is_one_sentence(store: Store, tmp_path: Path):
    with pytest.raises(RequestError, match="nowhere cannot be read"):
        await import_from(store, tmp_path / "nowhere", now=NOW)
    with pytest.raises(RequestError, match="file cannot be written"):
        await export_to(store, tmp_path / "no" / "file")
    (tmp_path / "noise").write_bytes(b"\xff\x00")
    with pytest.raises(RequestError, match="noise cannot be read"):
        await import_from(store, tmp_path / "noise", now=NOW)
