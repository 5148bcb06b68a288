"""How a request is drawn, as the commands and the schedule see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypedDict, Unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from liqmap import MapRequest, MapResult, Progress


class Listeners(TypedDict, total=False):
    """Callbacks while a request is drawn: for progress, and for an incomplete map if it takes long."""

    progress: Callable[[Progress], None] | None
    partial: Callable[[MapResult], None] | None


class Draw(Protocol):
    """How a request is drawn: the signature of `liqmap.run.engine.Engine.draw`."""

    def __call__(self, request: MapRequest, **listeners: Unpack[Listeners]) -> Coroutine[Any, Any, MapResult]:
        """Draw `request` and report to `listeners`."""
        ...
