import gzip
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from liqmap.errors import DataError
from liqmap.exchanges.bybit.files import Bybit
from liqmap.exchanges.protocol import DayTrades
from liqmap.simulator import SimulatedMarket
from liqmap.simulator.formats import bybit_csv_gz

DAY = date(2026, 9, 1)
T0 = 1788220800000
SHARED = Path(__file__).parents[5] / "shared" / "data" / "bybit"
NAME = "BTCUSDT2026-09-01.csv.gz"
HEADER = (
    "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional,RPI"
)


def row(time: str, side: str, size: str, price: str, number: int, *, symbol: str = "BTCUSDT") -> str:
    return (
        f"{time},{symbol},{side},{size},{price},MinusTick,{number:08d}-0000-4000-8000-000000000000,"
        f"1e9,{size},{float(size) * float(price)},0"
    )


ROWS = [
    row("1788220800.1169", "Sell", "0.001", "78541.70", 1),
    row("1788220800.5", "Buy", "2.5", "78541.80", 2),
    row("1788220801.0004", "Buy", "0.1", "78542.00", 3),
]


def gzipped(folder: Path, lines: list[str]) -> Path:
    path = folder / "day.csv.gz"
    path.write_bytes(gzip.compress("".join(line + "\n" for line in lines).encode()))
    return path


def read(path: Path, *, limit: int = 10**9) -> DayTrades:
    return Bybit().read_day(path, "BTCUSDT", DAY, max_unpacked_size=limit)


def test_day_file_lies_where_bybit_publishes_it():
    file = Bybit().day_file("https://public.bybit.com", "BTCUSDT", DAY)
    assert file.url == "https://public.bybit.com/trading/BTCUSDT/BTCUSDT2026-09-01.csv.gz"
    assert file.checksum_url is None


def test_rows_are_read_by_name_with_times_floored_to_milliseconds(tmp_path: Path):
    trades = read(gzipped(tmp_path, [HEADER, *ROWS])).trades
    assert trades.time.tolist() == [T0 + 116, T0 + 500, T0 + 1000]
    assert trades.price.tolist() == [78541.70, 78541.80, 78542.00]
    assert trades.size.tolist() == [0.001, 2.5, 0.1]
    assert trades.is_buy.tolist() == [False, True, True]


def test_older_files_without_rpi_and_columns_in_another_order_are_read(tmp_path: Path):
    lines = [",".join(reversed(line.split(",")[:-1])) for line in [HEADER, *ROWS]]
    assert read(gzipped(tmp_path, lines)).trades.size.tolist() == [0.001, 2.5, 0.1]


def test_newest_first_files_come_in_the_order_of_time(tmp_path: Path):
    assert read(gzipped(tmp_path, [HEADER, *reversed(ROWS)])).trades.size.tolist() == [0.001, 2.5, 0.1]


@pytest.mark.parametrize("step", [1, -1])
def test_trades_of_one_millisecond_stay_in_the_order_in_which_they_were_made(tmp_path: Path, step: int):
    tied = [row("1788220800.5", "Buy", size, "10", number) for number, size in enumerate(("1", "2", "3"), 4)]
    trades = read(gzipped(tmp_path, [HEADER, *[ROWS[0], *tied, ROWS[2]][::step]])).trades
    assert trades.size.tolist() == [0.001, 1, 2, 3, 0.1]


def test_repeated_ids_are_dropped_and_counted(tmp_path: Path):
    day = read(gzipped(tmp_path, [HEADER, *ROWS, ROWS[0]]))
    assert len(day.trades) == 3
    assert day.duplicates == 1


def test_ids_of_other_lengths_are_compared_too(tmp_path: Path):
    lines = [line.replace("-0000-4000-8000-000000000000", "") for line in [*ROWS, ROWS[0]]]
    assert read(gzipped(tmp_path, [HEADER, *lines])).duplicates == 1


NO_IDS = ["", "null", "None", "NaN", "00000000-0000-0000-0000-000000000000"]


@pytest.mark.parametrize("text", NO_IDS)
def test_rows_without_an_id_are_trades_like_others(tmp_path: Path, text: str):
    lines = [line.replace(line.split(",")[6], text) for line in [*ROWS, ROWS[0]]]
    day = read(gzipped(tmp_path, [HEADER, *lines]))
    assert (len(day.trades), day.duplicates) == (4, 0)


@pytest.mark.parametrize("text", NO_IDS)
def test_rows_with_and_without_an_id_stand_side_by_side(tmp_path: Path, text: str):
    nameless = ROWS[1].replace(ROWS[1].split(",")[6], text)
    day = read(gzipped(tmp_path, [HEADER, ROWS[0], nameless, nameless, ROWS[0], ROWS[2]]))
    assert (len(day.trades), day.duplicates) == (4, 1)


