from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqmap.exchanges.messages import StreamTrade
from liqmap.live.buffer import SLACK_MS, Chunk, TradeBuffer

HOUR = 3_600_000
T0 = 1_791_072_000_000 - 1_791_072_000_000 % HOUR  # a whole hour


def buffer(*, numbered: bool = True, most: int = 1000) -> TradeBuffer:
    return TradeBuffer(numbered=numbered, most_trades=most)


def trade(number: int | None, after: int, *, size: float = 1.0) -> StreamTrade:
    """Return a trade `after` milliseconds from T0."""
    return StreamTrade("BTCUSDT", number, T0 + after, 100.0, size, is_buy=True)


def fed(to: TradeBuffer, *trades: tuple[int, int]) -> TradeBuffer:
    for number, after in trades:
        to.add(trade(number, after))
    return to


def reported(chunks: list[Chunk]) -> list[tuple[int, int, list[int]]]:
    """Return the chunks as milliseconds from T0: start, end, times of their trades."""
    return [
        (each.window.start_ms - T0, each.window.end_ms - T0, (each.trades.time - T0).tolist())
        for each in chunks
    ]


def test_numbered_buffer_begins_after_a_second_that_may_lack_trades():
    its = fed(buffer(), (10, 200), (11, 900), (12, 1000), (13, 59_999), (14, 60_200), (15, 60_500))
    assert reported(its.chunks) == [(1000, 60_000, [1000, 59_999])]
    assert (its.chunks[0].first_id, its.chunks[0].last_id) == (12, 13)
    assert its.covered_from == T0 + 60_000


def test_numbered_buffer_leaves_room_for_a_trade_that_the_first_has_overtaken():
    # Id 9 came before the buffer began and has a later time than id 10: the next second lacks it.
    its = fed(buffer(), (10, 999), (11, 1500), (12, 2000), (13, 60_500))
    assert reported(its.chunks) == [(2000, 60_000, [2000])]


@pytest.mark.parametrize("numbered", [True, False])
def test_trade_of_size_0_is_left_out_and_counted_and_not_missing(*, numbered: bool):
    its = buffer(numbered=numbered)
    for number, (after, size) in enumerate([(200, 1), (1000, 1), (1500, 0), (1600, 1), (60_500, 0)], 10):
        its.add(trade(number if numbered else None, after, size=size))
    assert reported(its.chunks) == [(1000, 60_000, [1000, 1600])]
    (chunk,) = its.chunks
    assert (chunk.zero_sizes, chunk.lost) == (1, 0)
    assert (chunk.first_id, chunk.last_id) == ((11, 13) if numbered else (None, None))


@pytest.mark.parametrize("numbered", [True, False])
def test_late_trade_of_size_0_does_not_count_as_lost(*, numbered: bool):
    its = buffer(numbered=numbered)
    for number, (after, size) in enumerate([(200, 1), (1000, 1), (60_600, 1), (59_000, 0), (121_000, 1)], 10):
        its.add(trade(number if numbered else None, after, size=size))
    assert its.late == []
    assert [each.lost for each in its.chunks] == [0, 0]


def test_trades_without_a_name_all_count():
    its = buffer(numbered=False)
    for after in (10, 1100, 1100, 1100, 60_600):
        its.add(trade(None, after))
    assert reported(its.chunks) == [(1000, 60_000, [1100, 1100, 1100])]


def test_named_trade_counts_once_though_it_comes_again():
    its = buffer(numbered=False)
    for name, after in (
        ("a", 10),
        ("b", 1100),
        ("b", 1100),
        ("c", 1900),
        ("d", 2100),
        ("c", 1900),
        ("", 2200),
    ):
        its.add(trade(None, after)._replace(name=name))
    its.add(trade(None, 2200))  # without a name there is no telling
    its.add(trade(None, 61_000)._replace(name="e"))
    assert reported(its.chunks) == [(1000, 60_000, [1100, 1900, 2100, 2200, 2200])]


def test_named_trade_counts_once_though_it_comes_again_much_later():
    its = buffer(numbered=False)
    names = (("a", 10), ("b", 1100), ("c", 3000), ("d", 30_000), ("b", 1100), ("c", 3000), ("e", 60_600))
    for name, after in names:
        its.add(trade(None, after)._replace(name=name))
    assert reported(its.chunks) == [(1000, 60_000, [1100, 3000, 30_000])]
    assert its.chunks[0].lost == 0


def test_named_trade_that_was_dropped_at_a_cut_counts_when_it_comes_again():
    its = buffer(numbered=False)
    for name, after in (("a", 10), ("b", 1100), ("c", 5200), ("d", 5700), ("e", 6100)):
        its.add(trade(None, after)._replace(name=name))
    its.cut()  # at 5000: the second that may lack trades is not kept
    for name, after in (("b", 1100), ("c", 5200), ("d", 5700), ("e", 6100), ("f", 6200), ("g", 60_600)):
        its.add(trade(None, after)._replace(name=name))
    assert reported(its.chunks) == [
        (1000, 5000, [1100]),
        (5000, 60_000, [5200, 5700, 6100, 6200]),
    ]


