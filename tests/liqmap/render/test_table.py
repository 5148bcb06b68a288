import csv
import io
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from liqmap.compute.margin import MarginRules
from liqmap.compute.values import LiquidationLevels, SideTrades
from liqmap.model import Side
from liqmap.render.table import csv_of, levels_table
from tests.liqmap.compute.test_levels import REQUEST, WINDOW, computed_at, path, trades
from tests.liqmap.conftest import compute, entries_of


def test_csv_holds_every_level_of_every_selected_trade():
    buys, sells = trades(Side.BUY, (29_000.5, 10.0), (28_000.0, 5.0)), trades(Side.SELL, (29_000.0, 7.0))
    drawn = computed_at(
        buys, sells, last=20_000.0
    )  # every long has passed: they are in the table all the same
    rows = list(csv.DictReader(io.StringIO(csv_of(levels_table(drawn.stretches)).decode())))
    assert list(rows[0]) == ["side", "leverage", "entry_time", "entry_price", "level", "notional", "state"]
    assert [(row["side"], row["leverage"]) for row in rows] == [
        *(("buy", str(leverage)) for leverage in (10, 25, 50, 100) for _ in range(2)),
        *(("sell", str(leverage)) for leverage in (10, 25, 50, 100)),
    ]
    assert rows[0]["entry_time"] == "2023-08-01 00:00:00.000Z"
    assert float(rows[0]["level"]) == 29_000.5 * 0.9
    np.testing.assert_array_equal([float(row["notional"]) for row in rows[:2]], [10.0, 5.0])
    assert float(rows[-1]["level"]) == 29_000.0 * 1.01


def test_standing_levels_of_the_csv_add_up_to_the_picture():
    buys, sells = trades(Side.BUY, (29_000.5, 10.0), (28_000.0, 5.0)), trades(Side.SELL, (29_000.0, 7.0))
    drawn = computed_at(buys, sells, last=26_500.0)
    rows = list(csv.DictReader(io.StringIO(csv_of(levels_table(drawn.stretches)).decode())))

    def total(side: str, state: str) -> float:
        found = [float(row["notional"]) for row in rows if (row["side"], row["state"]) == (side, state)]
        return sum(found)

    assert total("buy", "standing") == drawn.map.buckets.long.sum() > 0
    assert total("sell", "standing") == drawn.map.buckets.short.sum() > 0
    assert total("buy", "swept") == drawn.map.swept_long > 0
    assert total("sell", "swept") == drawn.map.swept_short


def test_csv_has_exactly_the_significant_digits():
    rows = [(109_876.3, 652_464.434_4), (60_000.1, 57.0), (0.000_012_34, 0.007_123_456_78)]
    bought = trades(Side.BUY, *rows)
    request = replace(REQUEST, leverages=(3, 7, 25), weights=(1.0, 1.0, 1.0))
    entries = [entries_of(bought, trades(Side.SELL))]
    drawn = compute(request, entries, path=path(*bought.price, 1.0), rules=MarginRules())
    table = list(csv.DictReader(io.StringIO(csv_of(levels_table(drawn.stretches)).decode())))
    # A third of each, at the leverages of 3, 7 and 25.
    assert [row["notional"] for row in table[:3]] == ["217488.1448", "19", "0.00237448559333"]
    assert [row["level"] for row in table[3:6]] == ["94179.6857143", "51428.6571429", "0.0000105771428571"]
    assert [row["level"] for row in table[6:]] == ["105481.248", "57600.096", "0.0000118464"]


@given(
    rows=st.lists(
        st.tuples(st.integers(1, 10**7), st.integers(1, 10**7)), min_size=1, max_size=20, unique=True
    ),
    leverage=st.sampled_from([2, 10, 25, 50, 100, 125]),
)
def test_numbers_of_the_csv_are_the_very_floats(rows: list[tuple[int, int]], leverage: int):
    largest_first = sorted(rows, key=lambda row: -row[1])
    bought = trades(Side.BUY, *((price / 100, notional / 1000) for price, notional in largest_first))
    request = replace(REQUEST, leverages=(leverage,), weights=(1.0,))
    entries = [entries_of(bought, trades(Side.SELL))]
    drawn = compute(request, entries, path=path(*bought.price, bought.price.max()))
    table = list(csv.DictReader(io.StringIO(csv_of(levels_table(drawn.stretches)).decode())))
    (levels,) = drawn.longs
    assert [float(row["level"]) for row in table] == levels.price.tolist()
    assert [float(row["notional"]) for row in table] == levels.notional.tolist()
    assert [float(row["entry_price"]) for row in table] == bought.price.tolist()


def test_csv_of_trades_with_turns_is_in_the_order_in_which_they_were_made():
    def of(*rows: tuple[int, float, int]) -> tuple[LiquidationLevels, ...]:
        """Return levels of rows (time, notional, turn), largest first."""
        time, notional, turn = (np.array(column) for column in zip(*rows, strict=True))
        bought = SideTrades(Side.BUY, WINDOW.start_ms + time, 100.0 + notional, notional, turn)
        drawn = compute(REQUEST, [entries_of(bought, trades(Side.SELL))], path=path(100.0, 200.0))
        return drawn.longs[:1]

    newer = of((9, 8.0, 1), (9, 6.0, 0))
    older = of((5, 9.0, 1), (2, 7.0, 0), (5, 3.0, 2), (5, 1.0, 0))
    rows = list(csv.DictReader(io.StringIO(csv_of(levels_table([newer, older])).decode())))
    assert [float(row["notional"]) for row in rows] == [7.0, 1.0, 9.0, 3.0, 6.0, 8.0]


def test_csv_of_stretches_is_ordered_as_if_they_were_one():
    newer, older = (
        computed_at(trades(Side.BUY, *rows), trades(Side.SELL), last=90.0).levels
        for rows in (((100.0, 7.0), (101.0, 5.0)), ((102.0, 7.0), (103.0, 6.0)))
    )
    rows = list(csv.DictReader(io.StringIO(csv_of(levels_table([newer, older])).decode())))
    assert [float(row["entry_price"]) for row in rows[:4]] == [102.0, 100.0, 103.0, 101.0]
    assert [int(row["leverage"]) for row in rows] == [10] * 4 + [25] * 4 + [50] * 4 + [100] * 4
