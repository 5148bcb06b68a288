from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from liqmap.collect.holdings import Holdings
from liqmap.errors import DamagedSegment, DataError, UnreadableStore
from liqmap.model import Coverage, Exchange, LeftOutKind, LevelFilter, MapRequest, Market, TopN
from liqmap.model.window import TimeWindow
from liqmap.run.gathering import Gathering

WINDOW = TimeWindow.ending(datetime(2023, 8, 2, tzinfo=UTC), timedelta(hours=6))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (DataError("The exchange refuses to answer."), LeftOutKind.FAILED),
        # After these, the engine draws all markets again, so they are no reason to be without one.
        (UnreadableStore("Input/output error"), LeftOutKind.BEING_FETCHED),
        (DamagedSegment(Path("segment"), "cut off"), LeftOutKind.BEING_FETCHED),
    ],
)
async def test_partial_map_names_an_error_only_if_the_whole_map_lacks_the_market_too(
    error: DataError, kind: LeftOutKind
):
    async def fails(*_: object, **__: object) -> None:
        raise error

    async def current(*_: object) -> bool:
        return True

    def held(*_: object, **__: object) -> Holdings:
        return Holdings((), Coverage(WINDOW, ()))

    # A request for all levels needs no series.
    request = MapRequest((Market(Exchange.BINANCE, "BTCUSDT"),), WINDOW, TopN(1), levels=LevelFilter.ALL)
    sources: Any = SimpleNamespace(
        collector=SimpleNamespace(collect=fails, held=held),
        brackets=SimpleNamespace(current=current),
        series=None,
        liquidations=None,
        clock=None,
    )
    gathering = Gathering(request, sources, progress=lambda _: None)
    try:
        await asyncio.wait([gathering.collected])
        (left_out,) = gathering.held().left_out
    finally:
        gathering.cancel()
    assert left_out.kind is kind
