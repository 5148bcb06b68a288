import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqmap.errors import RequestError
from liqmap.model import (
    ALL_PICTURES,
    CHARTS,
    PICTURES,
    Exchange,
    GrossValue,
    LevelFilter,
    MapRequest,
    MarginModel,
    Market,
    Mode,
    Picture,
    Portion,
    Selection,
    Side,
    Theme,
    TopN,
)
from liqmap.model.window import TimeWindow
from liqmap.parsing import (
    COMMON_WINDOWS,
    DEFAULT_VALUES,
    POPULAR_SYMBOLS,
    check_request,
    complete_symbol,
    parse_chart,
    parse_distance,
    parse_end,
    parse_exchange,
    parse_levels,
    parse_leverages,
    parse_mode,
    parse_model,
    parse_selection,
    parse_side,
    parse_symbol,
    parse_theme,
    parse_window,
)
from liqmap.parsing.plain import quoted
from liqmap.text import CHART_TEXTS
from tests.conftest import BTCUSDT

NOW = datetime(2026, 11, 23, 9, 5, 31, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("BTCUSDT", "BTCUSDT"),
        ("btc", "BTCUSDT"),
        (" btcusdt ", "BTCUSDT"),
        ("BTC/USDT", "BTCUSDT"),
        ("BTC-USDT", "BTCUSDT"),
        ("BTC/USDT:USDT", "BTCUSDT"),
        ("btcusdt.p", "BTCUSDT"),
        ("btcusdt perp", "BTCUSDT"),
        ("btc usdt", "BTCUSDT"),
        ("ethusdc", "ETHUSDC"),
        ("1000pepe", "1000PEPEUSDT"),
        ("BTCUSD", "BTCUSD_PERP"),
        ("BTCUSDT_260327", "BTCUSDT_260327"),
        ("币安人生", "币安人生USDT"),
    ],
)
def test_symbol_is_understood_as_people_write_it(text: str, symbol: str):
    market = Market(Exchange.BINANCE, parse_symbol(text))
    assert complete_symbol(market, is_known=lambda _: False, are_all_known=False).symbol == symbol


@pytest.mark.parametrize(
    ("exchange", "typed", "known", "symbol"),
    [
        (Exchange.BYBIT, "btcperp", "BTCPERP", "BTCPERP"),
        (Exchange.BYBIT, "btc perp", "BTCUSDT", "BTC-PERP"),
        (Exchange.BYBIT, "ETHPERP", "ETHUSDT", "ETHPERP"),
        (Exchange.BYBIT, "HYPERP", "HYPERPUSDT", "HYPERPUSDT"),
        (Exchange.BYBIT, "BTCUSDC", "BTCPERP", "BTCPERP"),
        (Exchange.BYBIT, "BTCUSDH24", "BTCUSDT", "BTCUSDH24"),
        (Exchange.BINANCE, "ethbtc", "ETHBTC", "ETHBTC"),
        (Exchange.BINANCE, "BTCUSD1", "BTCUSD1", "BTCUSD1"),
        (Exchange.BINANCE, "ETHU", "ETHU", "ETHU"),
        (Exchange.BINANCE, "ADABUSD", "ADABUSD", "ADABUSD"),
        (Exchange.BINANCE, "PERP", "PERPUSDT", "PERPUSDT"),
        (Exchange.BINANCE, "HYPERP", "HYPERPUSDT", "HYPERPUSDT"),
        (Exchange.BINANCE, "btc/usdt:usdt", "BTCUSDT", "BTCUSDT"),
        (Exchange.BINANCE, "BTC_USDT", "BTCUSDT", "BTCUSDT"),
        (Exchange.BINANCE, "BTC-USD-SWAP", "BTC-USD-SWAP", "BTC-USD-SWAP"),
    ],
)
def test_symbol_that_is_known_is_taken_as_it_stands_or_else_the_first_known_that_it_may_mean(
    exchange: Exchange, typed: str, known: str, symbol: str
):
    market = Market(exchange, parse_symbol(typed))
    assert (
        complete_symbol(market, is_known=lambda each: each.symbol == known, are_all_known=True).symbol
        == symbol
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "../../etc/passwd",
        "BTC;DROP TABLE",
        "B\u202eTC",
        "A" * 61,
        "@everyone",
        "A" * 40,
        "BINANCE:BTCUSDT",
    ],
)
def test_invalid_symbol_is_refused_with_an_example(text: str):
    with pytest.raises(RequestError, match=r"try BTCUSDT|cannot be read"):
        parse_symbol(text)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("6h", timedelta(hours=6)),
        ("6H", timedelta(hours=6)),
        ("6 hours", timedelta(hours=6)),
        ("90m", timedelta(minutes=90)),
        ("30 sec", timedelta(seconds=30)),
        ("1d12h", timedelta(hours=36)),
        ("1d 12h", timedelta(hours=36)),
        ("2 weeks", timedelta(days=14)),
    ],
)
def test_window_is_understood_as_people_write_it(text: str, length: timedelta):
    assert parse_window(text) == length


