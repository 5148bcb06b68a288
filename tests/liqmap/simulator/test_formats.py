import gzip
from datetime import date

import numpy as np
import pytest

from liqmap.model import Trades
from liqmap.simulator.formats import bybit_csv_gz
from liqmap.simulator.listings import LISTINGS, MarketDay

COLUMNS = ("size", "homeNotional", "foreignNotional")


@pytest.mark.parametrize(
    ("symbol", "time", "price", "size", "written"),
    [
        # Rows as Bybit published them on 2026-09-01, 2023-08-23 and 2019-10-01.
        ("BTCUSDT", 1788220800116, 78541.7, 0.001, (0.001, 0.001, 78.54169999999999)),
        ("BTCUSD", 1692748800279, 26027.0, 641, (641, 641, 0.02462827)),
        ("BTCUSD", 1569974396557, 8319.5, 11668, (11668, 11668, 1.40248813)),
    ],
)
def test_bybit_row_has_the_sizes_of_the_published_one(
    symbol: str, time: int, price: float, size: float, written: tuple[float, ...]
):
    listing = LISTINGS[symbol]
    trades = Trades(
        np.array([time]),
        np.array([price]),
        np.array([float(size)]),
        np.array([False]),
        inverse=listing.dollars is not None,
    )
    day = MarketDay(symbol, date(2026, 9, 1), listing, trades, first_id=1)
    header, row = gzip.decompress(bybit_csv_gz(day)).decode().splitlines()
    fields = dict(zip(header.split(","), row.split(","), strict=True))
    assert tuple(float(fields[column]) for column in COLUMNS) == written
    assert float(fields["grossValue"]) == pytest.approx(written[-1] * 1e8)
