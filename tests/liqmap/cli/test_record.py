from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from liqmap.cli import record
from liqmap.cli.main import main
from liqmap.exchanges.rows import no_trades
from liqmap.live.registry import Recording, Recordings
from liqmap.live.status import largest_lag
from liqmap.model import Exchange
from liqmap.model.window import TimeWindow
from liqmap.store.segments import VIA_STREAM, Origin, segment_path
from liqmap.store.writer import write_segment

NOW = datetime(2026, 10, 4, 12, 30, tzinfo=UTC)
LIVE = Recording(
    Exchange.BINANCE,
    "BTCUSDT",
    updated=NOW,
    since=NOW - timedelta(hours=3),
    connected=True,
    until=NOW,
    last_trade=NOW - timedelta(seconds=2),
    lag=0.12,
)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(record, "utc_now", lambda: NOW)
    (tmp_path / "liqmap.toml").write_text(f'storage.path = "{tmp_path / "store"}"\n')
    return tmp_path / "store"


def status(store: Path, *words: str) -> int:
    return main(["status", *words, "--config", str(store.parent / "liqmap.toml")])


def recorded(store: Path, first: str, last: str) -> None:
    """Put a recorded segment into the store, of two times of the day."""
    window = TimeWindow(
        *(datetime.fromisoformat(f"2026-10-04T{text}").replace(tzinfo=UTC) for text in (first, last))
    )
    origin = Origin(Exchange.BINANCE, "BTCUSDT", window, "wss://", "", via=(VIA_STREAM,))
    path = segment_path(store, origin.exchange, origin.symbol, window)
    write_segment(path, origin, no_trades(), incoming=store / "incoming")


def test_status_of_an_empty_store_says_how_to_begin(store: Path, capsys: pytest.CaptureFixture[str]):
    assert status(store) == 0
    assert capsys.readouterr().out == "Nothing is recorded yet; try: liqmap record BTCUSDT\n"


def test_status_of_simulated_data_reads_the_simulated_store(store: Path, capsys: pytest.CaptureFixture[str]):
    Recordings(store).write(LIVE)
    assert status(store, "--simulated") == 0
    assert capsys.readouterr().out == "Nothing is recorded yet; try: liqmap record BTCUSDT --simulated\n"
    Recordings(store / "simulated").write(replace(LIVE, symbol="ETHUSDT"))
    assert status(store, "--simulated") == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["symbol", "ETHUSDT"]


def test_status_is_a_table_of_every_symbol(store: Path, capsys: pytest.CaptureFixture[str]):
    Recordings(store).write(LIVE)
    stopped = Recording(Exchange.BYBIT, "ETHUSDT", updated=NOW - timedelta(hours=1), since=NOW)
    Recordings(store).write(stopped)
    recorded(store, "10:00", "11:00")
    recorded(store, "11:05", "12:30")
    assert status(store) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    names = ("symbol", "state", "source", "recorded", "last trade", "lag", "last 24 h", "gaps", "series")
    cut = [0, *(head.index(name) for name in names), None]
    live = ("Binance", "BTCUSDT", "live", "live stream", "2026-10-04 10:00 UTC", "2 s ago", "0.1 s", "10 %")
    assert [[row[first:last].strip() for first, last in pairwise(cut)] for row in rows] == [
        [*live, "1, 5 min", ""],
        ["Bybit", "ETHUSDT", "stopped", "", "", "no trade yet", "", "0 %", "", ""],
    ]


def test_status_as_json_has_every_gap(store: Path, capsys: pytest.CaptureFixture[str]):
    Recordings(store).write(LIVE)
    recorded(store, "10:00", "11:00")
    recorded(store, "11:05", "12:30")
    assert status(store, "--json") == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "exchange": "binance",
            "symbol": "BTCUSDT",
            "alive": True,
            "sources": ["live stream"],
            "since": "2026-10-04T10:00:00+00:00",
            "until": "2026-10-04T12:30:00+00:00",
            "last_trade": "2026-10-04T12:29:58+00:00",
            "lag_seconds": 0.12,
            "series_until": {},
            "cuts": 0,
            "clock_off_seconds": None,
            "filled": 0.1007,
            "gaps": [{"start": "2026-10-04T11:00:00+00:00", "end": "2026-10-04T11:05:00+00:00"}],
        }
    ]


