from __future__ import annotations

import asyncio
import errno
import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.ops.backup import export_to, import_from
from bot.ops.backup_file import read_backup
from bot.request.defaults import GuildDefaults
from bot.request.due import Schedule
from bot.request.posted import ScanSpec, encode_posted
from bot.request.spec import MapSpec
from bot.settings import BotSettings
from bot.store import Store, open_store
from bot.store.alerts import TO_CREATOR, NewAlert
from bot.store.subscriptions import NewSubscription, PostStyle, SubscriptionState
from liqmap import ScanRequest
from liqmap.errors import RequestError
from liqmap.model import Exchange, PositionModel, Side
from liqmap.settings import StorageSettings
from tests.bot.conftest import REQUEST

NOW = datetime(2026, 1, 1, 9, 30, tzinfo=UTC)
WORKDAYS = Schedule(timedelta(days=1), timedelta(hours=8), frozenset(range(5)), "Europe/Berlin")
NEW = NewSubscription(2**62, 5, 6, MapSpec(REQUEST), WORKDAYS, PostStyle.EDIT, 7, publish=True)
ALERT = NewAlert(
    *(1, 2, 3, Exchange.BYBIT, "BTCUSDT", 0.01, 1e6, timedelta(hours=1)),
    positions=PositionModel.OPEN_INTEREST,
)


@pytest.fixture
async def backup(store: Store, tmp_path: Path) -> Path:
    """Write the backup of two subscriptions, an alert and a server's defaults."""
    for new in (NEW, replace(NEW, channel_id=8)):
        number = await store.subscriptions.draft(new, now=NOW)
        await store.subscriptions.activate(number, now=NOW)
    await store.subscriptions.pause(number, reason="I may not post there")
    await store.subscriptions.draft(replace(NEW, channel_id=9), now=NOW)
    await store.alerts.add(ALERT)
    await store.alerts.add(replace(ALERT, channel_id=TO_CREATOR, reason="closed"))
    await store.guilds.put(1, GuildDefaults(theme="light", timezone="Asia/Tokyo", channels=(2, 3)))
    path = tmp_path / "backup.json"
    assert await export_to(store, path) == 2
    return path


async def test_backup_is_readable_only_by_its_owner(backup: Path):
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600


async def test_backup_replaces_an_older_file_completely_or_not_at_all(
    backup: Path, store: Store, monkeypatch: pytest.MonkeyPatch
):
    backup.write_text("of before")
    backup.chmod(0o644)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
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
        assert (first.schedule, first.publish) == (WORKDAYS, True)
        assert (first.state, first.active_since) == (SubscriptionState.ACTIVE, NOW)
        assert (second.state, second.reason) == (SubscriptionState.PAUSED, "I may not post there")
        alert, private = await store.alerts.all()
        assert (alert.exchange, alert.cooldown) == (Exchange.BYBIT, timedelta(hours=1))
        assert (private.is_private, private.reason) == (True, "closed")
        assert store.guilds.all() == {1: GuildDefaults(theme="light", timezone="Asia/Tokyo", channels=(2, 3))}