@pytest.mark.parametrize(
    "text", ["", "0h", "h", "6", "-1h", "6x", "1e3h", "6h!", "٦h", "6h" * 40, "1.5h", "NaN"]
)
def test_invalid_window_is_refused_with_an_example(text: str):
    with pytest.raises(RequestError, match=r"try 6h, 90m or 7d|cannot be read"):
        parse_window(text)


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("top_n", Mode.TOP_N),
        ("Top-N", Mode.TOP_N),
        ("gross", Mode.GROSS_VALUE),
        ("gross value", Mode.GROSS_VALUE),
        ("PORTION", Mode.PORTION),
    ],
)
def test_mode_is_understood_as_people_write_it(text: str, mode: Mode):
    assert parse_mode(text) == mode


def test_unknown_mode_is_refused_with_the_known_ones():
    with pytest.raises(RequestError, match="“best” is not a mode; try top_n, gross_value or portion"):
        parse_mode("best")


@pytest.mark.parametrize("text", ["100k", "100", "1%", "0.01"])
def test_value_in_place_of_a_mode_is_refused_with_an_example(text: str):
    with pytest.raises(RequestError) as caught:
        parse_mode(text)
    assert str(caught.value) == (
        f"The value “{text}” needs its mode before it, such as top_n 100 or gross_value 100k."
    )


@pytest.mark.parametrize(
    ("mode", "text", "selection"),
    [
        (Mode.TOP_N, None, TopN(100)),
        (Mode.TOP_N, "1_000", TopN(1000)),
        (Mode.TOP_N, "1k", TopN(1000)),
        (Mode.TOP_N, "0.57k", TopN(570)),
        (Mode.TOP_N, "2.01k", TopN(2010)),
        (Mode.GROSS_VALUE, None, GrossValue(100_000)),
        (Mode.GROSS_VALUE, "2.01m", GrossValue(2_010_000)),
        (Mode.PORTION, "0.7%", Portion(0.007)),
        (Mode.GROSS_VALUE, "100 000", GrossValue(100_000)),
        (Mode.GROSS_VALUE, "100,000", GrossValue(100_000)),
        (Mode.GROSS_VALUE, "0.1m", GrossValue(100_000)),
        (Mode.GROSS_VALUE, "$100K", GrossValue(100_000)),
        (Mode.GROSS_VALUE, "100k usdt", GrossValue(100_000)),
        (Mode.GROSS_VALUE, "12.5", GrossValue(12.5)),
        (Mode.PORTION, None, Portion(0.01)),
        (Mode.PORTION, "1%", Portion(0.01)),
        (Mode.PORTION, "0.01", Portion(0.01)),
        (Mode.PORTION, ".5 %", Portion(0.005)),
    ],
)
def test_value_is_understood_as_people_write_it(mode: Mode, text: str | None, selection: Selection):
    assert parse_selection(mode, text) == selection


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "many",
        "-5",
        "0",
        "NaN",
        "inf",
        "1e309",
        "0x10",
        "1e5",
        "٣",
        "1 %%",
        "9" * 30,
        "1;2",
        "`1`",
        "150%%",
    ],
)
def test_invalid_value_is_refused_in_one_sentence(mode: Mode, text: str):
    with pytest.raises(RequestError) as caught:
        parse_selection(mode, text)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("mode", "text"),
    [(Mode.TOP_N, "1.5"), (Mode.TOP_N, "1%"), (Mode.GROSS_VALUE, "1%"), (Mode.PORTION, "150%")],
)
def test_value_of_another_mode_is_refused(mode: Mode, text: str):
    with pytest.raises(RequestError):
        parse_selection(mode, text)


def test_exchange_and_theme_are_understood_in_any_case():
    assert parse_exchange("BYBIT") == Exchange.BYBIT
    assert parse_theme(" Light ") == Theme.LIGHT
    with pytest.raises(RequestError, match="try binance, bybit or okx"):
        parse_exchange("mtgox")
    with pytest.raises(RequestError, match="try dark or light"):
        parse_theme("pink")


