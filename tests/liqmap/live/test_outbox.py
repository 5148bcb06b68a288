from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from liqmap.live.outbox import Outbox
from liqmap.model import Exchange
from liqmap.simulator import SimulatedClock
from tests.liqmap.store.bundled import NOW, minute


class Recorder:
    """A symbol's recorder that delivers one minute."""

    def __init__(self, symbol: str) -> None:
        self.symbol, self.exists = symbol, True
        self.recording = SimpleNamespace(asked=None)
        self.until: object = None
        self._chunks = [SimpleNamespace(window=minute(0), trades=[])]

    def take_news(self) -> tuple[list[Any], list[int]]:
        chunks, self._chunks = self._chunks, []
        return chunks, []

    def note_stored(self, chunks: list[Any]) -> None:
        self.until = chunks[-1].window.end

    def describe(self, _: object, **__: object) -> object:
        return self.symbol, self.until


class Disk:
    """Writes chunks and the descriptions of recordings, once it is `whole`."""

    def __init__(self) -> None:
        self.whole = False
        self.described: list[object] = []

    async def write(self, _: str, chunks: list[Any], *__: object, **___: object) -> list[Any]:
        return chunks if self.whole else []

    async def write_liquidations(self, liquidations: list[Any]) -> list[Any]:
        return liquidations

    async def write_tiers(self, _: object) -> bool:
        return True


async def test_minute_that_is_stored_later_is_in_the_description_of_its_recording():
    disk, written = Disk(), list[object]()
    recorders = {each: Recorder(each) for each in ("BTCUSDT", "ETHUSDT")}
    outbox = Outbox(
        Exchange.BYBIT,
        writer=cast("Any", disk),
        recordings=cast("Any", SimpleNamespace(write=written.append)),
        client=cast("Any", SimpleNamespace(simulated=False, clock=SimpleNamespace(machine_off=None))),
        wanted=cast("Any", SimpleNamespace(last_request=lambda *_, **__: None)),
        clock=SimulatedClock(NOW),
        on_written=lambda _: None,
        recorder_of=lambda symbol: cast("Any", recorders.get(symbol)),
    )
    for recorder in recorders.values():
        outbox.add(cast("Any", recorder))
    await outbox.flush()
    assert sorted(map(str, written)) == ["('BTCUSDT', None)", "('ETHUSDT', None)"]
    del recorders["ETHUSDT"]  # another process may record it by now
    disk.whole = True
    written.clear()
    await outbox.retry()
    await outbox.flush()
    assert written == [("BTCUSDT", minute(0).end)]
