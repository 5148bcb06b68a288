from __future__ import annotations

import errno
import os
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from liqmap.errors import DataError
from liqmap.exchanges.binance.files import Binance
from liqmap.exchanges.protocol import DayTrades
from liqmap.model import Hole
from liqmap.simulator import SimulatedMarket
from liqmap.simulator.formats import binance_zip

DAY = date(2023, 8, 1)
T0 = 1690848000000
HEADER = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
ROWS = [
    f"11,29200.1,0.5,21,22,{T0 + 5},true",
    f"12,29200.2,1.25,23,23,{T0 + 70},false",
    f"13,29200.0,0.001,24,29,{T0 + 70},true",
]
NAME = "BTCUSDT-aggTrades-2023-08-01"
SHARED = Path(__file__).parents[5] / "shared" / "data" / "binance"


def zipped(folder: Path, lines: list[str], *, member: str = f"{NAME}.csv") -> Path:
    path = folder / "day.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, "".join(line + "\n" for line in lines))
    return path


def read(path: Path, *, symbol: str = "BTCUSDT", limit: int = 10**9) -> DayTrades:
    return Binance().read_day(path, symbol, DAY, max_unpacked_size=limit)


def test_day_file_lies_where_binance_publishes_it():
    file = Binance().day_file("https://data.binance.vision", "BTCUSDT", DAY)
    assert file.url == (
        "https://data.binance.vision/data/futures/um/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2023-08-01.zip"
    )
    assert file.checksum_url == file.url + ".CHECKSUM"


@pytest.mark.parametrize("header", [[], [HEADER]])
def test_rows_are_read_with_and_without_a_header(tmp_path: Path, header: list[str]):
    day = read(zipped(tmp_path, header + ROWS))
    assert day.trades.time.tolist() == [T0 + 5, T0 + 70, T0 + 70]
    assert day.trades.price.tolist() == [29200.1, 29200.2, 29200.0]
    assert day.trades.size.tolist() == [0.5, 1.25, 0.001]
    assert day.trades.is_buy.tolist() == [False, True, False]
    assert (day.first_id, day.last_id, day.lost_ids, day.duplicates) == (11, 13, 0, 0)


@pytest.mark.parametrize("header", [[], [HEADER]])
@pytest.mark.parametrize(
    "disguise",
    [
        lambda text: "\ufeff" + text,
        lambda text: "\n\r\n" + text,
        lambda text: "\ufeff\n" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "".join(
            ",".join(f'"{field}"' for field in line.split(",")) + "\n" for line in text.splitlines()
        ),
        lambda text: text.replace("11,", '"11",').replace(HEADER, HEADER.replace("price", '"price"')),
    ],
    ids=["mark", "blank", "mark and blank", "windows", "quoted", "partly quoted"],
)
def test_rows_are_read_behind_a_mark_blank_lines_and_quotes(
    tmp_path: Path, header: list[str], disguise: Callable[[str], str]
):
    text = disguise("".join(line + "\n" for line in header + ROWS))
    path = tmp_path / "day.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{NAME}.csv", text.encode())
    day = read(path)
    assert day.trades.size.tolist() == [0.5, 1.25, 0.001]
    assert (day.first_id, day.last_id, day.lost_ids) == (11, 13, 0)


@pytest.mark.parametrize("size", ["0", "0.0", "-0.0", "1e-17", "9e-13"])
@pytest.mark.parametrize("price", ["29200.2", "0", "nan"])
def test_rows_of_size_0_are_left_out_and_counted_and_not_lost(tmp_path: Path, size: str, price: str):
    empty = [f"{id_},{price},{size},23,23,{T0 + 70},false" for id_ in (10, 12, 14)]
    day = read(zipped(tmp_path, [empty[0], ROWS[0], empty[1], ROWS[2], empty[2], empty[2]]))
    assert day.trades.size.tolist() == [0.5, 0.001]
    assert (day.first_id, day.last_id, day.lost_ids) == (10, 14, 0)
    assert (day.zero_sizes, day.duplicates) == (3, 1)


def test_size_just_above_0_is_a_trade(tmp_path: Path):
    day = read(zipped(tmp_path, [ROWS[0].replace("0.5", "1e-12")]))
    assert day.trades.size.tolist() == [1e-12]
    assert day.zero_sizes == 0


