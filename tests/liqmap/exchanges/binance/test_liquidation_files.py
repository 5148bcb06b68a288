from __future__ import annotations

import zipfile
from datetime import date
from pathlib import Path

import pytest

from liqmap.errors import DataError
from liqmap.exchanges import EXCHANGES
from liqmap.exchanges.binance.liquidation_files import COLUMNS, BinanceLiquidationFiles
from liqmap.exchanges.messages import Liquidation
from liqmap.model import Exchange, Side
from liqmap.model.window import at_ms
from liqmap.simulator import SimulatedMarket
from liqmap.simulator.formats import binance_liquidations_zip

HEADER = ",".join(COLUMNS)
# Two rows as published on data.binance.vision; a file has two copies of each.
SHORT = "1687656471926,BUY,LIMIT,IOC,7,30741.3,30631.6,FILLED,6,7"
LONG = "1687656473356,SELL,LIMIT,IOC,43,30501.2,30631.6,FILLED,1,43"
DAY = date(2023, 6, 25)
SHARED = Path(__file__).parents[5] / "shared" / "data" / "more" / "binance_liqsnapshot"


def zipped(folder: Path, lines: list[str], *, symbol: str = "BTCUSD_PERP") -> Path:
    path = folder / "day.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{symbol}-liquidationSnapshot-{DAY}.csv", "".join(line + "\n" for line in lines))
    return path


def read(path: Path, *, symbol: str = "BTCUSD_PERP", day: date = DAY) -> tuple[Liquidation, ...]:
    return BinanceLiquidationFiles().read_day(path, symbol, day, max_unpacked_size=10**9)


def test_day_file_lies_where_binance_published_it():
    files = EXCHANGES[Exchange.BINANCE].liquidations.files
    assert files is not None
    file = files.day_file("https://data.binance.vision", "BTCUSD_PERP", DAY)
    assert file is not None
    assert file.url == (
        "https://data.binance.vision/data/futures/cm/daily/liquidationSnapshot/BTCUSD_PERP/"
        "BTCUSD_PERP-liquidationSnapshot-2023-06-25.zip"
    )
    assert files.day_file("https://data.binance.vision", "BTCUSDT", DAY) is None


@pytest.mark.parametrize("header", [[], [HEADER]])
def test_doubled_rows_are_read_once_at_their_fills_in_dollars(tmp_path: Path, header: list[str]):
    assert read(zipped(tmp_path, [*header, LONG, LONG, SHORT, SHORT])) == (
        Liquidation("BTCUSD_PERP", 1687656471926, Side.SELL, 30631.6, 700.0, 30741.3),
        Liquidation("BTCUSD_PERP", 1687656473356, Side.BUY, 30631.6, 4300.0, 30501.2),
    )


def test_contracts_of_other_coins_are_ten_dollars_each(tmp_path: Path):
    assert read(zipped(tmp_path, [SHORT], symbol="ETHUSD_PERP"), symbol="ETHUSD_PERP")[0].size == 70.0


def test_rows_of_other_days_and_of_nothing_filled_are_left_out(tmp_path: Path):
    unfilled = SHORT.replace("FILLED,6,7", "EXPIRED,0,0").replace("30631.6", "0")
    tomorrow = SHORT.replace("1687656471926", "1687737600000")
    assert read(zipped(tmp_path, [HEADER, unfilled, tomorrow, LONG])) == read(zipped(tmp_path, [LONG]))


def test_a_file_without_rows_is_a_quiet_day(tmp_path: Path):
    assert read(zipped(tmp_path, [])) == read(zipped(tmp_path, [HEADER])) == ()


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ([SHORT.replace("BUY", "HOLD")], "not a file of liquidations"),
        ([HEADER.replace("side", "Side"), SHORT], "no column side"),
        ([SHORT + ",1"], "11 columns where 10"),
        ([SHORT.replace("30631.6", "nan")], "a price of nan"),
        ([SHORT.replace("FILLED,6,7", "FILLED,6,-7")], "a quantity of -7"),
        ([SHORT.replace("1687656471926", "1687746473356")], "another day"),
    ],
)
def test_wrong_file_is_refused_in_a_sentence(tmp_path: Path, lines: list[str], named: str):
    with pytest.raises(DataError, match=named):
        read(zipped(tmp_path, lines))


def test_the_simulator_s_file_is_read_back(tmp_path: Path):
    made = SimulatedMarket(scale=0.01).liquidations("BTCUSD_PERP", DAY)
    path = tmp_path / "day.zip"
    path.write_bytes(binance_liquidations_zip(made))
    reported, found = made.latest_a_second(), read(path)
    assert [each.time for each in found] == reported.time.tolist()
    assert [each.size for each in found] == reported.size.tolist()
    assert [each.position is Side.BUY for each in found] == reported.is_long.tolist()
    for each in found:
        assert each.bankruptcy is not None
        # A long's limit lies below its fill, a short's above, by the first bracket's rate.
        assert abs(each.bankruptcy / each.price - 1) == pytest.approx(0.004, rel=0.01)
        assert (each.bankruptcy < each.price) == (each.position is Side.BUY)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is absent")
def test_real_rows_close_the_side_that_loses(tmp_path: Path):
    _, *rows = (SHARED / "BTCUSD_PERP_rows.csv").read_text().splitlines()
    found: list[Liquidation] = []
    for row in dict.fromkeys(rows):
        day = at_ms(int(row.partition(",")[0])).date()
        path = tmp_path / f"{row.partition(',')[0]}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"BTCUSD_PERP-liquidationSnapshot-{day}.csv", f"{row}\n{row}\n")
        found += read(path, day=day)
    assert len(found) == len(set(rows)) == 6
    for each in found:
        assert each.bankruptcy is not None
        assert (each.bankruptcy < each.price) == (each.position is Side.BUY)
