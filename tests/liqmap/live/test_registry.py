from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from liqmap.errors import LiqmapError
from liqmap.live.registry import ALIVE_FOR, Recording, Recordings
from liqmap.model import Exchange

NOW = datetime(2026, 10, 4, 12, 30, tzinfo=UTC)
RECORDING = Recording(
    Exchange.BYBIT,
    "BTCUSDT",
    updated=NOW,
    since=NOW - timedelta(hours=3),
    asked=NOW - timedelta(days=1),
    connected=True,
    until=NOW - timedelta(seconds=30),
    last_trade=NOW - timedelta(milliseconds=120),
    lag=0.12,
    cuts=2,
)


def path_of(root: Path, recording: Recording = RECORDING) -> Path:
    return root / "recordings" / recording.exchange / f"{recording.symbol}.json"


def read(root: Path) -> Recording | None:
    return Recordings(root).read(Exchange.BYBIT, "BTCUSDT")


@pytest.mark.parametrize(
    "recording",
    [RECORDING, Recording(Exchange.BYBIT, "BTCUSDT", updated=NOW, since=NOW)],
    ids=["all", "least"],
)
def test_recording_is_read_back_as_it_was_written(tmp_path: Path, recording: Recording):
    Recordings(tmp_path).write(recording)
    found = read(tmp_path)
    assert found == recording
    assert found is not None
    assert found.exchange is Exchange.BYBIT


def test_missing_recording_is_none(tmp_path: Path):
    assert read(tmp_path) is None
    assert list(Recordings(tmp_path).all()) == []


def test_all_readable_recordings_are_listed_by_exchange_and_symbol(tmp_path: Path):
    recordings = Recordings(tmp_path)
    ether = replace(RECORDING, symbol="ETHUSDT")
    binance = replace(RECORDING, exchange=Exchange.BINANCE, symbol="XRPUSDT")
    for each in (ether, RECORDING, binance, replace(RECORDING, symbol="ADAUSDT")):
        recordings.write(each)
    path_of(tmp_path, replace(RECORDING, symbol="ADAUSDT")).write_text("{")
    lock = recordings.claim(Exchange.BINANCE, "BTCUSDT")
    assert lock is not None
    assert list(recordings.all()) == [binance, RECORDING, ether]
    lock.release()


def written(**changes: object) -> str:
    plain = {
        "exchange": "bybit",
        "symbol": "BTCUSDT",
        "updated": "2026-10-04T12:30:00+00:00",
        "since": "2026-10-04T09:30:00+00:00",
        "asked": None,
        "connected": True,
        "until": None,
        "last_trade": None,
        "lag": None,
        "cuts": 0,
    }
    return json.dumps(plain | changes)


def test_sound_text_is_read(tmp_path: Path):
    path_of(tmp_path).parent.mkdir(parents=True)
    path_of(tmp_path).write_text(written())
    assert read(tmp_path) is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "7",
        '"x"',
        "{}",
        "[" * 100_000,
        written(exchange="mtgox"),
        written(exchange=[]),
        written(updated=None),
        written(updated="yesterday"),
        written(updated=7),
        written(updated="2026-10-04T12:30:00"),  # without a zone it cannot be compared
        written(since=None),
        written(asked="2026-10-04T12:30:00"),
        written(of_a_later_version=1),
    ],
)
def test_unreadable_file_counts_as_missing(tmp_path: Path, text: str):
    path_of(tmp_path).parent.mkdir(parents=True)
    path_of(tmp_path).write_text(text)
    assert read(tmp_path) is None


@pytest.mark.parametrize(
    ("age", "connected", "alive"),
    [
        (timedelta(0), True, True),
        (ALIVE_FOR, True, True),
        (ALIVE_FOR + timedelta(seconds=1), True, False),
        (-ALIVE_FOR, True, True),  # the clock was set back, and it is described again within a minute
        (-timedelta(hours=1), True, False),
        (timedelta(0), False, False),
    ],
)
def test_recording_is_alive_while_connected_and_lately_updated(age: timedelta, connected: bool, alive: bool):
    assert replace(RECORDING, connected=connected).is_alive(NOW + age) is alive


def test_unwritable_folder_raises_one_sentence(tmp_path: Path):
    (tmp_path / "recordings").write_text("")
    with pytest.raises(LiqmapError):
        Recordings(tmp_path).write(RECORDING)
    with pytest.raises(LiqmapError):
        Recordings(tmp_path).claim(Exchange.BYBIT, "BTCUSDT")


def test_claim_is_for_one_at_a_time(tmp_path: Path):
    one, other = Recordings(tmp_path), Recordings(tmp_path)
    lock = one.claim(Exchange.BYBIT, "BTCUSDT")
    assert lock is not None
    assert other.claim(Exchange.BYBIT, "BTCUSDT") is None
    assert one.claim(Exchange.BYBIT, "BTCUSDT") is None
    for exchange, symbol in ((Exchange.BINANCE, "BTCUSDT"), (Exchange.BYBIT, "ETHUSDT")):
        another = other.claim(exchange, symbol)
        assert another is not None
        another.release()
    lock.release()
    again = other.claim(Exchange.BYBIT, "BTCUSDT")
    assert again is not None
    again.release()


HOLD = """
import sys
from pathlib import Path

from liqmap.model import Exchange
from liqmap.live.registry import Recordings

lock = Recordings(Path(sys.argv[1])).claim(Exchange.BYBIT, "BTCUSDT")
print("held" if lock else "taken", flush=True)
sys.stdin.read()
"""


def test_claim_of_another_process_holds_until_it_is_killed(tmp_path: Path):
    recordings = Recordings(tmp_path)
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert recordings.claim(Exchange.BYBIT, "BTCUSDT") is None
        process.kill()
        process.wait()
        lock = recordings.claim(Exchange.BYBIT, "BTCUSDT")
        assert lock is not None
    answer = subprocess.run(  # noqa: S603
        [sys.executable, "-c", HOLD, str(tmp_path)], input="", stdout=subprocess.PIPE, text=True, check=True
    )
    assert answer.stdout == "taken\n"
    lock.release()


def test_description_with_one_other_digit_is_as_good_as_none(tmp_path: Path):
    recordings = Recordings(tmp_path)
    recordings.write(RECORDING)
    path = path_of(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"20", b"21"))
    assert recordings.read(RECORDING.exchange, RECORDING.symbol) is None
    path.write_bytes(content)
    assert recordings.read(RECORDING.exchange, RECORDING.symbol) == RECORDING
