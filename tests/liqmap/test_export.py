import csv
import io

import numpy as np

from liqmap.export import levels_csv
from liqmap.model import Side
from tests.liqmap.test_levels import mapped, trades


def test_csv_holds_every_level_of_every_selected_trade():
    buys, sells = trades(Side.BUY, (29_000.5, 10.0), (28_000.0, 5.0)), trades(Side.SELL, (29_000.0, 7.0))
    drawn = mapped(buys, sells, last=20_000.0)  # every long has passed: they are in the table all the same
    rows = list(csv.DictReader(io.StringIO(levels_csv(drawn).decode())))
    assert list(rows[0]) == ["side", "leverage", "entry_time", "entry_price", "level", "notional"]
    assert [(row["side"], row["leverage"]) for row in rows] == [
        *(("buy", str(leverage)) for leverage in (10, 25, 50, 100) for _ in range(2)),
        *(("sell", str(leverage)) for leverage in (10, 25, 50, 100)),
    ]
    assert rows[0]["entry_time"] == "2023-08-01 00:00:00.000Z"
    assert float(rows[0]["level"]) == 29_000.5 * 0.9
    np.testing.assert_array_equal([float(row["notional"]) for row in rows[:2]], [10.0, 5.0])
    assert float(rows[-1]["level"]) == 29_000.0 * 1.01