def test_file_of_nothing_but_size_0_has_no_trades_and_its_ids(tmp_path: Path):
    day = read(zipped(tmp_path, [f"{id_},0,0,1,1,{T0},true" for id_ in (5, 6)]))
    assert len(day.trades) == 0
    assert (day.first_id, day.last_id, day.zero_sizes) == (5, 6, 2)


@pytest.mark.parametrize("words", [("true", "false"), ("True", "False"), ("TRUE", "FALSE")])
def test_flags_are_read_in_any_case(tmp_path: Path, words: tuple[str, str]):
    lines = [row.replace("true", words[0]).replace("false", words[1]) for row in ROWS]
    assert read(zipped(tmp_path, lines)).trades.is_buy.tolist() == [False, True, False]


def test_unsorted_rows_come_in_the_order_of_ids(tmp_path: Path):
    shuffled = read(zipped(tmp_path, [ROWS[2], ROWS[0], ROWS[1]]))
    assert shuffled.trades.size.tolist() == [0.5, 1.25, 0.001]


def test_ids_out_of_step_with_time_still_come_in_the_order_of_time(tmp_path: Path):
    lines = [f"1,10,1,1,1,{T0 + 9},true", f"2,11,1,2,2,{T0 + 3},true"]
    assert read(zipped(tmp_path, lines)).trades.price.tolist() == [11.0, 10.0]


def test_repeated_ids_are_dropped_and_counted(tmp_path: Path):
    day = read(zipped(tmp_path, [*ROWS, ROWS[1]]))
    assert len(day.trades) == 3
    assert day.duplicates == 1


def test_skipped_ids_are_counted(tmp_path: Path):
    assert read(zipped(tmp_path, [ROWS[0], ROWS[2]])).lost_ids == 1


@pytest.mark.parametrize(("factor", "divisor"), [(1000, 1), (1, 1), (1, 1000)])
def test_times_in_seconds_milliseconds_and_microseconds_are_recognized(
    tmp_path: Path, factor: int, divisor: int
):
    time = (T0 + 5000) * factor // divisor
    day = read(zipped(tmp_path, [f"1,10,1,1,1,{time},true"]))
    assert day.trades.time.tolist() == [T0 + 5000]


def test_more_columns_than_known_are_passed_over_by_name(tmp_path: Path):
    lines = [HEADER + ",nq", ROWS[0] + ",0.4"]
    assert read(zipped(tmp_path, lines)).trades.size.tolist() == [0.5]


@pytest.mark.parametrize("lines", [[], [HEADER]])
def test_day_without_trades_is_empty(tmp_path: Path, lines: list[str]):
    assert len(read(zipped(tmp_path, lines)).trades) == 0


def test_rows_just_across_midnight_are_left_to_the_next_day(tmp_path: Path):
    lines = [*ROWS, f"14,29200.0,1,30,30,{T0 + 86_400_000},true"]
    assert len(read(zipped(tmp_path, lines)).trades) == 3


def test_hole_that_the_ids_show_is_located(tmp_path: Path):
    times = (
        5,
        1_000,
        1_801_500,
        1_802_000,
        1_811_999,
    )  # ids are skipped twice, once for long
    lines = [
        f"{id_},10,1,1,1,{T0 + time},true" for id_, time in zip((1, 2, 1236, 1237, 1240), times, strict=True)
    ]
    day = read(zipped(tmp_path, lines[::-1]))
    assert day.lost_ids == 1235
    assert day.holes == (Hole(T0 + 1_000, T0 + 1_801_500, 1233),)


@pytest.mark.parametrize("overlap", [1, 70_000, 3_599_000])
def test_files_of_two_days_that_overlap_lose_and_double_nothing(tmp_path: Path, overlap: int):
    midnight = T0 + 86_400_000
    around = (midnight - overlap, midnight - 1, midnight, midnight + overlap)
    before, *edge, after = [
        f"{id_},10,{id_},1,1,{time},true"
        for id_, time in enumerate((T0 + 5, *around, midnight + 7_200_000), 11)
    ]
    first = read(zipped(tmp_path, [before, *edge]))
    name = "BTCUSDT-aggTrades-2023-08-02"
    path = zipped(tmp_path, [*edge, after], member=f"{name}.csv")
    second = Binance().read_day(path, "BTCUSDT", date(2023, 8, 2), max_unpacked_size=10**9)
    assert first.trades.size.tolist() + second.trades.size.tolist() == [11, 12, 13, 14, 15, 16]
    assert (first.first_id, first.last_id, first.lost_ids) == (11, 13, 0)
    assert (second.first_id, second.last_id, second.lost_ids) == (14, 16, 0)


