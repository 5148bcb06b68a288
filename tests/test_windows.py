"""Everything starts without what Windows lacks, taken away from every process by a `sitecustomize` module."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bot.test_app import ended, running_bot

WITHOUT = """
import ctypes, errno, fcntl, multiprocessing.popen_spawn_posix, os, signal, subprocess, sys
import asyncio.unix_events

def add_signal_handler(*_):
    raise NotImplementedError

asyncio.unix_events._UnixSelectorEventLoop.add_signal_handler = add_signal_handler

class CDLL(ctypes.CDLL):
    def __init__(self, name, *arguments, **options):
        if name is None:
            raise TypeError("LoadLibrary() argument 1 must be str, not None")
        super().__init__(name, *arguments, **options)

ctypes.CDLL = CDLL
open_, fsync = os.open, os.fsync

def open_no_folder(path, flags, *arguments, **options):
    if os.path.isdir(path):
        raise PermissionError(errno.EACCES, "Permission denied")
    return open_(path, flags, *arguments, **options)

def fsync_what_is_written(file):
    if fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, "Bad file descriptor")
    fsync(file)

os.open, os.fsync = open_no_folder, fsync_what_is_written
del os.O_DIRECTORY, os.O_TMPFILE, os.fork, os.mkfifo, signal.SIGHUP, signal.SIGUSR1
for name in ("grp", "pwd", "resource", "termios", "tty"):
    sys.modules[name] = None
sys.stderr.write("as on Windows\\n")
"""


@pytest.fixture(autouse=True)
def _as_on_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "without"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(WITHOUT)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *sys.path]))
    monkeypatch.setenv("PYTHONTZPATH", "")  # Windows has no time zones of its own


def test_command_line_draws_on_windows(config: Path, tmp_path: Path):
    words = ["BTCUSDT", "6h", "--end", "2023-08-01 06:00", "--config", str(config), "--out", str(tmp_path)]
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "liqmap", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stderr.splitlines()) == {"as on Windows"}
    assert len(list(tmp_path.glob("*.png"))) == 2


def test_recorder_ends_on_windows(config: Path):
    words = ["record", "BTCUSDT", "--exchange", "binance", "--config", str(config)]
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "liqmap", *words], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert any("recording binance BTCUSDT" in line for line in process.stderr)
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
    assert (process.returncode, "Traceback" in rest) == (0, False), rest


async def test_bot_answers_and_ends_on_windows(tmp_path: Path):
    options = {"symbol": "btc", "window": "6h", "mode": "top_n", "end": "2023-08-01 06:00"}
    async with running_bot(tmp_path) as (server, _, process):
        answered = await server.command("liqmap", **options)
        await answered.done
        process.send_signal(signal.SIGTERM)
        code, log = await ended(process)
    assert list(answered.files) == ["liquidation_map.png", "liquidation_depth.png"]
    assert (code, "Traceback" in log, "as on Windows" in log) == (0, False, True), log