def test_buffer_without_trades_covers_nothing():
    its = buffer()
    its.close(T0)
    its.cut()
    assert its.covered_from is None
    assert its.chunks == []


def test_duplicate_and_older_ids_are_dropped():
    its = fed(buffer(), (10, 0), (11, 1000), (11, 1000), (10, 1200), (12, 2000), (12, 2000), (13, 60_500))
    assert reported(its.chunks) == [(1000, 60_000, [1000, 2000])]
    assert its.late == []


def test_skipped_id_leaves_a_gap_around_it():
    its = fed(buffer(), (10, 0), (11, 1000), (12, 5700), (14, 9000), (15, 10_000), (16, 60_500))
    # What lies before 5700 - 500 ms is whole; from 9000 on ids are whole, so the second after is.
    assert reported(its.chunks) == [(1000, 5000, [1000]), (10_000, 60_000, [10_000])]


def test_trade_without_an_id_is_left_out_of_a_numbered_buffer():
    its = buffer()
    its.add(trade(None, 0))
    assert its.newest_ms == 0
    assert its.covered_from is None


def test_trades_out_of_order_within_the_slack_are_put_in_order():
    its = fed(buffer(), (10, 0), (11, 60_300), (12, 59_900), (13, 60_600))
    assert reported(its.chunks) == [(1000, 60_000, [59_900])]
    its.close(T0 + 61_000)
    assert reported(its.chunks[1:]) == [(60_000, 61_000, [60_300, 60_600])]


def test_equal_times_stay_in_the_order_of_arrival():
    its = buffer()
    its.add(trade(1, 0))
    for number in range(2, 6):
        its.add(trade(number, 5000, size=float(number)))
    its.close(T0 + 6000)
    assert its.chunks[0].trades.size.tolist() == [2.0, 3.0, 4.0, 5.0]


def test_late_numbered_trade_is_reported_with_its_time():
    its = fed(buffer(), (10, 0), (11, 1000), (12, 60_500), (13, 59_000))
    assert its.late == [T0 + 59_000]
    assert reported(its.chunks) == [(1000, 60_000, [1000])]


def test_late_trade_of_a_chunk_before_a_cut_is_reported():
    its = fed(buffer(), (10, 0), (11, 1000), (12, 60_500))
    its.cut()
    fed(its, (20, 62_000), (21, 59_000))
    assert its.late == [T0 + 59_000]


def test_trade_of_the_gap_itself_is_not_late():
    its = fed(buffer(), (10, 0), (11, 1000), (12, 5700), (14, 9000), (15, 8900))
    assert its.late == []


def test_late_unnumbered_trade_is_counted_as_lost_by_the_next_chunk():
    its = buffer(numbered=False)
    for after in (100, 60_500, 59_000, 58_000, 120_500):
        its.add(trade(None, after))
    assert [each.lost for each in its.chunks] == [0, 2]
    assert its.late == []
    assert [(each.first_id, each.last_id) for each in its.chunks] == [(None, None)] * 2


def test_unnumbered_buffer_begins_after_the_second_of_its_first_trade():
    its = buffer(numbered=False)
    for after in (300, 900, 1000, 1500, 60_500):
        its.add(trade(None, after))
    assert reported(its.chunks) == [(1000, 60_000, [1000, 1500])]
    assert its.chunks[0].lost == 0


def test_unnumbered_buffer_begins_again_after_a_cut():
    its = buffer(numbered=False)
    for after in (0, 1000, 10_900):
        its.add(trade(None, after))
    its.cut()
    for after in (11_300, 12_000):
        its.add(trade(None, after))
    its.close(T0 + 13_000)
    assert reported(its.chunks) == [(1000, 10_000, [1000]), (12_000, 13_000, [12_000])]


def test_unnumbered_buffer_that_goes_back_in_time_does_not_overlap():
    its = buffer(numbered=False)
    its.add(trade(None, 0))
    its.close(T0 + 50_000)
    its.cut()
    its.add(trade(None, 20_000))
    its.close(T0 + 55_000)
    assert reported(its.chunks) == [(1000, 50_000, []), (50_000, 55_000, [])]
    assert its.chunks[1].lost == 1


def test_quiet_hours_are_closed_by_the_next_trade_hour_by_hour():
    its = fed(buffer(), (10, 0), (11, 1000), (12, 2 * HOUR + 1_800_000))
    assert reported(its.chunks) == [
        (1000, HOUR, [1000]),
        (HOUR, 2 * HOUR, []),
        (2 * HOUR, 2 * HOUR + 29 * 60_000, []),
    ]
    assert [each.first_id for each in its.chunks] == [11, None, None]


def test_quiet_time_of_an_unnumbered_buffer_is_closed_by_its_owner():
    its = buffer(numbered=False)
    its.add(trade(None, 0))
    its.close(T0 + 600_000)
    its.close(T0 + 600_000)
    its.close(T0 + 300_000)
    assert reported(its.chunks) == [(1000, 600_000, [])]


