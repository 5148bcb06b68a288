from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqmap.console import READER_GONE, call_at_signals, write_any_text


class Console:
    """A terminal of one encoding in the place of stdout and stderr."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
        self._encoding, self._bytes = encoding, io.BytesIO()
        stream = io.TextIOWrapper(self._bytes, encoding=encoding, write_through=True)
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)

    def shown(self) -> str:
        return self.written().decode(self._encoding)

    def written(self) -> bytes:
        return self._bytes.getvalue()


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", '00:00 -> 06:00, 14:05-14:10, >= 5 %, "btc..." ok'),
        ("cp437", '00:00 -> 06:00, 14:05-14:10, ≥ 5 %, "btc..." ok'),
        ("cp1252", "00:00 -> 06:00, 14:05–14:10, >= 5 %, “btc…” ok"),
        ("utf-8", "00:00 → 06:00, 14:05–14:10, ≥ 5 %, “btc…” ✓"),
    ],
)
def test_console_shows_what_its_encoding_has_and_ascii_for_the_rest(
    monkeypatch: pytest.MonkeyPatch, encoding: str, shown: str
):
    console = Console(monkeypatch, encoding)
    write_any_text()
    sys.stdout.write("00:00 → 06:00, 14:05–14:10, ≥ 5 %, “btc…” ✓")
    assert console.shown() == shown


@given(st.text())
def test_console_of_any_encoding_takes_any_text(text: str):
    for encoding in ("ascii", "cp437", "cp932", "utf-8"):
        with pytest.MonkeyPatch.context() as monkeypatch:
            console = Console(monkeypatch, encoding)
            write_any_text()
            sys.stderr.write(text)
            sys.stdout.write("!")
            assert console.shown().endswith("!")


def test_file_name_that_is_not_text_is_written_as_it_is(monkeypatch: pytest.MonkeyPatch):
    console = Console(monkeypatch, "utf-8")
    write_any_text()
    sys.stdout.write("saved caf\udce9")
    assert console.written() == b"saved caf\xe9"


def test_process_without_a_console_starts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    write_any_text()


@pytest.fixture
def _as_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr("asyncio.unix_events._UnixSelectorEventLoop.add_signal_handler", missing)


async def _stops_at_a_signal() -> None:
    before = signal.getsignal(signal.SIGTERM)
    stop = asyncio.Event()
    call_at_signals(stop.set, signal.SIGTERM)
    try:
        signal.raise_signal(signal.SIGTERM)
        await stop.wait()
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_signal_calls_back():
    await _stops_at_a_signal()


@pytest.mark.usefixtures("_as_on_windows")
async def test_signal_calls_back_where_loops_watch_no_signals():
    await _stops_at_a_signal()


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of Windows end otherwise")
def test_command_whose_reader_has_gone_ends_without_a_traceback(tmp_path: Path):
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(
        [sys.executable, "-m", "liqmap", "status"],
        check=False,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "LIQMAP__STORAGE__PATH": str(tmp_path)},
    )
    os.close(writing)
    assert process.stderr == ""
    assert process.returncode == READER_GONE
