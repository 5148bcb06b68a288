from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.request.spec import MapSpec, decode_number, decode_spec, encode_number, encode_spec
from liqmap import CHARTS, PICTURES, Market
from liqmap.errors import RequestError
from liqmap.model import (
    Exchange,
    GrossValue,
    LevelFilter,
    MapRequest,
    MarginModel,
    Portion,
    Theme,
    TopN,
)
from liqmap.model.window import TimeWindow
from tests.bot.conftest import REQUEST

LEVERAGES = st.lists(st.integers(2, 150), min_size=1, max_size=8, unique=True).map(sorted)
SELECTIONS = st.one_of(
    st.integers(1, 1_000_000).map(TopN),
    st.integers(1, 10**9).map(lambda cents: GrossValue(cents / 100)),
    st.integers(1, 10_000).map(lambda parts: Portion(parts / 10_000)),
)


@st.composite
def specs(draw: st.DrawFn) -> MapSpec:
    leverages = tuple(draw(LEVERAGES))
    weights = draw(st.lists(st.integers(1, 9999), min_size=len(leverages), max_size=len(leverages)))
    exchanges = draw(st.lists(st.sampled_from(Exchange), min_size=1, unique=True))
    symbols = st.sampled_from(["BTCUSDT", "1000PEPEUSDT", "BTCUSD_PERP", "币安人生USDT"])
    length = timedelta(minutes=draw(st.integers(1, 90 * 24 * 60)))
    request = MapRequest(
        markets=tuple(Market(each, draw(symbols)) for each in exchanges),
        window=TimeWindow.ending(REQUEST.window.end, length),
        selection=draw(SELECTIONS),
        leverages=leverages,
        weights=tuple(each / 10 for each in weights),
        model=draw(st.sampled_from([each for each in MarginModel if each is not MarginModel.EXCHANGE])),
        levels=draw(st.sampled_from(LevelFilter)),
        theme=draw(st.sampled_from(Theme)),
        pictures=draw(st.sampled_from([PICTURES, *(PICTURES | {chart} for chart in CHARTS)])),
    )
    return MapSpec(request)


@given(specs())
def test_decoded_code_is_the_encoded_spec(spec: MapSpec):
    assert decode_spec(encode_spec(spec)) == spec
    assert encode_spec(spec).isprintable()
    assert len(encode_spec(spec)) <= 300


@given(st.integers(0, 2**64))
def test_decoded_number_is_the_encoded_number(number: int):
    assert decode_number(encode_number(number)) == number


def test_usual_code_is_short():
    assert encode_spec(MapSpec(REQUEST)) == "b~BTCUSDT~go0~t100~bsd-~"


def test_spec_makes_the_request_again():
    assert MapSpec(REQUEST).ending(REQUEST.window.end) == REQUEST
    later = datetime(2026, 1, 1, tzinfo=UTC)
    request = MapSpec(REQUEST).ending(later, levels_csv=True)
    assert isinstance(request, MapRequest)
    assert (request.window.end, request.window.length, request.levels_csv) == (
        later,
        timedelta(hours=6),
        True,
    )


@pytest.mark.parametrize(
    "code",
    [
        "",
        "b~BTCUSDT",
        "z~BTCUSDT~go0~t100~bsd-~",
        "b~../etc~go0~t100~bsd-~",
        "b~BTCUSDT~0~t100~bsd-~",
        "b~BTCUSDT~zzzzzzz~t100~bsd-~",
        "b~BTCUSDT~go0~t1e309~bsd-~",
        "b~BTCUSDT~go0~p-1~bsd-~",
        "b~BTCUSDT~go0~t--~bsd-~",
        "b~BTCUSDT~go0~t100~bsd-~999",
        "b~BTCUSDT~go0~t100~bsd-~100,10",
    ],
)
def test_anything_else_is_refused_with_a_sentence(code: str):
    with pytest.raises(RequestError, match=r"\.$"):
        decode_spec(code)
