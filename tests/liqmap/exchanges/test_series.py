from __future__ import annotations

import io
import json
import zipfile
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from liqmap.errors import DataError
from liqmap.exchanges import EXCHANGES
from liqmap.exchanges.binance.series import BinanceMarkFiles, BinanceMetrics
from liqmap.model import Exchange
from liqmap.model.series import Series, SeriesKind

SHARED = Path(__file__).parents[4] / "shared" / "data" / "more"
real = pytest.mark.skipif(not SHARED.is_dir(), reason="the real rows of ../shared/data are not here")
INTEREST, MARK = SeriesKind.OPEN_INTEREST, SeriesKind.MARK_PRICE
HEADER = "create_time,symbol,sum_open_interest,sum_open_interest_value,count,sum,count,sum"


def page(exchange: Exchange, kind: SeriesKind, answer: Any, symbol: str = "BTCUSDT") -> Series:
    pages = EXCHANGES[exchange].series[kind].pages
    assert pages is not None
    return pages.read_page(answer, symbol)


def times(series: Series) -> list[str]:
    return [f"{datetime.fromtimestamp(each / 1000, UTC):%m-%d %H:%M}" for each in series.time.tolist()]


def metrics(folder: Path, rows: list[str], day: date, symbol: str = "BTCUSDT") -> Series:
    return BinanceMetrics().read_day(
        zipped(folder, f"{symbol}-metrics-{day}", [HEADER, *rows]), symbol, day, max_unpacked_size=10**6
    )


def zipped(folder: Path, name: str, lines: list[str]) -> Path:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{name}.csv", "\n".join([*lines, ""]))
    path = folder / "file.zip"
    path.write_bytes(file.getvalue())
    return path


def row(moment: str, size: float, symbol: str = "BTCUSDT") -> str:
    return f'{moment},{symbol},{size:.8f},1.0,"","","",0.9'


def test_metrics_of_before_june_2026_are_known_at_their_label(tmp_path: Path):
    rows = [row("2025-01-21 00:05:00", 10), row("2025-01-22 00:00:00", 20)]
    found = metrics(tmp_path, rows, date(2025, 1, 21))
    assert times(found) == ["01-21 00:00", "01-21 23:55"]  # the steps at whose ends they are known


def test_metrics_since_june_2026_are_known_five_minutes_after_their_label(tmp_path: Path):
    rows = [row("2026-06-25 00:00:00", 10), row("2026-06-25 23:55:00", 20)]
    assert times(metrics(tmp_path, rows, date(2026, 6, 25))) == ["06-25 00:00", "06-25 23:55"]


def test_metrics_that_stand_twice_or_belong_to_the_next_day_count_once_or_not(tmp_path: Path):
    rows = [row("2021-05-01 00:05:00", 10)] * 2 + [row("2021-05-02 00:05:00", 30)]
    found = metrics(tmp_path, rows, date(2021, 5, 1))
    assert (times(found), found.values.tolist()) == (["05-01 00:00"], [[10.0]])


def test_metrics_of_coin_margined_contracts_are_in_dollars_as_their_sizes_are(tmp_path: Path):
    # A published row of 2023-06-25; a contract of bitcoin is 100 dollars.
    rows = ['2023-06-25 00:05:00,BTCUSD_PERP,5578209.00000000,18261.90678854,"","","",1.19645130']
    found = metrics(tmp_path, rows, date(2023, 6, 25), "BTCUSD_PERP")
    assert found.values.tolist() == [[557_820_900.0]]


@pytest.mark.parametrize(
    "rows",
    [[row("2025-01-21 00:05:00", 1, "ETHUSDT")], [row("2025-02-21 00:05:00", 1)], [row("x", 1)], ["a,b"], []],
)
def test_metrics_of_something_else_are_refused_in_a_sentence(tmp_path: Path, rows: list[str]):
    with pytest.raises(DataError, match=r"BTCUSDT-metrics-2025-01-21\.zip|another symbol"):
        metrics(tmp_path, rows, date(2025, 1, 21))


