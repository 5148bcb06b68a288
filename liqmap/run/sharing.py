"""Share one job among all callers who request the same map."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from liqmap.collect.waited import WaitedFor
from liqmap.errors import EngineBusy

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from liqmap.model import MapRequest, Progress
    from liqmap.run.result import MapResult


class Listener(NamedTuple):
    """A caller who waits for a map: receives its progress, and a partial map if it takes long."""

    progress: Callable[[Progress], None]
    partial: Callable[[MapResult], None]


class SharedJobs:
    """The requests under way, `most` at once: equal ones are drawn once, by `draw`."""

    def __init__(self, draw: Callable[[MapRequest], Coroutine[Any, Any, MapResult]], *, most: int) -> None:
        self._draw = draw
        self._most = most
        self._jobs: WaitedFor[MapRequest, MapResult, Listener] = WaitedFor()

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, request: MapRequest) -> bool:
        return request in self._jobs

    async def result(self, request: MapRequest, listener: Listener) -> MapResult:
        """Return the map that is drawn for all who request it. Raises EngineBusy, and what `draw` raises."""
        # Whoever waits for a map that is under way adds no work.
        if request not in self._jobs:
            self._refuse_if_full()
        return await self._jobs.result(request, lambda: self._draw(request), listener)

    def report(self, request: MapRequest, progress: Progress) -> None:
        """Report how far a request has come to all who wait for it."""
        self._jobs.tell(request, lambda listener: listener.progress(progress))

    def offer(self, request: MapRequest, partial: MapResult) -> None:
        """Give a partial map to all who wait, and to those who will."""
        self._jobs.tell(request, lambda listener: listener.partial(partial), lasting=True)

    async def cancel(self) -> None:
        """Cancel all jobs and wait until they have ended."""
        await self._jobs.close()

    def _refuse_if_full(self) -> None:
        waiting = len(self._jobs)
        if waiting >= self._most:
            raise EngineBusy(f"{waiting} maps are being drawn already; please try again in a few seconds.")
