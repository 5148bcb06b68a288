"""Write text that every terminal can show, and stop at signals, on every system."""

from __future__ import annotations

import asyncio
import codecs
import io
import os
import signal
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

READER_GONE: Final = 141
"""The exit code of a command whose output nobody reads any more: that of a program which SIGPIPE ends."""

_ERRORS: Final = "liqmap.ascii"
_ASCII: Final = {
    "→": "->",
    "←": "<-",
    "·": "-",
    "–": "-",
    "—": "-",
    "−": "-",
    "…": "...",
    "“": '"',
    "”": '"',
    "’": "'",
    "≥": ">=",
    "≤": "<=",
    "±": "+-",
    "×": "x",
    "✓": "ok",
    "✗": "x",
    "⚠": "!",
    "🟢": "*",
    "⚪": "o",
    "\N{VARIATION SELECTOR-16}": "",  # it only colours the sign before it
    "\N{NO-BREAK SPACE}": " ",
    "\N{NARROW NO-BREAK SPACE}": " ",
}


def write_any_text() -> None:
    """Make stdout and stderr replace by ASCII what their encoding lacks, instead of raising an error."""
    codecs.register_error(_ERRORS, _in_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a process without a console has None
            stream.reconfigure(errors=_ERRORS)


def drop_output() -> None:
    """Write nothing more to stdout, whose reader has gone: else Python reports an error when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def call_at_signals(callback: Callable[[], object], *signals: signal.Signals) -> None:
    """Call `callback` in the running loop, the main thread's, whenever one of `signals` arrives."""
    loop = asyncio.get_running_loop()
    for each in signals:
        try:
            loop.add_signal_handler(each, callback)
        except NotImplementedError:  # event loops on Windows do not watch signals
            signal.signal(each, lambda *_: loop.call_soon_threadsafe(callback))


def _in_ascii(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    char, after = error.object[error.start], error.start + 1
    if "\udc80" <= char <= "\udcff":  # a byte of a file name that is not text is written as it was read
        return char.encode("utf-8", "surrogateescape"), after
    return _ASCII.get(char, char.encode("ascii", "backslashreplace").decode("ascii")), after
