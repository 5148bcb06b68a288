from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from liqmap.exchanges.messages import Liquidation
from liqmap.live.backlog import Backlog
from liqmap.live.buffer import Chunk
from liqmap.live.outbox import Outbox
from liqmap.live.registry import Recordings
from liqmap.model import Exchange, Side, Trades
from liqmap.model.window import TimeWindow

NOON = datetime(2026, 10, 4, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def chunk(minute: int, trades: int) -> Chunk:
    """Return a chunk of the so many-th minute after noon."""
    start = NOON + minute * MINUTE
    values = np.ones(trades)
    of = Trades(np.zeros(trades, np.int64), values, values, np.ones(trades, np.bool_))
    return Chunk(TimeWindow(start, start + MINUTE), of, None, None)


def test_chunks_wait_in_order_until_they_are_stored():
    backlog, first, second, other = Backlog(), chunk(0, 1), chunk(1, 1), chunk(0, 1)
    backlog.add("BTCUSDT", [first])
    backlog.add("ETHUSDT", [other])
    backlog.add("BTCUSDT", [second])
    assert backlog.symbols == ["BTCUSDT", "ETHUSDT"]
    assert backlog.of("BTCUSDT") == [first, second]
    backlog.remove([first])
    assert backlog.of("BTCUSDT") == [second]
    backlog.remove([second, other])
    assert backlog.symbols == []


def test_oldest_chunks_beyond_the_limit_are_given_up_with_a_word(caplog: pytest.LogCaptureFixture):
    backlog, chunks = Backlog(most_trades=2500), [chunk(minute, 900) for minute in range(4)]
    for each in chunks:
        backlog.add("BTCUSDT", [each])
    assert backlog.of("BTCUSDT") == chunks[2:]
    assert caplog.text.count("is given up: it becomes a gap") == 2
    assert "BTCUSDT from 2026-10-04 12:00:00+00:00 to 2026-10-04 12:01:00+00:00" in caplog.text


def test_newest_chunk_is_kept_however_large():
    backlog, large = Backlog(most_trades=10), chunk(0, 5000)
    backlog.add("BTCUSDT", [large])
    assert backlog.of("BTCUSDT") == [large]


class Failing:
    """A writer that breaks down at first, then stores; and everything else that an outbox uses."""

    def __init__(self) -> None:
        self.stored: list[object] = []
        self.simulated = True
        self.broken = True

    async def write(self, _: str, chunks: list[Chunk], *__: object, **___: object) -> list[Chunk]:
        if self.broken:
            raise ZeroDivisionError
        self.stored += chunks
        return chunks

    async def write_liquidations(self, liquidations: list[Liquidation]) -> list[Liquidation]:
        if self.broken:
            return liquidations
        self.stored += liquidations
        return []

    async def write_tiers(self, _: object) -> bool:
        return True


class Delivering:
    """The recorder of a symbol that delivers a chunk once."""

    symbol = "BTCUSDT"

    def __init__(self, news: list[Chunk]) -> None:
        self.news = news

    def take_news(self) -> tuple[list[Chunk], list[int]]:
        news, self.news = self.news, []
        return news, []


async def test_news_outlive_whatever_breaks_while_they_are_written(tmp_path: Path):
    writer, minute = Failing(), chunk(0, 3)
    nobody = cast(Any, None)
    outbox = Outbox(
        Exchange.BYBIT,
        writer=cast(Any, writer),
        recordings=Recordings(tmp_path),
        client=cast(Any, writer),
        wanted=nobody,
        clock=nobody,
        on_written=nobody,
        recorder_of=lambda _: None,
    )
    liquidation = Liquidation("BTCUSDT", 1, Side.BUY, 1.0, 1.0)
    outbox.add_liquidation(liquidation)
    outbox.add(cast(Any, Delivering([minute])))
    with pytest.raises(ZeroDivisionError):
        await outbox.flush()
    writer.broken = False
    await outbox.retry()
    assert writer.stored == [liquidation, minute]
    await outbox.close()
    assert writer.stored == [liquidation, minute]
