"""Open the database, bring its tables up to date, and begin transactions."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from filelock import FileLock, Timeout
from sqlalchemy import event, inspect, make_url
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from bot.store.troubles import UnknownTables, opening_failure
from liqmap import SettingsError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from pydantic import SecretStr
    from sqlalchemy import URL, Connection
    from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

log = logging.getLogger(__name__)

SQLITE_FILE: Final = "liqmap.sqlite3"
_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
}
_WRITES: Final[dict[str, Any]] = {"liqmap_writes": True}
_LOCK_WAIT_SECONDS: Final = 2.0
"""How long a transaction waits for a lock. Discord allows three seconds for a command's first answer."""

_QUEUE_WAIT_SECONDS: Final = 5.0
"""How long a transaction waits for those before it, each of which may be waiting for a lock."""

_OPENING_WAIT_SECONDS: Final = 5.0
_START_WAIT_SECONDS: Final = 60.0
"""How long a start waits for others that have begun before it, of which each may have to change tables."""

_UPGRADE_LOCK: Final = 0x6C69716D6170  # "liqmap", among the advisory locks of a PostgreSQL database

NEWEST: Final = "minutes"
"""The revision of tables that are up to date: the last step of `bot.store.migrations`."""


@asynccontextmanager
async def open_database(url: SecretStr, *, folder: Path) -> AsyncIterator[AsyncEngine]:
    """Open the database at `url`, or the SQLite file in `folder` if `url` is empty, and update its tables.

    Raises SettingsError, which repeats no part of the URL, because that may contain a password.
    """
    address = _address(url.get_secret_value(), folder)
    if address.get_backend_name() == "sqlite" and address.database:
        await asyncio.to_thread(_create_private, Path(address.database))
    with _failing_in_one_sentence():
        engine = _engine(address)
    try:
        with _failing_in_one_sentence():
            async with _start_alone(address):
                await _upgrade_alone(engine)
        yield engine
    finally:
        await engine.dispose()


def writing(engine: AsyncEngine) -> AbstractAsyncContextManager[AsyncConnection]:
    """Begin a transaction that writes.

    SQLite has one writer at a time, so what the transaction reads stays true until it has written. PostgreSQL
    does not promise that; there, unique keys catch conflicts (see `bot.store.room`).
    """
    return engine.execution_options(**_WRITES).begin()


def parse_url(text: str) -> URL | None:
    """Return the parts of a database's URL, or None if it is not one."""
    try:
        return make_url(text)
    except (ArgumentError, ValueError):  # ValueError: a port that is not a number
        return None


def upgrade(connection: Connection) -> None:
    """Bring the tables of a database up to date, in the transaction of `connection`. Raises UnknownTables."""
    if _is_up_to_date(connection):
        return
    # Most starts need no step, and Alembic takes a tenth of a start to import.
    from bot.store.steps import take_steps  # noqa: PLC0415

    if connection.dialect.name == "postgresql":
        for wait, then in (
            (_START_WAIT_SECONDS, f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})"),
            (_OPENING_WAIT_SECONDS, "SELECT 1"),
        ):
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{wait:g}s'")
            connection.exec_driver_sql(then)
    take_steps(connection)


def _is_up_to_date(connection: Connection) -> bool:
    if not inspect(connection).has_table("alembic_version"):
        return False
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version")
    return found.scalars().all() == [NEWEST]


@asynccontextmanager
async def _start_alone(address: URL) -> AsyncIterator[None]:
    """Hold a lock on a file beside an SQLite database: several bots may start at once.

    SQLite's own waiting is not enough, because a change of the journal's mode never waits.
    """
    if address.get_backend_name() != "sqlite" or not address.database:
        yield
        return
    path = f"{address.database}.lock"
    async with AsyncExitStack() as stack:
        try:
            stack.enter_context(FileLock(path, mode=0o600, blocking=False))
        except Timeout:
            await stack.enter_async_context(_waiting_for(path))
        yield


