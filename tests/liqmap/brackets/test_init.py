from __future__ import annotations

import json
import os
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

from liqmap.brackets import SHIPPED, bracketed_symbols, find_brackets, table_name
from liqmap.errors import DataError
from liqmap.files import replace_file
from liqmap.model import Exchange

SHARED = Path(__file__).parents[4] / "shared" / "data" / "brackets"


@pytest.mark.parametrize(
    ("day", "expected", "is_earliest"),
    [
        (date(2019, 9, 8), date(2023, 8, 1), True),
        (date(2023, 7, 31), date(2023, 8, 1), True),
        (date(2023, 8, 1), date(2023, 8, 1), False),
        (date(2026, 8, 31), date(2023, 8, 1), False),
        (date(2026, 9, 1), date(2026, 9, 1), False),
        (date(2030, 1, 1), date(2026, 9, 1), False),
    ],
)
def test_newest_table_not_after_the_day_is_used_or_else_the_oldest(
    day: date, expected: date, is_earliest: bool
):
    found = find_brackets(Exchange.BINANCE, "BTCUSDT", on=day)
    assert found is not None
    assert (found.date, found.is_earliest) == (expected, is_earliest)
    assert "Binance" in found.source


def test_symbol_that_only_a_later_table_has_is_found_there():
    found = find_brackets(Exchange.BINANCE, "0GUSDT", on=date(2026, 8, 31))
    assert found is not None
    assert (found.date, found.is_earliest) == (date(2026, 9, 1), True)


def test_table_that_has_changed_is_read_again(tmp_path: Path):
    path = tmp_path / table_name(Exchange.BINANCE, date(2027, 1, 1))
    for rate in ("0.01", "0.02"):
        path.write_text(f"# fetched\nBTCUSDT 1000,{rate},50\n")
        os.utime(path, ns=(0, int(float(rate) * 1e9)))
        found = find_brackets(Exchange.BINANCE, "BTCUSDT", on=date(2027, 1, 2), folders=(tmp_path,))
        assert found is not None
        assert found.brackets.rate.tolist() == [float(rate)]


def test_fetched_table_comes_before_the_shipped_one_of_its_date(tmp_path: Path):
    (tmp_path / table_name(Exchange.BINANCE, date(2026, 9, 1))).write_text("# fetched\nBTCUSDT 1,0.1,5\n")
    found = find_brackets(Exchange.BINANCE, "BTCUSDT", on=date(2026, 9, 1), folders=(tmp_path,))
    assert found is not None
    assert found.source == "fetched"


def test_bracketed_symbols_are_those_of_all_tables(tmp_path: Path):
    (tmp_path / table_name(Exchange.BINANCE, date(2027, 1, 1))).write_text("# fetched\nNEWUSDT 1,0.1,5\n")
    named = bracketed_symbols(Exchange.BINANCE, (tmp_path,))
    assert {"NEWUSDT", "1000LUNCBUSD", "0GUSDT", "ETHBTC", "SPCXUSD1"} <= named
    assert len(named) == 957
    assert bracketed_symbols(Exchange.BYBIT) == {"BTCUSDT"}


def test_symbol_without_brackets_has_none():
    assert find_brackets(Exchange.BINANCE, "NOPEUSDT", on=date(2030, 1, 1)) is None
    assert find_brackets(Exchange.BINANCE, "BTC", on=date(2030, 1, 1)) is None


def test_symbol_that_only_an_older_table_has_is_found_there():
    found = find_brackets(Exchange.BINANCE, "1000LUNCBUSD", on=date(2030, 1, 1))
    assert found is not None
    assert found.date == date(2023, 8, 1)


def test_bybit_s_table_reaches_as_far_as_its_source():
    found = find_brackets(Exchange.BYBIT, "BTCUSDT", on=date(2026, 9, 1))
    assert found is not None
    assert found.brackets.rate.tolist() == [0.0033, 0.005]
    assert found.brackets.deduction.tolist() == pytest.approx([0, 510])


def test_fetched_table_comes_before_older_ones_that_ship(tmp_path: Path):
    name = table_name(Exchange.BINANCE, date(2027, 1, 1))
    (tmp_path / name).write_text("# fetched\nBTCUSDT 1000,0.01,50 inf,0.02,20\n")
    found = find_brackets(Exchange.BINANCE, "BTCUSDT", on=date(2027, 1, 2), folders=(tmp_path,))
    assert found is not None
    assert (found.date, found.source) == (date(2027, 1, 1), "fetched")
    assert found.brackets.deduction.tolist() == [0.0, 10.0]


@pytest.mark.parametrize(
    "text", ["", "# source\nBTCUSDT 1000,0.01\n", "# source\nBTCUSDT a,b,c\n", "# source\nBTCUSDT\n"]
)
def test_broken_table_is_one_sentence(text: str, tmp_path: Path):
    (tmp_path / "binance-2027-01-01.txt").write_text(text)
    with pytest.raises(DataError, match=r"binance-2027-01-01\.txt cannot be read; fetch it again"):
        find_brackets(Exchange.BINANCE, "BTCUSDT", on=date(2027, 1, 2), folders=(tmp_path,))


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.txt")), ids=lambda path: path.name)
def test_every_shipped_tier_is_sane(path: Path):
    exchange, _, dated = path.stem.partition("-")
    for line in path.read_text(encoding="utf-8").splitlines()[2:]:
        found = find_brackets(Exchange(exchange), line.split()[0], on=date.fromisoformat(dated))
        assert found is not None
        brackets = found.brackets
        for values, direction in ((brackets.cap, 1), (brackets.rate, 1), (brackets.max_leverage, -1)):
            assert (values > 0).all()
            assert all(direction * (b - a) >= 0 for a, b in pairwise(values))


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="the real brackets of ../shared/data are not here")
@pytest.mark.parametrize(("name", "day"), [("2023-08-01", date(2023, 8, 1)), ("2026-09", date(2026, 9, 1))])
def test_shipped_tables_are_the_published_ones(name: str, day: date):
    published = json.loads((SHARED / f"binance-um-{name}.json").read_text())
    for symbol in list(published)[::10]:
        found = find_brackets(Exchange.BINANCE, symbol, on=day)
        assert found is not None
        for place, (cap, rate, leverage, deduction) in enumerate(published[symbol]):
            assert found.brackets.cap[place] == cap
            assert found.brackets.rate[place] == rate
            assert found.brackets.max_leverage[place] == leverage
            assert found.brackets.deduction[place] == pytest.approx(deduction)


def test_table_that_was_replaced_within_a_tick_of_the_clock_is_read_again(tmp_path: Path):
    path = tmp_path / table_name(Exchange.BINANCE, date(2027, 1, 1))
    for rate in (0.01, 0.02):
        replace_file(path, f"# fetched\nBTCUSDT 1000,{rate},50\n".encode())
        os.utime(path, ns=(0, 0))
        found = find_brackets(Exchange.BINANCE, "BTCUSDT", on=date(2027, 1, 2), folders=(tmp_path,))
        assert found is not None
        assert found.brackets.rate.tolist() == [rate]
