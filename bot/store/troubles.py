"""Explain why a database cannot be opened, as far as its driver says so."""

from __future__ import annotations

import sqlite3
from typing import Final

from filelock import Timeout

_LOCKED = "another program has locked it; stop that program, and start again"
_FULL = "its disk is full; make room, and start again"
_SQLITE: Final = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: "its file cannot be written; check its owner and rights",
    sqlite3.SQLITE_CANTOPEN: "its file cannot be opened; check its folder, owner and rights",
    sqlite3.SQLITE_IOERR: "its disk reports errors; check it, and start again",
    sqlite3.SQLITE_CORRUPT: "its file is damaged; import a backup into a new one",
    sqlite3.SQLITE_NOTADB: "its file is not a SQLite database; check the setting database.url",
}
_POSTGRES: Final = {
    "28P01": "it refuses the user or the password; check the setting database.url",
    "28000": "it refuses the user or the password; check the setting database.url",
    "3D000": "it does not exist; create it, or check the setting database.url",
    "42501": "its user may not create tables; grant that right",
    "53100": _FULL,
    "53300": "it has too many connections; close some, and start again",
    "55P03": _LOCKED,
    "57P03": "it is starting or stopping; start again in a minute",
}
_NEWER: Final = (
    "a newer version of the bot has changed it; run that version, or import a backup into a new database"
)


class UnknownTables(Exception):
    """The tables are of a version that this one does not know."""


def opening_failure(error: BaseException) -> str:
    """Return one sentence for an error that was raised while a database was opened, without its URL."""
    # SQLAlchemy wraps the driver's error, and its adapter of asyncpg wraps asyncpg's, which has the code.
    cause = getattr(error, "orig", None) or error
    reason = _NEWER if isinstance(error, UnknownTables) else _known(cause) or _known(cause.__cause__)
    if reason is None:
        reason = f"check that it runs, and the setting database.url ({type(cause).__name__})"
    return f"The database cannot be opened: {reason}."


def _known(error: BaseException | None) -> str | None:
    if isinstance(error, Timeout):
        return _LOCKED
    if isinstance(error, sqlite3.Error):
        # The low byte is the primary code; the upper bits only refine it.
        return _SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    return _POSTGRES.get(getattr(error, "sqlstate", None) or "")
