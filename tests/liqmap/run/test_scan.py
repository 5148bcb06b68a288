from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from liqmap.compute.scan import ScannedMarket
from liqmap.model import Cluster, Exchange, MapRequest, Market, Side, TopN, Trades
from liqmap.model.window import DAY, TimeWindow
from liqmap.run.job import MapJob
from liqmap.run.scan import HeldScan, _nearest_of, scan_held, scanned
from liqmap.store.damaged import damage_in
from liqmap.store.segments import VIA_STREAM, Origin, segment_path
from liqmap.store.writer import write_segment
from tests.liqmap.conftest import random_trades

END = datetime(2023, 8, 2, tzinfo=UTC)


def cluster(distance: float, notional: float) -> Cluster:
    at = 100 * (1 + distance)
    return Cluster(Side.BUY if distance < 0 else Side.SELL, at, at, at, distance, distance, notional)


def test_clusters_below_the_least_size_are_passed_over_for_the_nearest_that_is_large_enough():
    clusters = [cluster(-0.001, 1e6), cluster(-0.004, 2e7), cluster(-0.003, 3e7), cluster(0.002, 1e6)]
    summary: Any = SimpleNamespace(clusters=clusters)
    below, above = _nearest_of(summary, 2e7)
    assert below == clusters[2]
    assert above is None
    assert _nearest_of(summary, 1e6) == (clusters[0], clusters[3])


def held(root: Path, spans: list[tuple[float, float]], *, dealt: float = 1.0) -> tuple[ScannedMarket, float]:
    """Store trades in spans of hours before the end, and return what a scan says and the last hour's volume.

    In each span they are made within its first part, `dealt`.
    """
    volume = 0.0
    for seed, (first, last) in enumerate(spans):
        window = TimeWindow(END - timedelta(hours=first), END - timedelta(hours=last))
        trades = random_trades(3000, seed=seed, start_ms=window.start_ms)
        length = window.end_ms - window.start_ms
        time = window.start_ms + (trades.time - window.start_ms) * int(length * dealt) // 86_400_000
        trades = type(trades)(time, trades.price, trades.size, trades.is_buy)
        origin = Origin(Exchange.BINANCE, "BTCUSDT", window, "", "", via=(VIA_STREAM,))
        path = segment_path(root, Exchange.BINANCE, "BTCUSDT", window)
        write_segment(path, origin, trades, incoming=root / "incoming")
        volume += float((trades.price * trades.size)[time >= END.timestamp() * 1000 - 3_600_000].sum())
    request = MapRequest((Market(Exchange.BINANCE, "BTCUSDT"),), TimeWindow.ending(END, DAY), TopN(100))
    (found,) = scan_held(HeldScan(root, [request], ()))
    assert isinstance(found, ScannedMarket)
    return found, volume


def test_whole_last_hour_is_what_clusters_are_compared_with(tmp_path: Path):
    found, volume = held(tmp_path, [(24, 2), (2, 0)])
    assert found.hour_notional == pytest.approx(volume, rel=1e-9)
    assert found.is_current
    for each in found.clusters():
        assert each.share == pytest.approx(each.notional / volume)


@pytest.mark.parametrize(
    "spans", [[(24, 1.5), (5 / 60, 0)], [(5 / 60, 0)], [(24, 0.9), (0.8, 0)], [(24, 3)], [(24, 0.5)]]
)
def test_hour_that_is_not_all_known_is_no_volume_of_an_hour(tmp_path: Path, spans: list[tuple[float, float]]):
    found, _ = held(tmp_path, spans)
    assert found.hour_notional is None
    assert {each.share for each in found.clusters()} == {None}


def test_price_of_a_stopped_recording_is_not_current_and_that_of_a_quiet_market_is(tmp_path: Path):
    stopped, _ = held(tmp_path / "stopped", [(24, 18)])
    quiet, _ = held(tmp_path / "quiet", [(24, 0)], dealt=0.25)
    for each in stopped, quiet:
        assert each.price_age == pytest.approx(timedelta(hours=18), abs=timedelta(minutes=2))
    assert not stopped.is_current
    assert quiet.is_current
    assert quiet.hour_notional == 0
    assert stopped.hour_notional is None


def test_minutes_that_another_machine_has_not_shared_yet_leave_a_price_current(tmp_path: Path):
    found, _ = held(tmp_path, [(24, 5 / 60)])
    assert found.is_current
    assert found.unknown == timedelta(minutes=5)
    assert found.hour_notional


def test_damaged_segment_is_set_aside_and_the_rest_is_scanned(tmp_path: Path):
    held(tmp_path, [(24, 2), (2, 0)])
    day = TimeWindow(END - timedelta(hours=24), END - timedelta(hours=2))
    table = segment_path(tmp_path, Exchange.BINANCE, "BTCUSDT", day) / "buy.arrow"
    content = bytearray(table.read_bytes())
    content[len(content) // 2] ^= 1
    table.write_bytes(content)
    found, _ = held(tmp_path, [])
    assert found.covered == pytest.approx(2 / 24)
    assert damage_in(tmp_path).count == 1


def test_segment_that_is_replaced_while_it_is_scanned_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    expected, _ = held(tmp_path, [(24, 2), (2, 0)])

    def replaced(job: MapJob, *, least: float) -> ScannedMarket:
        monkeypatch.undo()
        for part in job.parts:
            trades = random_trades(100, seed=7, start_ms=part.window.start_ms)
            inside = trades.time < part.window.end_ms
            trades = type(trades)(*(column[inside] for column in columns_of(trades)))
            origin = part.segment.origin
            incoming = tmp_path / "incoming"
            write_segment(part.segment.path, origin, trades, incoming=incoming, replaces=True)
        return scanned(job, least=least)

    monkeypatch.setattr("liqmap.run.scan.scanned", replaced)
    found, _ = held(tmp_path, [])
    assert found.covered == expected.covered
    assert found.last_price != expected.last_price
    assert damage_in(tmp_path).count == 0


def columns_of(trades: Trades) -> tuple[Any, ...]:
    return trades.time, trades.price, trades.size, trades.is_buy