@pytest.mark.parametrize(
    ("text", "end"),
    [
        (None, datetime(2026, 11, 23, 9, 5, tzinfo=UTC)),
        ("2023-08-01 06:00", datetime(2023, 8, 1, 6, tzinfo=UTC)),
        ("2023-08-01 6:00", datetime(2023, 8, 1, 6, tzinfo=UTC)),
        ("2023-08-01", datetime(2023, 8, 1, tzinfo=UTC)),
        ("2023-08-01T06:00:10Z", datetime(2023, 8, 1, 6, 0, 10, tzinfo=UTC)),
        ("2023-08-01 06:00 UTC", datetime(2023, 8, 1, 6, tzinfo=UTC)),
        ("2026-11-23 09:05:31", datetime(2026, 11, 23, 9, 5, 31, tzinfo=UTC)),
    ],
)
def test_end_is_understood_in_utc_and_now_is_floored_to_the_minute(text: str | None, end: datetime):
    assert parse_end(text, now=NOW) == end


@pytest.mark.parametrize(
    "text", ["yesterday", "2023-13-01", "2023-02-30 01:00", "01.08.2023", "2023-08-01 25:00", ""]
)
def test_invalid_end_is_refused_with_an_example(text: str):
    with pytest.raises(RequestError, match=r"try 2023-08-01 06:00|cannot be read"):
        parse_end(text, now=NOW)


def test_end_in_the_future_is_refused():
    with pytest.raises(RequestError, match="lies in the future; leave it out to end now"):
        parse_end("2026-11-23 09:06", now=NOW)


def checked(
    exchange: Exchange = Exchange.BINANCE,
    symbol: str = "BTCUSDT",
    length: timedelta = timedelta(hours=6),
    end: datetime = datetime(2023, 8, 1, 6, tzinfo=UTC),
    **options: Any,
) -> MapRequest:
    request = MapRequest((Market(exchange, symbol),), TimeWindow.ending(end, length), TopN(100), **options)
    return check_request(request, max_days=90)


def test_checked_request_is_the_same():
    window = TimeWindow(datetime(2023, 8, 1, tzinfo=UTC), datetime(2023, 8, 1, 6, tzinfo=UTC))
    same = MapRequest(BTCUSDT, window, TopN(100), pictures=ALL_PICTURES)
    assert checked(pictures=ALL_PICTURES) == same


def test_request_beyond_the_longest_window_is_refused():
    assert checked(length=timedelta(days=90))
    with pytest.raises(RequestError, match="longer than 90 days"):
        checked(length=timedelta(days=91))


@pytest.mark.parametrize("words", [{"text": "999999w"}, {"text": "6h", "end": "0001-01-01"}])
def test_window_that_reaches_back_to_before_the_calendar_is_refused(words: dict[str, str]):
    with pytest.raises(RequestError, match="reaches back too far"):
        checked(length=parse_window(words["text"]), end=parse_end(words.get("end"), now=NOW))


def test_request_before_the_exchange_publishes_is_refused():
    with pytest.raises(RequestError, match="Bybit linear trades are published from 2020-03-25 on"):
        checked(Exchange.BYBIT, end=datetime(2020, 1, 1, tzinfo=UTC))


def test_what_doors_suggest_is_understood():
    for symbol in POPULAR_SYMBOLS:
        market = Market(Exchange.BINANCE, parse_symbol(symbol))
        assert complete_symbol(market, is_known=lambda _: False, are_all_known=False) == market
    assert all(parse_window(window) <= timedelta(days=90) for window in COMMON_WINDOWS)
    assert all(parse_selection(mode, value) for mode, value in DEFAULT_VALUES.items())


@pytest.mark.parametrize(
    ("text", "shown"),
    [("BTCUSD_PERP", "“BTCUSD_PERP”"), ("_x_", "“x”"), ("a_*_b", "“ab”"), ("__u__ top_m", "“u top_m”")],
)
def test_words_are_quoted_as_they_were_typed_but_for_markup(text: str, shown: str):
    assert quoted(text) == shown


@given(text=st.text(max_size=100))
def test_any_text_is_understood_or_refused_with_one_clean_sentence(text: str):
    for parse in (
        parse_symbol,
        parse_window,
        parse_mode,
        parse_exchange,
        lambda each: parse_end(each, now=NOW),
        *(lambda each, mode=mode: parse_selection(mode, each) for mode in Mode),
    ):
        try:
            parse(text)
        except RequestError as error:
            sentence = str(error)
            assert sentence.isprintable()
            assert len(sentence) < 200
            assert not set("`@<>*[]") & set(sentence)


@pytest.mark.parametrize("text", ["binance", " Bybit ", "SIMPLE", "exchange"])
def test_model_is_understood(text: str):
    assert parse_model(text) is MarginModel(text.strip().lower())


def test_levels_and_chart_are_understood():
    assert parse_levels("All") is LevelFilter.ALL
    assert parse_chart(None) == PICTURES
    assert parse_chart("Heatmap") == PICTURES | {Picture.HEATMAP}


