"""Tell whether the process works: watch its drawing, and open the server for monitoring if there is one."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Unpack

from liqmap import JobFailed, LiqmapError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bot.ops.pages import State
    from bot.request.drawing import Draw, Listeners
    from bot.settings import HealthSettings
    from liqmap import MapRequest, MapResult


_BROKEN_AFTER: Final = 3


class DrawingHealth:
    """Watches whether maps can be drawn: after three faults in a row they cannot.

    A refusal by the exchange, or an invalid request, is not a fault.
    """

    def __init__(self) -> None:
        self._faults = 0

    @property
    def works(self) -> bool:
        """Whether maps can be drawn, judged by the last ones."""
        return self._faults < _BROKEN_AFTER

    def watched(self, draw: Draw) -> Draw:
        """Return `draw` with its outcomes counted."""

        async def run(request: MapRequest, **listeners: Unpack[Listeners]) -> MapResult:
            try:
                result = await draw(request, **listeners)
            # Counted and raised again, whatever it is; a LiqmapError other than JobFailed is no fault.
            except Exception as error:
                if isinstance(error, JobFailed) or not isinstance(error, LiqmapError):
                    self._faults += 1
                raise
            self._faults = 0
            return result

        return run


@asynccontextmanager
async def health_server(settings: HealthSettings, **state: Unpack[State]) -> AsyncIterator[None]:
    """Serve /metrics, and /healthz with 200 while `connected` and `drawing` are true, otherwise 503.

    `trouble` returns what else an operator should know although maps can be drawn. With port 0 there is no
    server. Raises SettingsError if the port is taken.
    """
    if not settings.port:
        yield
        return
    # Most bots have no such server, and what serves pages takes a while to import.
    from bot.ops.pages import served  # noqa: PLC0415

    async with served(settings, **state):
        yield
