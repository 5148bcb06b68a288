"""How a request is drawn, as the commands and the schedule see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from liqmap import MapRequest, MapResult, Progress


class Draw(Protocol):
    """How a request is drawn: the signature of `liqmap.engine.Engine.draw`."""

    def __call__(
        self,
        request: MapRequest,
        *,
        progress: Callable[[Progress], None] | None = None,
        partial: Callable[[MapResult], None] | None = None,
    ) -> Coroutine[Any, Any, MapResult]:
        """Draw `request`, telling `progress`; if it takes long, `partial` gets a map of what there is."""
        ...