@asynccontextmanager
async def _waiting_for(path: str) -> AsyncIterator[None]:
    """Hold the lock that another start has now."""
    # Most starts are alone, and this part of the library takes longer to import than the rest of it.
    from filelock import AsyncFileLock  # noqa: PLC0415

    lock = AsyncFileLock(path, mode=0o600)
    try:
        await lock.acquire(timeout=_OPENING_WAIT_SECONDS)
    except Timeout:
        log.warning("another start has the database; waiting up to %.0f s for it", _START_WAIT_SECONDS)
        await lock.acquire(timeout=_START_WAIT_SECONDS)
    try:
        yield
    finally:
        await lock.release()


async def _upgrade_alone(engine: AsyncEngine) -> None:
    """Upgrade under a lock, because several bots may start at once."""
    await _wait_for_locks(engine, _OPENING_WAIT_SECONDS)
    async with writing(engine) as connection:
        await connection.run_sync(upgrade)
    await _wait_for_locks(engine, _LOCK_WAIT_SECONDS)


async def _wait_for_locks(engine: AsyncEngine, seconds: float) -> None:
    if engine.dialect.name == "sqlite":
        async with engine.connect() as connection:
            await connection.exec_driver_sql(f"PRAGMA {_busy_timeout(seconds)}")


def _busy_timeout(seconds: float) -> str:
    return f"busy_timeout = {round(seconds * 1000)}"


def _address(text: str, folder: Path) -> URL:
    if not text:
        return make_url("sqlite+aiosqlite://").set(database=str(folder / SQLITE_FILE))
    address = parse_url(text)
    if address is None or address.get_backend_name() not in _DRIVERS:
        raise SettingsError(
            "Setting database.url: must be like postgresql://user:password@host/name or sqlite:///file."
        )
    # asyncpg calls this option ssl; every other client of PostgreSQL calls it sslmode.
    query = {"ssl" if name == "sslmode" else name: value for name, value in address.query.items()}
    return address.set(drivername=_DRIVERS[address.get_backend_name()], query=query)


@contextmanager
def _failing_in_one_sentence() -> Iterator[None]:
    try:
        yield
    # Drivers raise the last three for parts of the URL that they do not know or cannot read.
    except (SQLAlchemyError, UnknownTables, OSError, TypeError, ValueError, OverflowError) as error:
        raise SettingsError(opening_failure(error)) from None


def _engine(address: URL) -> AsyncEngine:
    # hide_parameters: otherwise errors would repeat a statement's values, among them an interaction's token.
    if address.get_backend_name() != "sqlite":
        engine = create_async_engine(address, pool_pre_ping=True, hide_parameters=True)
        event.listen(engine.sync_engine, "do_connect", _connect)
        return engine
    # SQLite has one writer at a time. A single connection queues this process's transactions, so they never
    # meet a lock.
    engine = create_async_engine(
        address, hide_parameters=True, pool_size=1, max_overflow=0, pool_timeout=_QUEUE_WAIT_SECONDS
    )
    event.listen(engine.sync_engine, "connect", _set_up_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_in_sqlite)
    return engine


def _connect(
    dialect: Dialect, _: object, arguments: Sequence[Any], options: dict[str, Any]
) -> DBAPIConnection:
    try:
        return dialect.connect(*arguments, **options)
    except OSError as error:
        # asyncpg raises OSError as it is, and callers would take it for a broken connection to Discord.
        raise OperationalError("connect", None, error) from error


def _set_up_sqlite(connection: DBAPIConnection, _: object) -> None:
    # By default the driver begins a transaction only at the first write, and none for CREATE TABLE. With None
    # it begins none, and `_begin_in_sqlite` does.
    connection.isolation_level = None
    cursor = connection.cursor()
    # The wait comes first, because the change to WAL needs a lock. With WAL and synchronous = NORMAL, commits
    # survive the end of the process without waiting for the disk each time.
    wait = _busy_timeout(_LOCK_WAIT_SECONDS)
    for pragma in (wait, "journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_in_sqlite(connection: Connection) -> None:
    # After a plain BEGIN and a read, SQLite refuses to write as soon as another process has written.
    writes = _WRITES.items() <= connection.get_execution_options().items()
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _create_private(path: Path) -> None:
    # SQLite creates its journal files with the same rights.
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise SettingsError(
            f"The database file {path.name} cannot be created ({error.strerror}): check the settings "
            "storage.path and database.url."
        ) from error
