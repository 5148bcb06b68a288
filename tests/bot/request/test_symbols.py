from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.request.symbols import Refusal, Symbols
from liqmap.collect.listings import Listings
from liqmap.errors import DataError, LiqmapError, NotPublished, RequestError
from liqmap.model import Exchange, MapRequest, Market
from liqmap.model.window import TimeWindow
from liqmap.parsing import POPULAR_SYMBOLS
from tests.bot.conftest import REQUEST


class Listed(Listings):
    """Exchanges' lists, as far as commands ask for them."""

    def __init__(self, *ranked: str) -> None:
        self._ranked = ranked

    def ranked(self, exchange: Exchange) -> tuple[str, ...]:
        del exchange
        return self._ranked

    async def meant(self, market: Market, window: TimeWindow) -> Market:
        del window
        return replace(market, symbol=market.symbol.removesuffix("USDT") + "USDT")

    async def suggesting(self, error: Refusal, request: MapRequest, *, typed: str) -> Refusal:
        del request
        return type(error)(f"{error} Typed: {typed}.")


@pytest.mark.parametrize("error", [RequestError("No."), NotPublished("No.")])
async def test_error_of_a_symbol_is_explained_with_what_was_typed(error: LiqmapError):
    listings: Any = Listed()
    with pytest.raises(type(error)) as caught:
        async with Symbols.of(listings).explaining(REQUEST, typed="btc usd"):
            raise error
    assert str(caught.value) == "No. Typed: btc usd."


async def test_other_errors_are_passed_on():
    listings: Any = Listed()
    with pytest.raises(DataError, match=r"^No\.$"):
        async with Symbols.of(listings).explaining(REQUEST, typed="btc"):
            raise DataError("No.")


async def test_symbols_are_completed_and_offered_as_the_lists_say():
    listings: Any = Listed("ETHUSDT", "BTCUSDT")
    symbols = Symbols.of(listings)
    assert await symbols.completed(replace(REQUEST, markets=(Market(Exchange.BINANCE, "BTC"),))) == REQUEST
    assert symbols.offered(Exchange.BYBIT) == ("ETHUSDT", "BTCUSDT")


async def test_symbols_without_lists_stand_as_they_are():
    listings: Any = Listed()
    assert await Symbols().completed(REQUEST) is REQUEST
    assert Symbols().offered(Exchange.BINANCE) == POPULAR_SYMBOLS
    assert Symbols.of(listings).offered(Exchange.BINANCE) == POPULAR_SYMBOLS
    with pytest.raises(RequestError, match=r"^No\.$"):
        async with Symbols().explaining(REQUEST, typed="btc"):
            raise RequestError("No.")
