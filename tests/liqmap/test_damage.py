"""Damage to any file of a store gives the clean result or a sentence, never another number, never a crash.

`make test` runs a sample of the trials; `make damage` runs all 2,000.
"""

from __future__ import annotations

import itertools
import os
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from liqmap.brackets import find_brackets
from liqmap.brackets.save import save_tiers
from liqmap.cli.check import findings
from liqmap.collect.brackets import _Checks
from liqmap.collect.contracts import Contracts, _Kept, _written
from liqmap.collect.symbols import KnownSymbols
from liqmap.compute.selection import Cut
from liqmap.errors import LiqmapError
from liqmap.exchanges.messages import Liquidation, RiskTier
from liqmap.exchanges.protocol import Instrument
from liqmap.files import write_file
from liqmap.ledger.file import verify_ledger, writing
from liqmap.live.registry import Recording, Recordings
from liqmap.model import Exchange, Market, Side
from liqmap.model.series import Series, SeriesKind
from liqmap.model.window import TimeWindow
from liqmap.settings import Settings, StorageSettings
from liqmap.simulator import SimulatedClock
from liqmap.store.bars import path_of, read_bars, read_path_around
from liqmap.store.bundles import DAYS, JOURNAL, RECORDED
from liqmap.store.feeds import feed_path, feed_windows, note_feed
from liqmap.store.largest import read_largest
from liqmap.store.liquidations import append_liquidations, liquidations_path, read_liquidations
from liqmap.store.segments import Origin, open_segment, segment_path
from liqmap.store.series import Piece, SeriesStore
from liqmap.store.writer import write_segment
from tests.liqmap.bundle_samples import bundle_samples
from tests.liqmap.conftest import DAY, random_trades
from tests.liqmap.damages import KINDS, damaged

TRIALS = int(os.environ.get("LIQMAP_DAMAGE_TRIALS", "500"))
BUNDLE_TRIALS = int(os.environ.get("LIQMAP_DAMAGE_TRIALS", "150"))
SEED = 20261128
WHOLE = TimeWindow.of_day(DAY)
PART = TimeWindow(WHOLE.start + timedelta(hours=5, seconds=7), WHOLE.start + timedelta(hours=9))
NOW = datetime(2023, 8, 1, 12, tzinfo=UTC)
MARKET = Market(Exchange.BYBIT, "BTCUSDT")
KIND = SeriesKind.OPEN_INTEREST


class Sample(NamedTuple):
    """Files of a store, what their readers make of them, and what those return for damaged ones."""

    files: list[Path]
    read: Callable[[], object]
    unknown: object = None


def sample_store(root: Path) -> list[Sample]:
    """Fill a store with each kind of file."""
    exchange, symbol = MARKET.exchange, MARKET.symbol
    segment, tables = segment_path(root, exchange, symbol, WHOLE), root / "brackets"
    origin = Origin(exchange, symbol, WHOLE, "https://example.org", "ab" * 32, first_id=5, last_id=9)
    write_segment(segment, origin, random_trades(3000), incoming=root / "incoming")
    KnownSymbols(root).keep(exchange, frozenset({symbol, "币安人生USDT"}), volumes={symbol: 1.5}, now=NOW)
    Recordings(root).write(Recording(exchange, symbol, NOW, NOW, until=NOW, lag=0.25))
    save_tiers(tables, exchange, {symbol: [RiskTier(2e6, 0.005, 100.0)]}, day=DAY, source="Bybit")
    _Checks(tables / "checked.json").note("bybit", NOW)
    times = range(WHOLE.start_ms, WHOLE.start_ms + 40)
    rows = [Liquidation(symbol, time, Side.BUY, 29_000.5, time % 100 / 8) for time in times]
    append_liquidations(root, exchange, rows, complete=True)
    starts = range(WHOLE.start_ms, WHOLE.end_ms, KIND.step_ms)
    SeriesStore(root).write(Piece(MARKET, WHOLE, Series.of(KIND, starts, [(1.5,)] * len(starts)), "Bybit"))
    for hour in range(12):
        start = WHOLE.start + timedelta(hours=2 * hour)
        note_feed(root, exchange, symbol, TimeWindow(start, start + timedelta(hours=1)))
    feed, ledger = feed_path(root, exchange, symbol, DAY), root / "ledger" / "1.0-ab12.jsonl"
    units = {DAY: Instrument(0.01, 100.0), NOW.date(): Instrument(0.1, 50.0)}
    write_file(root / "contracts" / "okx.json", _written(_Kept(NOW, {"BTCUSDT": units})))
    with writing(ledger) as writer:
        for number in range(5):
            writer.append({"kind": "seal", "price": 29_000.5 + number, "density": [0.25] * 200})
    (piece,) = root.glob("series/*/*/*/*")
    return [
        Sample(sorted(segment.iterdir()), lambda: segment_values(segment)),
        Sample([root / "listings" / "bybit.json"], lambda: KnownSymbols(root).listing(exchange)),
        Sample([root / "recordings/bybit/BTCUSDT.json"], lambda: Recordings(root).read(exchange, symbol)),
        Sample([tables / f"bybit-{DAY}.txt"], lambda: bracket_values(tables)),
        Sample([tables / "checked.json"], lambda: _Checks(tables / "checked.json").read("bybit")),
        Sample(
            [liquidations_path(root, exchange, symbol, DAY)],
            lambda: read_liquidations(root, exchange, symbol, DAY),
        ),
        Sample([piece], lambda: series_values(root), unknown=((), b"")),
        Sample([feed], lambda: feed_windows(root, exchange, symbol, DAY), unknown=[]),
        Sample([root / "contracts" / "okx.json"], lambda: kept_contracts(root)),
        Sample([ledger], lambda: verify_ledger(ledger).lines),
    ]


