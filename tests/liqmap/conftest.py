"""Trades and segments to test with."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pytest

from liqmap.compute.levels import all_levels
from liqmap.compute.map import build_map
from liqmap.compute.margin import MarginRules
from liqmap.compute.values import Aftermath, Entries, LiquidationLevels, LiquidationMap, SideTrades
from liqmap.model import Coverage, Exchange, MarginBasis, MarginModel, Side, Trades
from liqmap.model.window import TimeWindow
from liqmap.store.segments import Origin, Segment, segment_path
from liqmap.store.writer import write_segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import ModuleType

    from liqmap.compute.values import PricePath
    from liqmap.model import MapRequest

DAY = date(2023, 8, 1)
START_MS = int(datetime(2023, 8, 1, tzinfo=UTC).timestamp()) * 1000


@pytest.fixture(params=["with isal if it is there", "without isal"])
def loaded_anew(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], ModuleType]:
    """Load modules as on a processor for which there is a package of isal, and as on one without."""
    if request.param == "without isal":
        monkeypatch.setitem(sys.modules, "isal", None)

    def load(name: str) -> ModuleType:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def trades_from(rows: Sequence[tuple[int, float, float, str]], *, start_ms: int = START_MS) -> Trades:
    """Return trades of rows (milliseconds after `start_ms`, price, size, "buy" or "sell")."""
    return Trades(
        np.array([start_ms + row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.float64),
        np.array([row[2] for row in rows], np.float64),
        np.array([row[3] == "buy" for row in rows], np.bool_),
    )


def random_trades(count: int, *, seed: int = 1, start_ms: int = START_MS) -> Trades:
    """Return a day's worth of `count` trades on a grid of ticks, with many equal notionals among them."""
    rng = np.random.default_rng(seed)
    return Trades(
        np.sort(rng.integers(0, 86_400_000, count)) + start_ms,
        rng.integers(28_000_0, 29_000_0, count) / 10,
        np.minimum(np.ceil(rng.pareto(1.2, count)), 1000) / 1000 * rng.integers(1, 4, count),
        rng.random(count) < 0.5,
    )


SEED_RULES = MarginRules(split=False)
SEED_BASIS = MarginBasis(MarginModel.SIMPLE)


def nothing_after(*sides: SideTrades) -> dict[Side, Aftermath]:
    """Return what the price did after entries if the window ended with them: nothing."""
    return {
        each.side: Aftermath(*([np.full(len(each), np.inf if each.side is Side.BUY else -np.inf)] * 2))
        for each in sides
    }


def entries_of(buys: SideTrades, sells: SideTrades, after: Mapping[Side, Aftermath] | None = None) -> Entries:
    """Return trades as one stretch, with nothing after them if it is not given."""
    return Entries({Side.BUY: buys, Side.SELL: sells}, after or nothing_after(buys, sells))


@dataclass(frozen=True)
class Computed:
    """A map, and the levels that it was made of: of longs and of shorts, leverages ascending."""

    map: LiquidationMap
    stretches: tuple[tuple[LiquidationLevels, ...], ...]

    @property
    def levels(self) -> tuple[LiquidationLevels, ...]:
        (levels,) = self.stretches
        return levels

    @property
    def longs(self) -> tuple[LiquidationLevels, ...]:
        return tuple(each for each in self.levels if each.side is Side.BUY)

    @property
    def shorts(self) -> tuple[LiquidationLevels, ...]:
        return tuple(each for each in self.levels if each.side is Side.SELL)


def compute(
    request: MapRequest,
    entries: Sequence[Entries],
    *,
    path: PricePath,
    coverage: Coverage | None = None,
    trade_count: int = 1000,
    rules: MarginRules = SEED_RULES,
    basis: MarginBasis = SEED_BASIS,
) -> Computed:
    """Return the map of entries, newest first, and its levels."""
    drawn = build_map(
        request,
        coverage or Coverage(request.window, (request.window,)),
        path=path,
        trade_count=trade_count,
        entries=entries,
        rules=rules,
        basis=basis,
    )
    return Computed(drawn, tuple(all_levels(entries, request, rules, last_price=drawn.last_price)))


class Stored(Protocol):
    """Store trades as the segment of a day."""

    def __call__(self, trades: Trades, day: date = DAY) -> Segment: ...


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    def store(trades: Trades, day: date = DAY) -> Segment:
        window = TimeWindow.of_day(day)
        origin = Origin(Exchange.BINANCE, "BTCUSDT", window, "https://example.org/day.zip", "ab" * 32)
        path = segment_path(tmp_path, origin.exchange, origin.symbol, window)
        return write_segment(path, origin, trades, incoming=tmp_path / "incoming")

    return store


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """Serve S3 on this machine, with one empty bucket."""
    server = pytest.importorskip("moto.server", reason="moto is not installed")
    s3 = server.ThreadedMotoServer(port=0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        s3.start()
        host, port = s3.get_host_and_port()
        place = f"endpoint_override={host}:{port}&scheme=http&region=us-east-1"
        from pyarrow import fs  # noqa: PLC0415

        files, _ = fs.FileSystem.from_uri(f"s3://trades?{place}&allow_bucket_creation=true")
        files.create_dir("trades")
        yield f"s3://trades/PREFIX?{place}"
        s3.stop()
