"""Work that several may wait for at once: done once, and only for as long as somebody waits."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable, Iterator

_Key = TypeVar("_Key", bound="Hashable")


@dataclass(slots=True, eq=False)
class _Work:
    task: asyncio.Task[None]
    waiting: int = 0


class WaitedFor(Generic[_Key]):
    """The work under way, by what it is about."""

    def __init__(self) -> None:
        self._works: dict[_Key, _Work] = {}

    def __len__(self) -> int:
        return len(self._works)

    def __iter__(self) -> Iterator[_Key]:
        return iter(self._works)

    async def done(self, key: _Key, begin: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Return once the work on `key` is done, which `begin` begins if it is not under way.

        It is cancelled when the last one who waits is. What it has stored by then stays. Its error is raised.
        """
        work = self._works.get(key) or self._begun(key, begin)
        work.waiting += 1
        try:
            await asyncio.shield(work.task)
        finally:
            work.waiting -= 1
            if not work.waiting:
                self._forget(key, work)
                work.task.cancel()

    async def close(self) -> None:
        """Cancel all work, and wait until it has ended."""
        tasks = [work.task for work in self._works.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begun(self, key: _Key, begin: Callable[[], Coroutine[Any, Any, None]]) -> _Work:
        work = self._works[key] = _Work(asyncio.create_task(begin()))

        def ended(task: asyncio.Task[None]) -> None:
            self._forget(key, work)
            # Who waits gets the error. If nobody does any more, asyncio need not log it.
            if not task.cancelled():
                task.exception()

        work.task.add_done_callback(ended)
        return work

    def _forget(self, key: _Key, work: _Work) -> None:
        # After this work was given up, somebody else may have begun it anew.
        if self._works.get(key) is work:
            del self._works[key]