def kept_contracts(root: Path) -> object:
    contracts = Contracts(
        Settings(storage=StorageSettings(path=root)), clients=cast(Any, {}), clock=SimulatedClock(NOW)
    )
    kept = contracts._read(Exchange.OKX)
    return kept and kept.contracts


def segment_values(path: Path) -> object:
    """Return all that maps of several kinds read of a segment."""
    segment = open_segment(path)
    assert segment is not None
    found: list[object] = [segment.origin, segment.buys, segment.sells]
    for side, cut in ((Side.BUY, Cut(count=50)), (Side.SELL, Cut(minimum=30_000.0)), (Side.SELL, Cut())):
        for window in (WHOLE, PART):
            largest = read_largest(segment, side, window=window, cut=cut, turns=True)
            found += [
                largest.extreme.tobytes(),
                largest.trades.time.tobytes(),
                largest.trades.price.tobytes(),
            ]
            found.append(largest.trades.notional.tobytes())
    for path_of_price in (
        path_of(read_bars(segment, PART)),
        path_of(read_bars(segment, WHOLE, bin_seconds=60)),
        read_path_around(segment, WHOLE, np.array([PART.start_ms])),
    ):
        found += [path_of_price.time.tobytes(), path_of_price.low.tobytes(), path_of_price.close.tobytes()]
    return found


def bracket_values(folder: Path) -> object:
    found = find_brackets(Exchange.BYBIT, "BTCUSDT", on=DAY, folders=(folder,))
    return found and (found.date, found.brackets.cap.tolist(), found.brackets.rate.tolist())


def series_values(root: Path) -> object:
    held = SeriesStore(root).read(MARKET, KIND, WHOLE)
    return held.covered, b"".join(values.tobytes() for values in held.series.values)


def damaged_at_random(content: bytes, rng: random.Random) -> bytes:
    """Return a damaged file of at most the former size."""
    at, length = rng.randrange(len(content)), rng.choice((1, 8, 512, 4096))
    noise = rng.randbytes(min(length, len(content) - at))
    return damaged(content, rng.choice(KINDS), at, mask=1 << rng.randrange(8), length=length, noise=noise)


def test_damage_to_a_bundle_costs_the_records_that_it_hits_and_no_other(tmp_path: Path):
    samples = bundle_samples(tmp_path)
    clean = [sample.read() for sample in samples]
    assert {sample.file.suffix for sample in samples} == {JOURNAL, RECORDED, DAYS}
    assert all(values is not None for each in clean for values in each.values())
    rng, lost, clock = random.Random(SEED), Counter[int](), itertools.count(1)
    for trial in range(BUNDLE_TRIALS):
        sample, expected = samples[trial % len(samples)], clean[trial % len(samples)]
        content = sample.file.read_bytes()
        broken = damaged_at_random(content, rng)
        sample.file.write_bytes(broken)
        os.utime(sample.file, ns=(0, next(clock)))  # caches go by it
        problems = sum(each.problem is not None for each in findings(tmp_path, deep=True))
        outcome = sample.read()
        sample.verify(outcome, clean=expected, content=content, broken=broken, problems=problems)
        lost[sum(values is None for values in outcome.values())] += 1
        sample.file.write_bytes(content)
        os.utime(sample.file, ns=(0, next(clock)))
    assert lost[0] > BUNDLE_TRIALS / 50
    assert lost[1] > BUNDLE_TRIALS / 10
    assert [each for each in findings(tmp_path, deep=True) if each.problem] == []


def test_damage_gives_the_clean_result_or_a_sentence_and_check_finds_it(tmp_path: Path):
    samples = sample_store(tmp_path)
    assert [each for each in findings(tmp_path, deep=True) if each.problem] == []
    rng, found, clock = random.Random(SEED), Counter[str](), itertools.count(1)
    clean = [sample.read() for sample in samples]
    for _ in range(TRIALS):
        place = rng.randrange(len(samples))
        file = rng.choice(samples[place].files)
        content = file.read_bytes()
        file.write_bytes(damaged_at_random(content, rng))
        os.utime(file, ns=(0, next(clock)))  # caches go by it
        problems = sum(each.problem is not None for each in findings(tmp_path, deep=True))
        outcome = outcome_of(samples[place])
        if outcome == clean[place]:
            found["clean"] += 1
        else:
            assert problems == 1, file
            assert outcome == samples[place].unknown or sentence(outcome), (file, outcome)
            found["sentence" if sentence(outcome) else "unknown"] += 1
        file.write_bytes(content)  # a reader may have set it aside
        os.utime(file, ns=(0, next(clock)))
    assert min(found["clean"], found["sentence"], found["unknown"]) > TRIALS / 50
    assert [each for each in findings(tmp_path, deep=True) if each.problem] == []


def outcome_of(sample: Sample) -> object:
    try:
        return sample.read()
    except LiqmapError as error:
        return error


def sentence(outcome: object) -> bool:
    return isinstance(outcome, LiqmapError) and str(outcome).endswith(".")