def test_cut_keeps_what_lies_before_its_last_trade():
    its = fed(buffer(), (10, 0), (11, 1000), (12, 3400), (13, 3600))
    its.cut()
    assert reported(its.chunks) == [(1000, 3000, [1000])]
    assert its.covered_from is None
    its.cut()
    assert len(its.chunks) == 1


def test_reconnect_begins_again_even_with_the_next_id():
    its = fed(buffer(), (10, 0), (11, 1000), (12, 3600))
    its.cut()
    fed(its, (13, 5000), (14, 6000), (15, 60_500))
    assert reported(its.chunks) == [(1000, 3000, [1000]), (6000, 60_000, [6000])]


def test_reconnect_that_goes_back_in_time_does_not_overlap():
    its = fed(buffer(), (10, 0), (11, 1000), (12, 60_500))
    its.cut()
    fed(its, (20, 30_000), (21, 61_000), (22, 62_000), (23, 120_500))
    assert reported(its.chunks) == [(1000, 60_000, [1000]), (60_000, 120_000, [61_000, 62_000])]
    assert its.late == [T0 + 30_000]


def test_beyond_most_trades_a_chunk_is_closed_at_a_second():
    its = buffer(most=3)
    fed(its, (10, 0), (11, 1000), (12, 1100), (13, 2600))
    assert reported(its.chunks) == [(1000, 2000, [1000, 1100])]


def test_chunks_that_nobody_takes_are_dropped_oldest_first():
    its = buffer(most=5)
    fed(its, *((number, number * 500) for number in range(200)))
    held = sum(len(each.trades) for each in its.chunks)
    assert held <= 4 * 5
    assert its.chunks[-1].window.end_ms - T0 >= 98_000
    assert its.chunks[0].window.start_ms > T0 + 50_000


def streamed(seed: int, *, numbered: bool, most: int) -> tuple[list[StreamTrade], TradeBuffer]:
    """Feed a random stream with skips, duplicates, cuts, quiet times and disorder; return all trades."""
    rng = random.Random(seed)
    its = buffer(numbered=numbered, most=most)
    all_trades: list[StreamTrade] = []
    clock, number, connected = 0, 100, False
    chunks: list[Chunk] = []
    recent: list[StreamTrade] = []
    for _ in range(rng.randrange(5, 300)):
        clock += rng.choice([0, 3, 150, 150, 800, 2500, 2500, 20_000, 700_000])
        number += 1
        # A trade's time lies up to 400 ms before it is published, but is not told before it.
        event = trade(number, max(0, clock - rng.choice([0, 0, 0, 100, 400])), size=float(number))
        event = event._replace(name=str(number))
        all_trades.append(event)
        what = rng.random()
        if not connected and what < 0.3:
            connected = True
            continue  # this one was not delivered
        if connected and what < 0.05:
            connected = False
            its.cut()
        elif connected and what < 0.1 and numbered:
            continue  # skipped
        if not connected:
            continue
        its.add(event)
        recent.append(event)
        if what > 0.9:
            # What comes again after its chunk was closed cannot be told from a named trade that is late.
            again = (
                recent[-5:] if numbered else [each for each in recent if each.time >= (its.covered_from or 0)]
            )
            its.add(rng.choice(again or recent[-1:]))
        if what > 0.95 and not numbered:
            its.close((T0 + clock - SLACK_MS) // 1000 * 1000)
        if rng.random() < 0.2:
            chunks += its.chunks
            its.chunks = []
    if rng.random() < 0.5:
        its.cut()
    its.chunks[:0] = chunks
    return all_trades, its


@given(st.integers(0, 1 << 32), st.booleans(), st.sampled_from([2, 10, 1000]))
def test_chunks_hold_exactly_the_trades_of_their_windows(seed: int, numbered: bool, most: int):
    all_trades, its = streamed(seed, numbered=numbered, most=most)
    time = np.array([each.time for each in all_trades])
    end = 0
    for chunk in its.chunks:
        window = chunk.window
        assert window.start_ms >= end, "chunks overlap or are out of order"
        end = window.end_ms
        assert window.start_ms // HOUR == (window.end_ms - 1) // HOUR
        inside = [all_trades[row] for row in np.flatnonzero((time >= window.start_ms) & (time < end))]
        assert sorted(chunk.trades.size.tolist()) == sorted(each.size for each in inside)
        assert (np.diff(chunk.trades.time) >= 0).all()
        ids = [each.id for each in inside if each.id is not None]
        if numbered and ids:
            assert (chunk.first_id, chunk.last_id) == (min(ids), max(ids))
        else:
            assert (chunk.first_id, chunk.last_id) == (None, None)
    assert its.late == []
    assert all(chunk.lost == 0 for chunk in its.chunks)


@pytest.mark.parametrize("numbered", [True, False])
def test_random_streams_of_the_property_do_yield_chunks(numbered: bool):
    found = [streamed(seed, numbered=numbered, most=1000)[1].chunks for seed in range(50)]
    assert sum(len(chunk.trades) for chunks in found for chunk in chunks) > 500