@pytest.mark.parametrize("after", [0, 3_000_000])
def test_file_with_nothing_of_its_day_is_another_days(tmp_path: Path, after: int):
    with pytest.raises(DataError, match="holds trades of another day than 2023-08-01"):
        read(zipped(tmp_path, [f"14,29200.0,1,30,30,{T0 + 86_400_000 + after},true"]))


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([f"1,10,1,1,1,{T0},True,True"], "is a spot file: 8 columns"),
        ([HEADER + ",is_best_match", ROWS[0] + ",True"], "is a spot file: it has a column is_best_match"),
        ([HEADER.replace("quantity", "amount"), ROWS[0]], "has no column quantity"),
        (["<!DOCTYPE html>", "<html>"], "has no column agg_trade_id"),
        (["1,2,3"], "3 columns where 7 are expected"),
        ([ROWS[0], "x,y"], "is not a file of trades: Expected 7 columns, got 2"),
        ([ROWS[0], ROWS[1].replace("29200.2", "cheap")], "is not a file of trades.*cheap"),
        *(
            ([ROWS[0].replace("29200.1", price)], f"not a file of trades: it holds a price of {found}")
            for price, found in (
                ("-5", "-5"),
                ("0", "0"),
                ("nan", "nan"),
                ("1e-13", "1e-13"),
                ("1.1e15", r"1\.1e\+15"),
                ("1e300", r"1e\+300"),
            )
        ),
        *(
            ([ROWS[0].replace("0.5", size)], f"not a file of trades: it holds a size of {found}")
            for size, found in (
                ("-0.5", "-0.5"),
                ("-1e-17", "-1e-17"),
                ("nan", "nan"),
                ("inf", "inf"),
                ("1.1e15", r"1\.1e\+15"),
            )
        ),
        ([ROWS[0].replace("11,", f"{1 << 62},", 1)], f"holds the id {1 << 62}"),
        ([ROWS[0].replace("11,", "-1,", 1)], "has no column agg_trade_id"),
        ([ROWS[0], ROWS[1].replace("12,", "-1,", 1)], "holds the id -1"),
        (["\n" * 70_000], "begins with 65,536 blanks"),
        (["\ufeff\ufeff" + ROWS[0]], "has no column agg_trade_id"),
        ([f"1,10,1,1,1,{T0 + 90_000_000},true"], "holds trades of another day than 2023-08-01"),
    ],
)
def test_what_is_not_such_a_day_is_refused_by_name(tmp_path: Path, lines: list[str], sentence: str):
    with pytest.raises(DataError, match=sentence) as caught:
        read(zipped(tmp_path, lines))
    assert str(caught.value).startswith(f"{NAME}.zip ")
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(
    "member", ["../../evil.csv", "/etc/passwd", "BTCUSD_PERP-aggTrades-2023-08-01.csv", "part-0000.csv"]
)
def test_zip_with_another_member_is_refused(tmp_path: Path, member: str):
    with pytest.raises(DataError, match=r"should hold BTCUSDT-aggTrades-2023-08-01\.csv but holds"):
        read(zipped(tmp_path, ROWS, member=member))


@pytest.mark.parametrize("flag", [True, False])
def test_member_of_another_script_is_known_by_its_bytes(tmp_path: Path, *, flag: bool):
    symbol = "币安人生USDT"
    name = f"{symbol}-aggTrades-2023-08-01"
    path = zipped(tmp_path, ROWS, member=f"{name}.csv")
    body = bytearray(path.read_bytes())
    if not flag:  # "this name is UTF-8", in both headers
        for place in (body.index(b"PK\x03\x04") + 7, body.index(b"PK\x01\x02") + 9):
            body[place] &= ~8
        path.write_bytes(body)
    with zipfile.ZipFile(path) as archive:
        assert (archive.namelist() == [f"{name}.csv"]) is flag
    assert len(read(path, symbol=symbol).trades) == 3
    with pytest.raises(DataError, match=r"should hold BTCUSDT-aggTrades-2023-08-01\.csv"):
        read(path)


def test_zip_with_a_second_member_is_refused(tmp_path: Path):
    path = zipped(tmp_path, ROWS)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more.csv", "1")
    with pytest.raises(DataError, match=r"more\.csv"):
        read(path)


def test_zip_bomb_is_refused_while_it_unpacks(tmp_path: Path):
    path = zipped(tmp_path, ["0" * 5_000_000])
    with pytest.raises(DataError, match="unpacks to more than is allowed"):
        read(zipped(tmp_path, [HEADER, *ROWS * 100_000]), limit=1_000_000)
    assert path.stat().st_size < 1_000_000


