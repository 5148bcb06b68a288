import csv
import io

import numpy as np

from liqmap.model import Side
from liqmap.render.table import levels_csv
from tests.liqmap.compute.test_levels import computed_at, trades


def test_csv_holds_every_level_of_every_selected_trade():
    buys, sells = trades(Side.BUY, (29_000.5, 10.0), (28_000.0, 5.0)), trades(Side.SELL, (29_000.0, 7.0))
    drawn = computed_at(
        buys, sells, last=20_000.0
    )  # every long has passed: they are in the table all the same
    rows = list(csv.DictReader(io.StringIO(levels_csv(drawn.stretches).decode())))
    assert list(rows[0]) == ["side", "leverage", "entry_time", "entry_price", "level", "notional", "state"]
    assert [(row["side"], row["leverage"]) for row in rows] == [
        *(("buy", str(leverage)) for leverage in (10, 25, 50, 100) for _ in range(2)),
        *(("sell", str(leverage)) for leverage in (10, 25, 50, 100)),
    ]
    assert rows[0]["entry_time"] == "2023-08-01 00:00:00.000Z"
    assert float(rows[0]["level"]) == 29_000.5 * 0.9
    np.testing.assert_array_equal([float(row["notional"]) for row in rows[:2]], [10.0, 5.0])
    assert float(rows[-1]["level"]) == 29_000.0 * 1.01


def test_csv_tells_what_stands_as_the_picture_sums_it():
    buys, sells = trades(Side.BUY, (29_000.5, 10.0), (28_000.0, 5.0)), trades(Side.SELL, (29_000.0, 7.0))
    drawn = computed_at(buys, sells, last=26_500.0)
    rows = list(csv.DictReader(io.StringIO(levels_csv(drawn.stretches).decode())))

    def total(side: str, state: str) -> float:
        found = [float(row["notional"]) for row in rows if (row["side"], row["state"]) == (side, state)]
        return sum(found)

    assert total("buy", "standing") == drawn.map.buckets.long.sum() > 0
    assert total("sell", "standing") == drawn.map.buckets.short.sum() > 0
    assert total("buy", "swept") == drawn.map.swept_long > 0
    assert total("sell", "swept") == drawn.map.swept_short


def test_csv_has_no_digits_that_mean_nothing():
    dear, cheap = (109_876.3, 652_464.434_399_999_9), (0.000_012_34, 0.007_1)
    drawn = computed_at(trades(Side.BUY, dear, cheap), trades(Side.SELL), last=1.0)
    rows = list(csv.DictReader(io.StringIO(levels_csv(drawn.stretches).decode())))[2:4]
    assert [(row["level"], row["notional"]) for row in rows] == [
        ("105481.25", "652464.43"),
        ("0.0000118464", "0.0071"),
    ]


def test_csv_of_stretches_is_ordered_as_if_they_were_one():
    newer, older = (
        computed_at(trades(Side.BUY, *rows), trades(Side.SELL), last=90.0).levels
        for rows in (((100.0, 7.0), (101.0, 5.0)), ((102.0, 7.0), (103.0, 6.0)))
    )
    rows = list(csv.DictReader(io.StringIO(levels_csv([newer, older]).decode())))
    assert [float(row["entry_price"]) for row in rows[:4]] == [102.0, 100.0, 103.0, 101.0]
    assert [int(row["leverage"]) for row in rows] == [10] * 4 + [25] * 4 + [50] * 4 + [100] * 4