@pytest.mark.parametrize("header", [[], ["open_time,open,high,low,close,volume"]])
def test_mark_prices_are_read_with_and_without_a_header(tmp_path: Path, header: list[str]):
    line = "1591256460000,9653.29201333,9654.56401333,9653.07367333,9653.07367333,0,1591256519999,0,60,0,0,0"
    path = zipped(tmp_path, "BTCUSDT-1m-2020-06-04", [*header, line])
    found = BinanceMarkFiles().read_day(path, "BTCUSDT", date(2020, 6, 4), max_unpacked_size=10**6)
    assert times(found) == ["06-04 07:41"]
    assert found.values[:, 0].tolist() == [9653.07367333, 9654.56401333, 9653.07367333]


def test_bybit_counts_both_sides_and_one_is_read():
    rows = [
        {"openInterest": "52664.64200000", "singleOpenInterest": "26332.321", "timestamp": "1789458600000"},
        {"openInterest": "461134384.00000000", "timestamp": "1669571400000"},
        {"openInterest": "461134292.00000000", "singleOpenInterest": "", "timestamp": "1669571100000"},
        {"openInterest": "461131596.00000000", "singleOpenInterest": "0", "timestamp": "1669570800000"},
    ]
    found = page(Exchange.BYBIT, INTEREST, {"retCode": 0, "result": {"list": rows}})
    assert found.values.tolist() == [[230565798.0, 230567146.0, 230567192.0, 26332.321]]