async def test_scan_comes_back_from_a_backup_once(store: Store, tmp_path: Path):
    scan = ScanSpec(ScanRequest(NOW, exchanges=frozenset({Exchange.OKX}), side=Side.SELL, within=0.02))
    number = await store.subscriptions.draft(replace(NEW, spec=scan), now=NOW)
    await store.subscriptions.activate(number, now=NOW)
    assert await export_to(store, tmp_path / "backup.json") == 1
    async with open_store(BotSettings(storage=StorageSettings(path=tmp_path / "new"))) as other:
        assert await import_from(other, tmp_path / "backup.json", now=NOW) == 1
        assert await import_from(other, tmp_path / "backup.json", now=NOW) == 0
        (found,) = await other.subscriptions.every_one()
        assert (found.spec, found.schedule, found.style) == (scan, WORKDAYS, PostStyle.EDIT)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**30)
    | st.floats()
    | st.text()
    | st.sampled_from(["\0", "1h", "b~BTC~1~t1~bsd-~", ".scan~bo~ld~0.05~10", "é" * 300]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
ROWS: dict[str, dict[str, Any]] = {
    "subscriptions": {
        **dict.fromkeys(("guild_id", "channel_id", "creator_id", "role_id"), 1),
        "spec": encode_posted(NEW.spec),
        "every": 3600,
        "style": "new",
        "state": "paused",
        "reason": "",
    },
    "alerts": {
        **dict.fromkeys(("guild_id", "channel_id", "creator_id", "notional"), 1),
        "exchange": "binance",
        "symbol": "BTCUSDT",
        "distance": 0.1,
        "cooldown": 60,
    },
    "guilds": {
        **dict.fromkeys(("exchange", "mode", "value", "theme", "leverages")),
        "guild_id": 1,
        "channels": [1],
    },
}
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
        assert await store.alerts.all() == []
        assert store.guilds.all() == {}


@pytest.mark.parametrize(
    ("key", "changes", "sentence"),
    [
        ("alerts", {"symbol": "btc"}, "alerts.1: A symbol is letters and digits, such as BTCUSDT."),
        ("guilds", {"leverages": "x"}, "guilds.0: The leverages “x” must be whole numbers"),
        ("subscriptions", {"every": 10**30}, "subscriptions.1: Posts come every 15m, 30m, "),
        ("subscriptions", {"every": "1h"}, "subscriptions.1.every: Input should be a valid integer."),
        ("subscriptions", {"days": [7]}, "subscriptions.1: Weekdays go from 0 for Monday to 6 for Sunday."),
        ("subscriptions", {"timezone": "Mars"}, "subscriptions.1: The time zone Mars is not known"),
        ("subscriptions", {"role_id": True}, "subscriptions.1.role_id: Input should be a valid integer."),
        ("subscriptions", {"spec": "b~BTC\0"}, "subscriptions.1: The spec 'b~BTC\\x00' cannot be decoded."),
        ("subscriptions", {"reason": "\0"}, "subscriptions.1.reason: It must not contain a NUL character."),
        ("guilds", {"value": "100\0"}, "guilds.0.value: It must not contain a NUL character."),
        ("guilds", {"\x1b[2J": 1}, "guilds.0.[2J: Extra inputs are not permitted."),
        ("guilds", {"theme": "pink"}, "guilds.0.theme: Input should be 'dark' or 'light'."),
    ],
)
async def test_broken_backup_names_the_place(
    backup: Path, store: Store, key: str, changes: dict[str, Any], sentence: str
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
    for noise in (b"\xff\x00", b"[" * 100_000, b'{"version": 1', b'{"version": ' + b"9" * 5000 + b"}"):
        (tmp_path / "noise").write_bytes(noise)
        with pytest.raises(RequestError, match=r"^The backup cannot be used: it is not complete JSON; name"):
            await import_from(store, tmp_path / "noise", now=NOW)


async def test_file_that_is_too_large_is_one_sentence(
    store: Store, backup: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("bot.ops.backup._LARGEST", 1 << 20)
    with backup.open("ab") as file:
        file.write(b" " * (1 << 20))
    with pytest.raises(
        RequestError, match=r"^backup.json is larger than 1 MiB, the most that import takes\.$"
    ):
        await import_from(store, backup, now=NOW)


@given(st.data())
def test_row_of_any_content_is_taken_or_one_sentence(data: st.DataObject):
    table = data.draw(st.sampled_from(sorted(ROWS)))
    row = dict(ROWS[table])
    for key in data.draw(st.lists(st.sampled_from(sorted(row)), min_size=1)):
        row[key] = data.draw(ANYTHING)
    content = {"version": 1, "subscriptions": [], "alerts": [], "guilds": [], table: [row]}
    reported = f"The backup cannot be used: {table}.0"
    try:
        read_backup(json.dumps(content).encode(), now=NOW)
    except RequestError as error:
        reported = str(error)
    assert reported.startswith(f"The backup cannot be used: {table}.0")
    assert reported.isprintable()


async def test_many_wrong_rows_are_twenty_lines_and_a_count(backup: Path, store: Store):
    content = json.loads(await asyncio.to_thread(backup.read_text))
    content["subscriptions"] += [{}] * 30
    content["alerts"] += [7] * 1000
    await asyncio.to_thread(backup.write_text, json.dumps(content))
    with pytest.raises(RequestError) as caught:
        await import_from(store, backup, now=NOW)
    head, *lines, tail = str(caught.value).split("\n  ")
    assert head == "The backup cannot be used, and nothing was changed: 1,030 rows are wrong."
    assert lines == [f"subscriptions.{number}.guild_id: Field required." for number in range(2, 22)]
    assert tail == "and 1,010 more."


def run_measured(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command and print its peak memory [KiB].

    A process begins with the peak of the one that started it, so a small one stands in between.
    """
    starter = (
        "import resource, subprocess, sys\n"
        "status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        "sys.exit(status)"
    )
    measured = [sys.executable, "-c", starter, *command]
    return subprocess.run(measured, capture_output=True, text=True, check=False)  # noqa: S603


def test_two_megabytes_of_wrong_rows_take_little_memory(tmp_path: Path):
    rows = ",".join(['{"every": 1}'] * 160_000)
    (tmp_path / "bad.json").write_text(f'{{"version":1,"subscriptions":[{rows}],"alerts":[],"guilds":[]}}')
    (tmp_path / "liqmap.toml").write_text(f'storage.path = "{tmp_path / "store"}"\n')
    command = [sys.executable, "-m", "bot", "--config", str(tmp_path / "liqmap.toml"), "import"]
    process = run_measured([*command, str(tmp_path / "bad.json")])
    assert process.returncode == 1
    assert "160,000 rows are wrong" in process.stderr
    assert int(process.stdout) < 400 << 10
