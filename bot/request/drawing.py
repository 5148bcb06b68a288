"""How a request is drawn, as the commands and the schedule see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self, TypedDict, Unpack

from liqmap import DrawnReport, ScanResult

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from liqmap import Engine, MapRequest, MapResult, Progress, ScanRequest, SymbolStatus


class Listeners(TypedDict, total=False):
    """Callbacks while a request is drawn: for progress, and for an incomplete map if it takes long."""

    progress: Callable[[Progress], None] | None
    partial: Callable[[MapResult], None] | None


class Scan(Protocol):
    """Scans the recorded markets: `Engine.scan`."""

    def __call__(self, request: ScanRequest) -> Coroutine[Any, Any, ScanResult]:
        """Return the markets that are nearest to a large cluster."""
        ...


class Draw(Protocol):
    """How a request is drawn: the signature of `liqmap.run.engine.Engine.draw`."""

    def __call__(self, request: MapRequest, **listeners: Unpack[Listeners]) -> Coroutine[Any, Any, MapResult]:
        """Draw `request` and report to `listeners`."""
        ...


class ReportAccuracy(Protocol):
    """What `/accuracy` needs: how right earlier maps were."""

    async def __call__(self, symbol: str | None, /) -> DrawnReport:
        """Return the report of all sealed maps, or of one symbol's. Raises LiqmapError."""
        ...


async def _scan_nothing(request: ScanRequest) -> ScanResult:
    return ScanResult(request, (), 0)


async def _nothing_sealed(symbol: str | None, /) -> DrawnReport:
    del symbol
    return DrawnReport()


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What the bot reports of the engine besides maps.

    `recorded` returns the state of each recording, `under_way` how many maps are being drawn, `report` how
    right earlier maps were, and `sealed` how many are sealed, with the last hash; None if none are. `scan`
    looks at all recorded markets.
    """

    # By default they say that nothing is there, so that a bot can be made without an engine, as tests do.
    recorded: Callable[[], Sequence[SymbolStatus]] = lambda: ()
    under_way: Callable[[], int] = lambda: 0
    report: ReportAccuracy = _nothing_sealed
    sealed: Callable[[], str | None] = lambda: None
    scan: Scan = _scan_nothing

    @classmethod
    def of(cls, engine: Engine) -> Self:
        """Return what `engine` says."""
        accuracy = engine.accuracy
        return cls(
            engine.status, lambda: engine.jobs_under_way, accuracy.report, accuracy.sealed, engine.scan
        )