def test_status_reports_what_is_damaged_beside_its_output(store: Path, capsys: pytest.CaptureFixture[str]):
    (store / "damaged" / "bybit" / "BTCUSDT" / "20261004T100000Z-20261004T110000Z.0a1b2c3d").mkdir(
        parents=True
    )
    assert status(store, "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == []
    assert err.startswith("1 damaged file is set aside")


def test_largest_lag_is_that_of_live_recordings(store: Path):
    assert largest_lag(store, now=NOW) == 0
    Recordings(store).write(LIVE)
    Recordings(store).write(replace(LIVE, symbol="ETHUSDT", lag=2.5))
    Recordings(store).write(replace(LIVE, symbol="XRPUSDT", lag=9.0, connected=False))
    assert largest_lag(store, now=NOW) == 2.5


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["💰"], "“💰” is not a symbol; try BTCUSDT."),
        (
            ["BTCUSD_PERP", "--exchange", "binance"],
            "Binance COIN-M contracts such as BTCUSD_PERP cannot be recorded; try BTCUSDT.",
        ),
    ],
)
def test_unrecordable_symbol_prints_one_sentence(
    store: Path, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
):
    nowhere = "".join(f'exchanges.binance.{each}_url = "http://127.0.0.1:9"\n' for each in ("api", "archive"))
    with (store.parent / "liqmap.toml").open("a") as config:
        config.write(f"network.attempts = 1\n{nowhere}")
    assert main(["record", *words, "--config", str(store.parent / "liqmap.toml")]) == 2
    reported = capsys.readouterr().err
    assert sentence in reported
    assert reported.count("\n") == 1


def test_recorder_without_existing_symbols_ends_with_a_sentence(
    store: Path, capsys: pytest.CaptureFixture[str]
):
    config = str(store.parent / "liqmap.toml")
    assert main(["record", "NOPE", "--simulated", "--config", config]) == 1
    reported = capsys.readouterr().err.splitlines()[-1]
    assert reported == "The exchanges know none of these symbols, so nothing is recorded; check them."
    assert not [path for path in (store / "simulated" / "recordings").rglob("*") if path.is_file()]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_recorder_runs_until_a_signal_stops_it(store: Path, stop: signal.Signals):
    command = [sys.executable, "-m", "liqmap", "record", "BTCUSDT", "--exchange", "binance", "--simulated"]
    command = [*command, "--config", str(store.parent / "liqmap.toml")]
    with subprocess.Popen(  # noqa: S603
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        reported = next(line for line in process.stderr if "recording" in line)
        process.send_signal(stop)
        rest, said = process.stderr.read(), process.stdout.read().splitlines()
    assert said[0] == "Recording BTCUSDT on Binance; Ctrl-C stops it."
    assert said[-1].startswith("Stopped after ")
    assert said[-1].endswith(" s. What was received is stored; see `liqmap status --simulated`.")
    assert reported.endswith("liqmap.live.exchange: recording binance BTCUSDT\n")
    assert (process.returncode, "Traceback" in rest) == (0, False)
    (found,) = Recordings(store / "simulated").all()
    assert (found.symbol, found.connected) == ("BTCUSDT", False)


def test_status_warns_of_a_clock_that_is_off(store: Path, capsys: pytest.CaptureFixture[str]):
    Recordings(store).write(replace(LIVE, clock_off=-3.2))
    assert status(store) == 0
    *_, warning = capsys.readouterr().out.splitlines()
    assert warning == "This machine's clock is about 3 s behind Binance's; set it, for example with NTP."