def test_file_without_the_column_of_ids_is_read(tmp_path: Path):
    lines = [
        ",".join(field for place, field in enumerate(line.split(",")) if place != 6)
        for line in [HEADER, *ROWS, ROWS[0]]
    ]
    day = read(gzipped(tmp_path, lines))
    assert (len(day.trades), day.duplicates) == (4, 0)


@pytest.mark.parametrize("size", ["0", "1e-17"])
def test_rows_of_size_0_are_left_out_and_counted(tmp_path: Path, size: str):
    lines = [ROWS[0], row("1788220800.3", "Buy", size, "0", 7), *ROWS[1:]]
    day = read(gzipped(tmp_path, [HEADER, *lines]))
    assert day.trades.size.tolist() == [0.001, 2.5, 0.1]
    assert (day.zero_sizes, day.duplicates) == (1, 0)


@pytest.mark.parametrize(
    "disguise",
    [
        lambda text: "\ufeff" + text,
        lambda text: "\n\r\n" + text,
        lambda text: "".join(
            ",".join(f'"{field}"' for field in line.split(",")) + "\r\n" for line in text.splitlines()
        ),
    ],
    ids=["mark", "blank", "quoted"],
)
def test_rows_are_read_behind_a_mark_blank_lines_and_quotes(tmp_path: Path, disguise: Callable[[str], str]):
    path = tmp_path / "day.csv.gz"
    path.write_bytes(gzip.compress(disguise("".join(line + "\n" for line in [HEADER, *ROWS])).encode()))
    assert read(path).trades.size.tolist() == [0.001, 2.5, 0.1]


@pytest.mark.parametrize("time", ["1788220800117", "1788220800117000", "1788220800.117", "1788220800.117000"])
def test_times_in_seconds_milliseconds_and_microseconds_are_recognized(tmp_path: Path, time: str):
    trades = read(gzipped(tmp_path, [HEADER, row(time, "Buy", "1", "10", 1)])).trades
    assert trades.time.tolist() == [T0 + 117]


def test_times_of_microseconds_are_floored_whatever_a_float_makes_of_them(tmp_path: Path):
    micros = [*range(0, 1_000_000, 997), *range(999, 1_000_000, 1000)]
    lines = [row(f"1788220800.{each:06d}", "Buy", "1", "10", number) for number, each in enumerate(micros)]
    trades = read(gzipped(tmp_path, [HEADER, *lines])).trades
    assert trades.time.tolist() == sorted(T0 + each // 1000 for each in micros)


@pytest.mark.parametrize("lines", [[], [HEADER]])
def test_day_without_trades_is_empty(tmp_path: Path, lines: list[str]):
    assert len(read(gzipped(tmp_path, lines)).trades) == 0


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (
            [HEADER, row("1788220800.1", "Buy", "1", "10", 1, symbol="ETHUSDT")],
            "holds trades of ETHUSDT, not",
        ),
        ([HEADER, ROWS[0].replace("Sell", "None")], "holds the side None, not Sell or Buy"),
        ([HEADER.replace("price", "cost"), ROWS[0]], "is not a file of trades.*price"),
        (["<!DOCTYPE html>", "<html>"], "is not a file of trades"),
        ([HEADER, row("1788120800.1", "Buy", "1", "10", 1)], "holds trades of another day"),
        *(
            ([HEADER, row("1788220800.1", "Buy", "1", price, 1)], f"holds a price of {found}")
            for price, found in (("-10", "-10"), ("0", "0"), ("nan", "nan"), ("1e300", r"1e\+300"))
        ),
        *(
            ([HEADER, row("1788220800.1", "Buy", size, "10", 1)], f"holds a size of {found}")
            for size, found in (("-1", "-1"), ("nan", "nan"), ("inf", "inf"), ("2e15", r"2e\+15"))
        ),
        *(
            ([HEADER, row(time, "Buy", "1", "10", 1)], f"holds a timestamp of {found}")
            for time, found in (("nan", "nan"), ("-1", "-1"), ("1e300", r"1e\+300"))
        ),
        ([HEADER.replace(",foreignNotional", ",worth"), ROWS[0]], "it has no column foreignNotional"),
        (["\n" * 70_000], "begins with 65,536 blanks"),
        ([HEADER, ROWS[0].replace("0.001,78", "x,78")], "is not a file of trades"),
        # An inverse contract's size is in USD: 100 USD of BTC at 78,541.70.
        (
            [HEADER, "1788220800.1,BTCUSDT,Buy,100,78541.70,ZeroMinusTick,a,127321,100,0.00127321,0"],
            "holds trades of an inverse contract, not of a linear one",
        ),
        (
            [HEADER, "1788220800.1,BTCUSDT,Buy,100,78541.70,ZeroMinusTick,a,127321,100,100,0"],
            "its column foreignNotional contradicts its sizes",
        ),
    ],
)
def test_what_is_not_such_a_day_is_refused_by_name(tmp_path: Path, lines: list[str], sentence: str):
    with pytest.raises(DataError, match=sentence) as caught:
        read(gzipped(tmp_path, lines))
    assert str(caught.value).startswith(f"{NAME} ")


