from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.request.symbols import Symbols, listed, suggesting
from liqmap.collect.listings import Listings
from liqmap.errors import DataError, NotPublished, RequestError
from liqmap.model import Exchange, Market
from liqmap.parsing import POPULAR_SYMBOLS
from liqmap.window import TimeWindow
from tests.bot.conftest import REQUEST, FakeDraw


class Listed(Listings):
    """An exchange's list, as far as suggestions ask for it."""

    def __init__(self, *near: str) -> None:
        self._near = near

    async def near(self, exchange: Exchange, symbol: str) -> tuple[str, ...]:
        del exchange, symbol
        return self._near

    async def meant(self, market: Market, window: TimeWindow) -> Market:
        del window
        return replace(market, symbol=market.symbol.removesuffix("USDT") + "USDT")

    def trading(self, exchange: Exchange) -> frozenset[str]:
        return frozenset({"BTCUSDT", f"A{exchange.upper()}"})


@pytest.mark.parametrize("error", [RequestError("No."), DataError("No."), NotPublished("No.")])
@pytest.mark.parametrize(
    ("near", "names"), [(("A",), "A"), (("A", "B"), "A or B"), (("A", "B", "C"), "A, B or C")]
)
async def test_error_names_what_may_have_been_meant(error: Exception, near: tuple[str, ...], names: str):
    draw, listings = FakeDraw(), Listed(*near)
    draw.error = error
    typed: Any = listings
    with pytest.raises(type(error)) as caught:
        await suggesting(draw, typed)(REQUEST)
    assert str(caught.value) == f"No. Binance lists no BTCUSDT; did you mean {names}?"


async def test_listed_symbol_s_error_stays_as_it_is():
    draw = FakeDraw()
    draw.error = error = RequestError("No.")
    typed: Any = Listed()
    with pytest.raises(RequestError) as caught:
        await suggesting(draw, typed)(REQUEST)
    assert caught.value is error


async def test_drawn_map_is_passed_on_with_its_progress():
    draw = FakeDraw()
    typed: Any = Listed()
    assert (await suggesting(draw, typed)(REQUEST, progress=lambda _: None)).request == REQUEST


async def test_symbols_are_completed_and_offered_as_the_lists_say():
    typed: Any = Listed()
    symbols = Symbols.of(typed)
    assert await symbols.completed(replace(REQUEST, markets=(Market(Exchange.BINANCE, "BTC"),))) == REQUEST
    assert symbols.offered()[-1] == "ABYBIT"
    assert symbols.offered()[0] == POPULAR_SYMBOLS[0]


async def test_symbols_without_lists_stand_as_they_are():
    assert await Symbols().completed(REQUEST) is REQUEST
    assert Symbols().offered() == POPULAR_SYMBOLS


def test_popular_symbols_are_offered_first():
    typed: Any = Listed()
    assert listed(typed) == (*POPULAR_SYMBOLS, "ABINANCE", "ABYBIT")