@pytest.mark.parametrize("chart", CHARTS)
def test_chart_is_understood_by_its_name_and_has_words(chart: Picture):
    assert parse_chart(chart) == PICTURES | {chart}
    assert CHART_TEXTS[chart]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10,25,50,100", ((10, 25, 50, 100), (1, 1, 1, 1))),
        ("100x, 5x", ((5, 100), (1, 1))),
        ("10:35, 25:30, 50:20%, 100:15.5", ((10, 25, 50, 100), (35, 30, 20, 15.5))),
        ("50", ((50,), (1,))),
    ],
)
def test_leverages_are_understood_with_their_weights(
    text: str, expected: tuple[tuple[int, ...], tuple[float, ...]]
):
    assert parse_leverages(text) == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("10,10", "have one of them twice"),
        ("1,2,3,4,5,6,7,8,9", "At most 8 leverages are drawn, and these are 9."),
        ("10:a", "The weight “a” of leverage 10 must be a plain number above 0; try 10:35,25:30,50:20,"),
        ("10:5,25:-1", "The weight “-1” of leverage 25 must be"),
        ("1000", "must be whole numbers up to 150, with or without weights; try 10,25,50,100 or 10:35,25:30"),
    ],
)
def test_leverages_are_refused_with_a_sentence_that_fits(text: str, sentence: str):
    with pytest.raises(RequestError, match=re.escape(sentence)):
        parse_leverages(text)


@pytest.mark.parametrize("text", ["", "10,,20", "ten", "10:", "10;20", "1e2", "-5"])
def test_invalid_leverages_are_refused_with_an_example(text: str):
    with pytest.raises(RequestError, match=r"try 10,25,50,100|cannot be read"):
        parse_leverages(text)


@pytest.mark.parametrize(
    ("parse", "text", "sentence"),
    [
        (parse_model, "kraken", "try exchange, binance, bybit, okx or simple"),
        (parse_levels, "most", "try standing or all"),
        (parse_chart, "pie", f"try {' or '.join(CHARTS)}, or leave it out"),
    ],
)
def test_unknown_words_are_refused_with_those_that_are_known(
    parse: Callable[[str], object], text: str, sentence: str
):
    with pytest.raises(RequestError, match=sentence):
        parse(text)


def test_model_of_a_request_is_the_exchange_s_own_unless_said():
    assert checked().model is MarginModel.BINANCE
    assert checked(exchange=Exchange.BYBIT).model is MarginModel.BYBIT
    assert checked(model=MarginModel.SIMPLE).model is MarginModel.SIMPLE
    assert checked(model=MarginModel.EXCHANGE) == checked(model=MarginModel.BINANCE)


@pytest.mark.parametrize(
    ("exchange", "typed", "symbol"),
    [
        (Exchange.BINANCE, "BTCUSD", "BTCUSD_PERP"),
        (Exchange.BINANCE, "btcusd_perp", "BTCUSD_PERP"),
        (Exchange.BYBIT, "BTCUSD_PERP", "BTCUSD"),
        (Exchange.BYBIT, "btc/usd", "BTCUSD"),
    ],
)
def test_inverse_symbols_are_spelled_as_the_exchange_does(exchange: Exchange, typed: str, symbol: str):
    market = Market(exchange, parse_symbol(typed))
    assert complete_symbol(market, is_known=lambda _: False, are_all_known=False).symbol == symbol


@pytest.mark.parametrize(
    "options", [{"leverages": (1,)}, {"leverages": (10, 151)}, {"weights": (1.0,)}, {"weights": (1, 1, 1, 0)}]
)
def test_request_with_leverages_that_cannot_be_is_refused(options: dict[str, Any]):
    with pytest.raises(RequestError, match="everage"):
        checked(**options)


@pytest.mark.parametrize("typed", ["5", "5%", " 5 % "])
def test_distance_is_in_percent_with_or_without_the_sign(typed: str):
    assert parse_distance(typed, example="5%") == 0.05


@pytest.mark.parametrize(("typed", "farthest"), [("0", 1.0), ("101", 1.0), ("much", 1.0), ("11%", 0.1)])
def test_distance_outside_its_bounds_is_refused(typed: str, farthest: float):
    with pytest.raises(RequestError, match=f"up to {farthest:.0%}; try 1%"):
        parse_distance(typed, farthest=farthest, example="1%")


@pytest.mark.parametrize(("text", "side"), [("long", Side.BUY), (" Short ", Side.SELL), (None, None)])
def test_side_is_that_of_the_trades_that_open_such_positions(text: str | None, side: Side | None):
    assert parse_side(text) is side


@pytest.mark.parametrize("text", ["buy", "", "longs"])
def test_side_that_is_neither_long_nor_short_is_refused(text: str):
    with pytest.raises(RequestError, match="side"):
        parse_side(text)