def test_gzip_cut_short_is_refused(tmp_path: Path):
    path = gzipped(tmp_path, [HEADER, *ROWS * 500])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="not a valid gzip file"):
        read(path)


@pytest.mark.parametrize("body", [b"<html>", b"PK\x03\x04"])
def test_file_that_is_not_gzip_is_refused(tmp_path: Path, body: bytes):
    path = tmp_path / "day.csv.gz"
    path.write_bytes(body)
    with pytest.raises(DataError, match="not a valid gzip file"):
        read(path)


def test_gzip_bomb_is_refused_while_it_unpacks(tmp_path: Path):
    with pytest.raises(DataError, match="unpacks to more than is allowed"):
        read(gzipped(tmp_path, [HEADER, *ROWS * 50_000]), limit=1_000_000)


def test_whole_simulated_day_is_read_back_exactly(tmp_path: Path):
    simulated = SimulatedMarket(scale=0.02).day("BTCUSDT", DAY)
    path = tmp_path / "day.csv.gz"
    path.write_bytes(bybit_csv_gz(simulated))
    trades = read(path).trades
    for name in ("time", "price", "size", "is_buy"):
        np.testing.assert_array_equal(getattr(trades, name), getattr(simulated.trades, name))


def test_whole_simulated_day_of_an_inverse_contract_is_read_back_exactly(tmp_path: Path):
    simulated = SimulatedMarket(scale=0.02).day("BTCUSD", DAY)
    path = tmp_path / "day.csv.gz"
    path.write_bytes(bybit_csv_gz(simulated))
    trades = Bybit().read_day(path, "BTCUSD", DAY, max_unpacked_size=10**9).trades
    assert trades.inverse
    for name in ("time", "price", "size", "is_buy"):
        np.testing.assert_array_equal(getattr(trades, name), getattr(simulated.trades, name))


def test_inverse_file_of_2019_newest_first_in_microseconds_is_read(tmp_path: Path):
    header = HEADER.removesuffix(",RPI")
    rows = [
        "1569974396.557895,BTCUSD,Buy,5000,8300.5,PlusTick,1ac7d1c4-0000-4000-8000-000000000001,60237335.0,5000,0.60237335",
        "1569974395.100001,BTCUSD,Sell,1,8300.0,MinusTick,1ac7d1c4-0000-4000-8000-000000000002,12048.0,1,0.00012048",
    ]
    day = Bybit().read_day(
        gzipped(tmp_path, [header, *rows]), "BTCUSD", date(2019, 10, 1), max_unpacked_size=10**9
    )
    assert day.trades.inverse
    assert day.trades.time.tolist() == [1569974395100, 1569974396557]
    assert day.trades.notional.tolist() == [1.0, 5000.0]
    assert day.trades.is_buy.tolist() == [False, True]


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="the real trades of ../shared/data are not here")
def test_real_inverse_rows_are_read_whole_and_oldest_first(tmp_path: Path):
    lines = (SHARED / "BTCUSD2019-10-01-head.csv").read_text().splitlines()
    day = Bybit().read_day(gzipped(tmp_path, lines), "BTCUSD", date(2019, 10, 1), max_unpacked_size=10**9)
    assert len(day.trades) == len(lines) - 1
    assert day.duplicates == 0
    sizes = [float(line.split(",")[3]) for line in reversed(lines[1:])]
    assert day.trades.notional.tolist() == sizes


def test_linear_sizes_in_an_inverse_file_are_refused(tmp_path: Path):
    path = gzipped(tmp_path, [HEADER, row("1788220800.1", "Buy", "5", "10", 1, symbol="BTCUSD")])
    with pytest.raises(DataError, match="holds trades of a linear contract, not of an inverse one"):
        Bybit().read_day(path, "BTCUSD", DAY, max_unpacked_size=10**9)


@pytest.mark.parametrize(
    ("symbol", "label"),
    [("BTCUSD", "Bybit inverse"), ("ETHUSDZ26", "Bybit inverse"), ("BTCUSDT", "Bybit linear")],
)
def test_contract_follows_from_the_symbol(symbol: str, label: str):
    assert Bybit().contract(symbol).label == label
