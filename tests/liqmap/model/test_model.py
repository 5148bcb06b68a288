import pickle
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest

from liqmap.errors import RequestError
from liqmap.model import (
    Coverage,
    Exchange,
    Gap,
    GapKind,
    GrossValue,
    MapRequest,
    Market,
    Portion,
    PositionModel,
    TopN,
    Trades,
)
from liqmap.model.window import TimeWindow
from tests.conftest import BTCUSDT

START = datetime(2023, 8, 1, tzinfo=UTC)


def hours(first: int, last: int) -> TimeWindow:
    return TimeWindow(START + timedelta(hours=first), START + timedelta(hours=last))


def test_window_of_whole_days_touches_only_those_days():
    assert hours(0, 48).days == (date(2023, 8, 1), date(2023, 8, 2))


def test_window_across_midnight_touches_both_days():
    assert hours(23, 25).days == (date(2023, 8, 1), date(2023, 8, 2))


def test_window_bounds_in_milliseconds_are_half_open():
    window = hours(0, 1)
    assert window.end_ms - window.start_ms == 3_600_000
    assert window.start_ms == 1_690_848_000_000


def test_window_ending_reaches_back_by_its_length():
    assert TimeWindow.ending(START, timedelta(hours=6)) == hours(-6, 0)


@pytest.mark.parametrize(("start", "end"), [(0, 0), (1, 0)])
def test_window_empty_or_reversed_is_refused(start: int, end: int):
    with pytest.raises(RequestError, match="empty"):
        hours(start, end)


@pytest.mark.parametrize(
    "moment",
    [
        START.replace(tzinfo=None),
        START.replace(tzinfo=timezone(timedelta(hours=9))),
        START.replace(microsecond=1),
    ],
)
def test_window_of_other_than_whole_utc_seconds_is_refused(moment: datetime):
    with pytest.raises(ValueError, match="whole seconds in UTC"):
        TimeWindow(moment, moment + timedelta(hours=1))


@pytest.mark.parametrize(
    "arguments",
    [
        ("binance", "BTCUSDT", hours(0, 6), TopN(1)),
        ("binance", hours(0, 6), TopN(1)),
        ([Market(Exchange.BINANCE, "BTCUSDT")], hours(0, 6), TopN(1)),
        (Market(Exchange.BINANCE, "BTCUSDT"), hours(0, 6), TopN(1)),
        (None, hours(0, 6), TopN(1)),
        ((), hours(0, 6), TopN(1)),
        (BTCUSDT, timedelta(hours=6), TopN(1)),
        (BTCUSDT, hours(0, 6), 100),
        (BTCUSDT, hours(0, 6), TopN(1), [10]),
        (BTCUSDT, hours(0, 6), TopN(1), (10.5,)),
        (BTCUSDT, hours(0, 6), TopN(1), ("10", "25")),
        (BTCUSDT, hours(0, 6), TopN(1), (10, 25), ("1", "2")),
    ],
)
def test_request_of_other_things_than_it_takes_is_refused_at_once(arguments: Any):
    with pytest.raises(RequestError) as caught:
        MapRequest(*arguments)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    "option",
    [
        *({"model": "simple"}, {"levels": "all"}, {"theme": "light"}, {"pictures": {"map"}}),
        *({"weights": [1.0]}, {"stack": "exchange"}, {"sweep": "mark"}, {"positions": "trades"}),
        *({"merge": "yes"}, {"each": "no"}, {"tables": 1}, {"levels_csv": None}, {"turnover": "0"}),
    ],
)
def test_option_as_a_plain_word_is_refused_rather_than_missed(option: Any):
    (name,) = option
    with pytest.raises(RequestError, match=f"A request's {name} must be a "):
        MapRequest(BTCUSDT, hours(0, 6), TopN(1), **option)


