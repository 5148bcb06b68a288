"""Work that several may wait for at once: done once, and only for as long as somebody waits."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable, Iterator

_Key = TypeVar("_Key", bound="Hashable")
_Result = TypeVar("_Result")
_Listener = TypeVar("_Listener")


@dataclass(slots=True, eq=False)
class _Work(Generic[_Result, _Listener]):
    """Work under way, and the listener of each who waits for it, None for one without.

    `lasting` is the news that later listeners get too. `hurried` counts those who are not patient.
    """

    task: asyncio.Task[_Result]
    listeners: list[_Listener | None] = field(default_factory=list)
    lasting: Callable[[_Listener], None] | None = None
    hurried: int = 0


class WaitedFor(Generic[_Key, _Result, _Listener]):
    """The work under way, by what it is about."""

    def __init__(self) -> None:
        self._works: dict[_Key, _Work[_Result, _Listener]] = {}
        self._tasks: set[asyncio.Task[_Result]] = set()  # also those that were given up and have not ended

    def __len__(self) -> int:
        return len(self._works)

    def __iter__(self) -> Iterator[_Key]:
        return iter(self._works)

    def __contains__(self, key: object) -> bool:
        return key in self._works

    async def result(
        self,
        key: _Key,
        begin: Callable[[], Coroutine[Any, Any, _Result]],
        listener: _Listener | None = None,
        *,
        patiently: bool = False,
    ) -> _Result:
        """Return the result of the work on `key`, which `begin` begins if it is not under way.

        It is cancelled when the last one who waits is. What it has stored by then stays. Its error is raised.
        While this waits, `tell` reaches `listener`. The work `is_patient` if all wait `patiently`.
        """
        work = self._works.get(key) or self._begun(key, begin)
        work.listeners.append(listener)
        work.hurried += not patiently
        try:
            if listener is not None and work.lasting is not None:
                work.lasting(listener)
            # Shielded, because others may wait for the same work when this caller gives up.
            return await asyncio.shield(work.task)
        finally:
            work.listeners.remove(listener)
            work.hurried -= not patiently
            if not work.listeners:
                self._forget(key, work)
                work.task.cancel()

    def is_patient(self, key: _Key) -> bool:
        """Return whether all who wait for the work on `key` let other work go first."""
        work = self._works.get(key)
        return work is not None and not work.hurried

    def tell(self, key: _Key, news: Callable[[_Listener], None], *, lasting: bool = False) -> None:
        """Call `news` with each listener of the work on `key`; if it is `lasting`, also with later ones."""
        work = self._works.get(key)
        if work is None:
            return
        if lasting:
            work.lasting = news
        for listener in tuple(work.listeners):
            if listener is not None:
                news(listener)

    async def close(self) -> None:
        """Cancel all work, and wait until it has ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begun(
        self, key: _Key, begin: Callable[[], Coroutine[Any, Any, _Result]]
    ) -> _Work[_Result, _Listener]:
        work: _Work[_Result, _Listener] = _Work(asyncio.create_task(begin()))
        self._works[key] = work
        self._tasks.add(work.task)

        def ended(task: asyncio.Task[_Result]) -> None:
            self._tasks.discard(task)
            self._forget(key, work)
            # Who waits gets the error. If nobody does any more, asyncio need not log it.
            if not task.cancelled():
                task.exception()

        work.task.add_done_callback(ended)
        return work

    def _forget(self, key: _Key, work: _Work[_Result, _Listener]) -> None:
        # After this work was given up, somebody else may have begun it anew.
        if self._works.get(key) is work:
            del self._works[key]