def test_open_interest_of_0_is_no_value_of_any_exchange(tmp_path: Path):
    moments = range(1_737_417_900_000, 1_737_418_800_000, 300_000)  # from 2025-01-21 00:05 on
    sizes = [10.0, 0.0, 12.0]
    each = list(zip(moments, sizes, strict=True))
    pages = {
        Exchange.BINANCE: [
            {"symbol": "BTCUSDT", "sumOpenInterest": str(size), "timestamp": at} for at, size in each
        ],
        Exchange.BYBIT: {
            "retCode": 0,
            "result": {
                "list": [
                    {"openInterest": str(2 * size), "singleOpenInterest": str(size), "timestamp": str(at)}
                    for at, size in each
                ]
            },
        },
        Exchange.OKX: {
            "code": "0",
            "data": [[str(at), str(100 * size), str(size), str(1e5 * size)] for at, size in each],
        },
    }
    found = [page(exchange, INTEREST, answer) for exchange, answer in pages.items()]
    rows = [row(f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M:%S}", size) for at, size in each]
    found.append(metrics(tmp_path, rows, date(2025, 1, 21)))
    for series in found:
        assert (times(series), series.values.tolist()) == (["01-21 00:00", "01-21 00:10"], [[10.0, 12.0]])


FIRST = 1_791_072_000_000  # 2026-10-04


def rows_of(exchange: Exchange, kind: SeriesKind, damaged: dict[int, str], *, count: int = 20) -> Any:
    """Return a page of rows as an exchange sends it, with `damaged` values in some places."""
    step, values = kind.step_ms, [damaged.get(place, "9") for place in range(count)]
    found: list[Any]
    if kind is MARK:
        times = [FIRST + place * step for place in range(count)]
        written: list[Any] = times if exchange is Exchange.BINANCE else list(map(str, times))
        found = [[at, "10", "12", low, "11", "1"] for at, low in zip(written, values, strict=True)]
    else:
        ends = [(FIRST + (place + 1) * step, value) for place, value in enumerate(values)]
        match exchange:
            case Exchange.BINANCE:
                found = [{"symbol": "BTCUSDT", "sumOpenInterest": each, "timestamp": at} for at, each in ends]
            case Exchange.BYBIT:
                found = [{"openInterest": each, "timestamp": str(at)} for at, each in ends]
            case Exchange.OKX:
                found = [[str(at), "2000", each, "8"] for at, each in ends]
    pages: dict[Exchange, Any] = {
        Exchange.BINANCE: found,
        Exchange.BYBIT: {"retCode": 0, "result": {"list": found}},
        Exchange.OKX: {"code": "0", "data": found},
    }
    return pages[exchange]


@pytest.mark.parametrize("value", ["", "x", "nan", "-1", "1e300", "13"])
@pytest.mark.parametrize("kind", [INTEREST, MARK])
@pytest.mark.parametrize("exchange", [Exchange.BINANCE, Exchange.BYBIT, Exchange.OKX])
def test_row_that_cannot_be_right_is_a_gap_and_many_are_refused(
    exchange: Exchange, kind: SeriesKind, value: str
):
    if kind is INTEREST and value == "13":  # a low above the other prices, which no value alone can be
        value = "inf"
    found = page(exchange, kind, rows_of(exchange, kind, {7: value, 12: value}))
    start = FIRST // kind.step_ms
    places = (found.time // kind.step_ms - start).tolist()
    assert places == [place for place in range(20) if place not in {7, 12}]
    with pytest.raises(DataError, match="cannot be read; try again later"):
        page(exchange, kind, rows_of(exchange, kind, dict.fromkeys((1, 7, 12), value)))
    # The newest rows are only a few.
    assert len(page(exchange, kind, rows_of(exchange, kind, {1: value}, count=3))) == 2
    with pytest.raises(DataError, match="cannot be read; try again later"):
        page(exchange, kind, rows_of(exchange, kind, {0: value}, count=1))


def test_row_of_a_day_that_cannot_be_right_is_a_gap(tmp_path: Path):
    day = date(2025, 1, 21)
    rows = [row(f"2025-01-21 {minute // 60:02}:{minute % 60:02}:00", 10) for minute in range(5, 105, 5)]
    rows[4] = rows[4].replace("10.00000000", "")
    found = metrics(tmp_path, rows, day)
    assert len(found) == 19
    assert "01-21 00:20" not in times(found)


def test_candle_of_okx_that_is_still_open_is_left_out():
    rows = [
        ["1597026420000", "3.721", "3.743", "3.677", "3.708", "0"],
        ["1597026360000", "3.731", "3.799", "3.494", "3.72", "1"],
    ]
    found = page(Exchange.OKX, MARK, {"code": "0", "msg": "", "data": rows})
    assert found.values[:, 0].tolist() == [3.494, 3.799, 3.72]


def test_open_interest_of_okx_is_read_in_coins():
    rows = [["1701417600000", "731377.5", "7313.775", "281000000"]]
    found = page(Exchange.OKX, INTEREST, {"code": "0", "msg": "", "data": rows})
    assert (times(found), found.values.tolist()) == (["12-01 07:55"], [[7313.775]])


@pytest.mark.shared
@real
@pytest.mark.parametrize(
    ("exchange", "kind", "name", "first"),
    [
        (Exchange.BYBIT, INTEREST, "bybit/open_interest.json", 31971156.0),
        (Exchange.BYBIT, INTEREST, "bybit/open_interest_ETHUSDT_2026-09-15.json", 26332.321),
        (Exchange.BYBIT, MARK, "bybit/mark_price_kline.json", 17121.5),
    ],
)
def test_real_answers_are_read(exchange: Exchange, kind: SeriesKind, name: str, first: float):
    found = page(exchange, kind, json.loads((SHARED / name).read_text()))
    assert found.values[0, 0] == first


@pytest.mark.shared
@real
@pytest.mark.parametrize(
    ("symbol", "day", "found"),
    [
        ("ACEUSDT", date(2025, 1, 21), {"01-21 00:00": 2_310_973.79}),
        ("BTCUSD_PERP", date(2023, 6, 25), {"06-25 00:00": 557_820_900.0, "06-25 00:05": 557_440_100.0}),
        ("BTCUSD_PERP", date(2023, 6, 24), {"06-24 23:55": 557_870_000.0}),
    ],
)
def test_real_rows_of_metrics_that_stand_twice_count_once_and_on_their_day(
    tmp_path: Path, symbol: str, day: date, found: dict[str, float]
):
    rows = (SHARED / "binance_metrics" / "rows.csv").read_text().splitlines()
    series = metrics(tmp_path, [each for each in rows if f",{symbol}," in each] * 2, day, symbol)
    assert dict(zip(times(series), series.values[0].tolist(), strict=True)) == found


@pytest.mark.shared
@real
def test_real_answers_of_binance_are_read():
    recorded = json.loads((SHARED / "binance_rest" / "futures_data_openInterestHist.json").read_text())
    found = page(Exchange.BINANCE, INTEREST, recorded[0]["data"], "LTCUSDT")
    assert found.values[0, 0] == 286060.674
    candles = json.loads((SHARED / "binance_rest" / "dapi_v1_markPriceKlines.json").read_text())
    assert page(Exchange.BINANCE, MARK, candles[0]["data"]).values[0, 0] == 9033.05218333
