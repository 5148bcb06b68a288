"""Make sure that only one process at a time runs an application on a database."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from filelock import FileLock, Timeout
from sqlalchemy import func, select

from liqmap import SettingsError

if TYPE_CHECKING:
    from types import TracebackType

    from sqlalchemy.ext.asyncio import AsyncEngine


class ProcessLocks:
    """One lock for each application. The system releases it when the process ends, even if it is killed.

    With SQLite it is a lock file beside the database, with PostgreSQL an advisory lock of a connection.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._held: set[int] = set()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def take(self, application_id: int, *, process: int = 0) -> bool:
        """Take the lock of one process of an application until the store is closed.

        Returns False if another process has it. Raises SettingsError if the lock file cannot be written.
        """
        # Discord's ids are far apart, so the sums of ids and small process numbers do not collide.
        number = application_id + process
        if number in self._held:
            return True
        if self._engine.dialect.name == "sqlite":
            taken = await asyncio.to_thread(self._take_file, number)
        else:
            taken = await self._take_advisory(number)
        if taken:
            self._held.add(number)
        return taken

    def _take_file(self, number: int) -> bool:
        database = self._engine.url.database
        if not database:
            return True  # no other process can see a database in memory
        lock = FileLock(Path(f"{database}.{number}.lock"), mode=0o600, thread_local=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        except NotImplementedError:
            return True  # a file system without locks cannot serve several processes anyway
        except OSError as error:
            raise SettingsError(
                f"The file {Path(lock.lock_file).name} cannot be written ({error.strerror}); check the rights"
                " of the database's folder."
            ) from error
        self._stack.callback(lock.release)
        return True

    async def _take_advisory(self, number: int) -> bool:
        connection = await self._stack.enter_async_context(
            self._engine.execution_options(isolation_level="AUTOCOMMIT").connect()
        )
        taken = await connection.execute(select(func.pg_try_advisory_lock(number)))
        return bool(taken.scalar_one())
