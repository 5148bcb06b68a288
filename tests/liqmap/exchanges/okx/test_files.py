from __future__ import annotations

import zipfile
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from liqmap.errors import DataError
from liqmap.exchanges.okx.files import Okx
from liqmap.exchanges.protocol import DayTrades
from liqmap.exchanges.rows import completed
from liqmap.model.window import DAY, TimeWindow
from liqmap.simulator.market import SimulatedMarket
from liqmap.simulator.okx_messages import okx_zip

# Rows as published (liqmap's notes of 2026): of 2025-05-31, before there was a source, and of 2026.
OLD = "BTC-USDT-SWAP,1566502282,sell,104503.0,30.14,1748707200008"
NEW = "ETH-USDT-SWAP,4033860455,sell,1604.96,2.08,1782576000012,0"
HEADER = "instrument_name,trade_id,side,price,size,created_time"
OKX = Okx()


def day_of(milliseconds: int) -> date:
    """Return the day in UTC+8."""
    return datetime.fromtimestamp(milliseconds / 1000 + 8 * 3600, UTC).date()


def read(folder: Path, *lines: str, symbol: str = "BTCUSDT", day: date | None = None) -> DayTrades:
    when = day or day_of(int(lines[-1].split(",")[5]))
    name = f"{symbol.removesuffix('USDT')}-USDT-SWAP-trades-{when}"
    file = folder / "day.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{name}.csv", "".join(f"{line}\n" for line in lines).encode("gbk"))
    return OKX.read_day(file, symbol, when, max_unpacked_size=10**6)


@pytest.mark.parametrize(
    "header",
    [
        [],
        [HEADER],
        ["合约,成交编号,方向,价格,数量,时间"],
        ["合约,成交编号,方向,价格,数量,时间", HEADER],
    ],
)
def test_row_of_six_columns_is_read_below_any_header(tmp_path: Path, header: list[str]):
    day = read(tmp_path, *header, OLD)
    assert day.trades.time.tolist() == [1748707200008]
    assert day.trades.price.tolist() == [104503.0]
    assert day.trades.size.tolist() == [30.14]  # contracts
    assert not day.trades.is_buy.any()
    assert (day.first_id, day.last_id, day.lost_ids) == (1566502282, 1566502282, 0)


def test_row_of_seven_columns_is_read(tmp_path: Path):
    assert read(tmp_path, f"{HEADER},source", NEW, symbol="ETHUSDT").trades.size.tolist() == [2.08]


def test_file_begins_at_sixteen_of_the_day_before():
    window = OKX.span(date(2026, 6, 28))
    assert (window.start, window.end) == (
        datetime(2026, 6, 27, 16, tzinfo=UTC),
        datetime(2026, 6, 28, 16, tzinfo=UTC),
    )
    # The first row of a published file of that day is of 16:00:00.012.
    assert window.start_ms + 12 == int(NEW.split(",")[5])


def test_sizes_and_times_may_have_exponents(tmp_path: Path):
    row = "BTC-USDT-SWAP,5,buy,100,1E-2,1.748707200008E12"
    assert read(tmp_path, row, day=day_of(1748707200008)).trades.size.tolist() == [0.01]


def rows(*values: tuple[int, str, float, float, int]) -> list[str]:
    return [
        f"BTC-USDT-SWAP,{number},{side},{price},{size},{1748707200000 + ms}"
        for number, side, price, size, ms in values
    ]


def test_fills_of_one_order_and_price_become_one_trade(tmp_path: Path):
    day = read(
        tmp_path,
        *rows(
            (1, "buy", 100.0, 0.1, 5),
            (2, "buy", 100.0, 0.2, 5),
            (3, "buy", 100.1, 0.3, 5),  # another price
            (4, "sell", 100.1, 0.4, 5),  # another side
            (6, "sell", 100.1, 0.5, 5),  # an id is missing between
            (7, "sell", 100.1, 0.6, 6),  # another millisecond
        ),
    )
    assert day.trades.size.tolist() == [0.3, 0.3, 0.4, 0.5, 0.6]
    assert (day.first_id, day.last_id, day.lost_ids) == (1, 7, 1)


