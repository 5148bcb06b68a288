"""Notice within seconds what other processes change in the database.

PostgreSQL sends notifications, by triggers on the tables that are kept in memory. SQLite counts the writes of
other processes, and that number is read every few seconds.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, Self

from sqlalchemy.exc import SQLAlchemyError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from sqlalchemy.ext.asyncio import AsyncEngine

log = logging.getLogger(__name__)

CHANNEL: Final = "liqmap_changes"
"""The channel of PostgreSQL's notifications. Triggers in the migrations name it, so it must not change."""

LOOK_SECONDS: Final = 2.0
_ALIVE_SECONDS: Final = 30.0  # after which a silent connection is tested


class Changes:
    """Calls `on_change` soon after another process has changed subscriptions or servers' settings.

    Several changes within `LOOK_SECONDS` become one call. Use it as `async with Changes(engine, on_change)`.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        on_change: Callable[[], Awaitable[object]],
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._engine = engine
        self._on_change = on_change
        self._sleep = sleep
        self._notified = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        """Watch until cancelled. If the database cannot be reached, try again."""
        watch = self._count_writes if self._engine.dialect.name == "sqlite" else self._listen
        while True:
            try:
                await watch()
            except (SQLAlchemyError, OSError) as error:
                log.info("changes by other processes are not seen for now: %s", type(error).__name__)
            await self._sleep(LOOK_SECONDS)

    async def _count_writes(self) -> None:
        seen = None
        while True:
            found = await self._data_version()
            if found != seen:
                # At the start too: it may begin anew because an earlier change could not be followed.
                await self._on_change()
                seen = found
            await self._sleep(LOOK_SECONDS)

    async def _data_version(self) -> int:
        """Return SQLite's version of the data.

        Only writes of other connections change it, and this process has only one connection.
        """
        async with self._engine.connect() as connection:
            found = await connection.exec_driver_sql("PRAGMA data_version")
            return int(found.scalar_one())

    async def _listen(self) -> None:
        engine = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            await driver.add_listener(CHANNEL, self._notify)
            try:
                # PostgreSQL does not repeat notifications from the time before this connection listened.
                await self._on_change()
                while True:
                    await self._until_notified(connection)
                    await self._on_change()
                    # Notifications during this wait become one call: each call reads whole tables.
                    await self._sleep(LOOK_SECONDS)
            finally:
                await driver.remove_listener(CHANNEL, self._notify)

    async def _until_notified(self, connection: Any) -> None:  # noqa: ANN401 - an AsyncConnection
        while True:
            try:
                async with asyncio.timeout(_ALIVE_SECONDS):
                    await self._notified.wait()
            except TimeoutError:
                await connection.exec_driver_sql("SELECT 1")  # raises if the connection is dead
                continue
            self._notified.clear()
            return

    def _notify(self, *_: object) -> None:
        self._notified.set()