def test_turnover_without_open_interest_is_refused_rather_than_ignored():
    with pytest.raises(RequestError, match="by open interest only"):
        MapRequest(BTCUSDT, hours(0, 6), TopN(1), turnover=0.5)
    by_interest = MapRequest(
        BTCUSDT, hours(0, 6), TopN(1), positions=PositionModel.OPEN_INTEREST, turnover=0.5
    )
    assert by_interest.turnover == 0.5


@pytest.mark.parametrize("count", [1.0, "100", None, True])
def test_count_that_is_not_a_whole_number_is_refused(count: Any):
    with pytest.raises(RequestError, match="whole number"):
        TopN(count)


@pytest.mark.parametrize("number", ["100k", None, float("nan"), -1])
def test_value_that_is_not_a_number_is_refused_in_a_sentence(number: Any):
    for selection in (GrossValue, Portion):
        with pytest.raises(RequestError, match="takes"):
            selection(number)


def test_window_overlap_is_what_both_share():
    assert hours(0, 6).overlap(hours(4, 9)) == hours(4, 6)
    assert hours(0, 6).overlap(hours(6, 9)) is None


@pytest.mark.parametrize(
    "selection",
    [
        lambda: TopN(0),
        lambda: TopN(1_000_001),
        lambda: GrossValue(0),
        lambda: Portion(0),
        lambda: Portion(1.01),
    ],
)
def test_selection_out_of_range_is_refused(selection):
    with pytest.raises(RequestError, match="such as"):
        selection()


def test_gross_value_writes_whole_numbers_without_a_point():
    assert str(GrossValue(100_000.0).value) == "100000"
    assert str(GrossValue(0.5).value) == "0.5"


@pytest.mark.parametrize(
    "symbol", ["BTCUSDT", "1000PEPEUSDT", "BTCUSDT_260327", "币安人生USDT", "BTC-27NOV26"]
)
def test_request_accepts_symbols_as_exchanges_write_them(symbol: str):
    assert MapRequest((Market(Exchange.BINANCE, symbol),), hours(0, 6), TopN(1)).market.symbol == symbol


@pytest.mark.parametrize(
    "symbol", ["", "../../x", "BTC/USDT", "btcusdt", "BTC USDT", "BTC\nUSDT", "A" * 41, "_", "A.B"]
)
def test_request_refuses_symbols_that_mean_something_in_a_path(symbol: str):
    with pytest.raises(RequestError, match="such as BTCUSDT"):
        MapRequest((Market(Exchange.BINANCE, symbol),), hours(0, 6), TopN(1))


@pytest.mark.parametrize("leverages", [(), (25, 10), (10, 10)])
def test_request_refuses_leverages_out_of_order(leverages: tuple[int, ...]):
    with pytest.raises(RequestError, match="ascend"):
        MapRequest(BTCUSDT, hours(0, 6), TopN(1), leverages)


def test_request_equal_after_a_trip_between_processes():
    request = MapRequest(BTCUSDT, hours(0, 6), GrossValue(1e5))
    travelled = pickle.loads(pickle.dumps(request))  # noqa: S301 - our own bytes
    assert travelled == request
    assert hash(travelled) == hash(request)


def test_trades_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="length"):
        Trades(np.array([1]), np.array([1.0]), np.array([]), np.array([True]))


def test_coverage_fraction_is_the_share_of_time():
    coverage = Coverage(hours(0, 6), (hours(0, 3),), (Gap(hours(3, 6), GapKind.NOT_PUBLISHED_YET),))
    assert coverage.fraction == 0.5


def test_market_of_an_exchange_that_is_only_text_is_refused():
    with pytest.raises(RequestError, match="'binance' is not an Exchange"):
        Market("binance", "BTCUSDT")  # type: ignore[arg-type]


@pytest.mark.parametrize("markets", ["binance", ("binance",), (), (*BTCUSDT, *BTCUSDT)])
def test_request_of_anything_but_one_market_is_refused(markets):
    with pytest.raises(RequestError, match="market"):
        MapRequest(markets, hours(0, 6), TopN(1))