def test_zip_with_flipped_bytes_is_refused(tmp_path: Path):
    path = zipped(tmp_path, ROWS * 1000)
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 0xFF
    path.write_bytes(body)
    with pytest.raises(DataError, match="not a valid zip file"):
        read(path)


@pytest.mark.parametrize("body", [b"", b"<html>", b"PK\x03\x04 cut off"])
def test_file_that_is_not_a_zip_is_refused(tmp_path: Path, body: bytes):
    path = tmp_path / "day.zip"
    path.write_bytes(body)
    with pytest.raises(DataError, match="not a valid zip file"):
        read(path)


def test_encrypted_zip_is_refused(tmp_path: Path):
    path = zipped(tmp_path, ROWS)
    body = bytearray(path.read_bytes())
    for signature in (b"PK\x03\x04", b"PK\x01\x02"):
        body[body.index(signature) + (6 if signature == b"PK\x03\x04" else 8)] |= 1  # the flag "encrypted"
    path.write_bytes(body)
    with pytest.raises(DataError, match="is packed in a way that cannot be read"):
        read(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip_packed_as_no_exchange_does_is_refused(tmp_path: Path, method: int):
    path = tmp_path / "day.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(f"{NAME}.csv", "\n".join(ROWS))
    with pytest.raises(DataError, match="is packed in a way that cannot be read"):
        read(path)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.EACCES])
def test_file_that_cannot_be_opened_just_now_is_not_called_unsound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(zipfile, "ZipFile", refuse)
    with pytest.raises(DataError, match=rf"could not be read \({os.strerror(number)}\); try again"):
        read(tmp_path / "day.zip")


@pytest.mark.parametrize("header", [True, False])
def test_whole_simulated_day_is_read_back_exactly(tmp_path: Path, header: bool):
    simulated = SimulatedMarket(scale=0.02).day("BTCUSDT", DAY)
    path = tmp_path / "day.zip"
    path.write_bytes(binance_zip(simulated, header=header))
    day = read(path)
    for name in ("time", "price", "size", "is_buy"):
        np.testing.assert_array_equal(getattr(day.trades, name), getattr(simulated.trades, name))
    assert day.first_id == simulated.first_id


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="the real trades of ../shared/data are not here")
@pytest.mark.parametrize(
    ("symbol", "day", "rows"),
    [
        ("BTCUSDT", date(2023, 4, 4), 863),
        ("BTCUSDT", date(2023, 4, 5), 4389),
        ("ETHUSDT", date(2024, 7, 19), 4702),
        ("BNBUSDT", date(2023, 6, 1), 8999),
    ],
)
def test_real_rows_are_read_whole(tmp_path: Path, symbol: str, day: date, rows: int):
    name = f"{symbol}-aggTrades-{day}.csv"
    lines = (SHARED / name).read_text().splitlines()
    path = zipped(tmp_path, lines, member=name)
    parsed = Binance().read_day(path, symbol, day, max_unpacked_size=10**9)
    assert len(parsed.trades) == rows == len(lines) - 1
    assert (parsed.first_id, parsed.last_id, parsed.lost_ids) == (1, rows, 0)
    _, price, size, *_, time, maker = lines[-1].split(",")
    last = parsed.trades
    assert (last.time[-1], last.price[-1], last.size[-1]) == (int(time), float(price), float(size))
    assert last.is_buy[-1] == (maker == "false")


def test_coin_margined_contracts_are_counted_in_dollars(tmp_path: Path):
    assert Binance().contract("BTCUSD_PERP").label == "Binance COIN-M"
    assert Binance().day_file("https://x", "ETHUSD_261225", DAY).url == (
        "https://x/data/futures/cm/daily/aggTrades/ETHUSD_261225/ETHUSD_261225-aggTrades-2023-08-01.zip"
    )
    lines = [f"1,29200.1,3,1,1,{T0},true", f"2,29200.2,12,2,2,{T0},false"]
    for symbol, dollars in (("BTCUSD_PERP", 100), ("ETHUSD_PERP", 10)):
        path = zipped(tmp_path, lines, member=f"{symbol}-aggTrades-2023-08-01.csv")
        trades = read(path, symbol=symbol).trades
        assert trades.inverse
        assert trades.notional.tolist() == [3 * dollars, 12 * dollars]