@pytest.mark.parametrize(("start", "end"), [(0, 4), (0, 8), (1, 7), (2, 5), (3, 4), (2, 8)])
def test_order_whose_fills_lie_in_the_files_of_two_days_is_one_trade(tmp_path: Path, start: int, end: int):
    fills = rows(
        (1, "buy", 100.0, 0.1, 5),
        (2, "buy", 100.0, 0.2, 5),
        (3, "buy", 100.0, 0.4, 5),
        (4, "sell", 100.0, 0.1, 86_399_990),
        (5, "sell", 100.0, 0.2, 86_399_990),
        (6, "sell", 100.0, 0.4, 86_399_990),
        (7, "sell", 100.0, 0.8, 86_399_990),
        (8, "sell", 100.0, 1.6, 86_399_991),
    )
    day = day_of(int(fills[0].split(",")[5]))
    (before,) = rows((0, "buy", 100.0, 1, -5))
    (after,) = rows((9, "buy", 100.0, 1, 86_400_005))
    found = read(tmp_path, *fills[start:end], day=day)
    for file, its in (([before, *fills[:start]], day - DAY), ([*fills[end:], after], day + DAY)):
        outside = read(tmp_path, *file, day=its).outside
        found = found if outside is None else completed(found, outside, own=OKX.span(day))
    whole = read(tmp_path, *fills, day=day)
    assert found.trades.size.tolist() == whole.trades.size.tolist() == [0.7, 1.5, 1.6]
    assert found.trades.is_buy.tolist() == whole.trades.is_buy.tolist()
    assert (found.first_id, found.last_id, found.lost_ids) == (1, 8, 0)


def test_repeated_rows_count_once_and_rows_of_other_instruments_not_at_all(tmp_path: Path):
    other = OLD.replace("BTC-", "ETH-").replace("1566502282", "3")
    day = read(tmp_path, OLD, other, OLD)
    assert (len(day.trades), day.duplicates, day.lost_ids) == (1, 1, 0)


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([OLD.replace("BTC-", "ETH-")], "holds no trades of BTC-USDT-SWAP"),
        ([OLD.replace("sell", "hold")], "holds the side hold"),
        ([OLD + ",0,0"], "8 columns where 6 or 7"),
        ([OLD.replace("30.14", "x")], "is not a file of trades"),
        (["a,b", "c,d", "e,f"], "no line begins with an instrument"),
        ([], "no row, and no header of 6 or 7 columns"),
        (["<html>503</html>"], "no row, and no header of 6 or 7 columns"),
    ],
)
def test_what_is_no_file_of_the_symbol_is_an_error(tmp_path: Path, lines: list[str], complaint: str):
    with pytest.raises(DataError, match=complaint):
        read(tmp_path, *lines, day=day_of(1748707200008))


def test_header_alone_is_a_day_without_trades(tmp_path: Path):
    assert len(read(tmp_path, HEADER, day=date(2026, 1, 1)).trades) == 0


def test_file_of_another_day_is_an_error(tmp_path: Path):
    with pytest.raises(DataError, match="another day than 2025-06-02"):
        read(tmp_path, OLD, day=date(2025, 6, 2))


def test_day_is_what_the_market_traded_in_those_hours(tmp_path: Path):
    market, day = SimulatedMarket(scale=0.001), date(2023, 8, 2)
    parts = [market.day("BTCUSDT", each) for each in (date(2023, 8, 1), day)]
    window = OKX.span(day)
    whole = [
        part.part(*map(int, part.trades.time.searchsorted((window.start_ms, window.end_ms))))
        for part in parts
    ]
    file = tmp_path / "day.zip"
    file.write_bytes(okx_zip(whole, "BTCUSDT", day))
    found = OKX.read_day(file, "BTCUSDT", day, max_unpacked_size=10**8)
    traded = sum(float((part.trades.size * part.trades.price).sum()) for part in whole)
    assert float((found.trades.size * 0.01 * found.trades.price).sum()) == pytest.approx(traded)
    # The orders of one millisecond, side and price cannot be told apart; few are.
    orders = sum(len(part.trades) for part in whole)
    assert 0.9 * orders < len(found.trades) <= orders
    assert TimeWindow.of_day(day).overlap(window) is not None
