from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqmap.errors import RequestError
from liqmap.exchanges import EXCHANGES
from liqmap.model import Exchange, Market
from liqmap.parsing import parse_symbol

BINANCE, BYBIT, OKX = Exchange.BINANCE, Exchange.BYBIT, Exchange.OKX


@pytest.mark.parametrize(
    ("exchange", "word", "symbol"),
    [
        (BINANCE, "BTC", "BTCUSDT"),
        (BINANCE, "BTC-USDT", "BTCUSDT"),
        (BINANCE, "BTCUSDT-PERP", "BTCUSDT"),
        (BINANCE, "BTCPERP", "BTCUSDT"),
        (BINANCE, "ETHUSDC", "ETHUSDC"),
        (BINANCE, "ADABUSD", "ADABUSD"),
        (BINANCE, "BTCUSD", "BTCUSD_PERP"),
        (BINANCE, "BTC-USD", "BTCUSD_PERP"),
        (BINANCE, "BTCUSD_PERP", "BTCUSD_PERP"),
        (BINANCE, "BTCUSD_261225", "BTCUSD_261225"),
        (BINANCE, "BTCUSDT_260327", "BTCUSDT_260327"),
        (BINANCE, "PERP", "PERPUSDT"),
        (BINANCE, "USDC", "USDCUSDT"),
        (BINANCE, "币安人生", "币安人生USDT"),
        (BINANCE, "BTC-USDT-SWAP", "BTCUSDT"),
        (BINANCE, "ETH-USDC-SWAP", "ETHUSDC"),
        (BINANCE, "BTC-USD-SWAP", "BTCUSD_PERP"),
        (BINANCE, "SUSHISWAP", "SUSHISWAPUSDT"),
        (BYBIT, "BTC", "BTCUSDT"),
        (BYBIT, "BTCPERP", "BTCPERP"),
        (BYBIT, "1000BTTPERP", "1000BTTPERP"),
        (BYBIT, "BTCUSDT-PERP", "BTCUSDT"),
        (BYBIT, "BTCUSD", "BTCUSD"),
        (BYBIT, "BTCUSD_PERP", "BTCUSD"),
        (BYBIT, "BTCUSDH24", "BTCUSDH24"),
        (BYBIT, "BTC-26JUN26", "BTC-26JUN26"),
        (BYBIT, "BTCUSDT-26JUN26", "BTCUSDT-26JUN26"),
        (BYBIT, "PERP", "PERPUSDT"),
        (BYBIT, "BTC-USDT-SWAP", "BTCUSDT"),
        (BYBIT, "BTC-USD-SWAP", "BTCUSD"),
        (BYBIT, "SWAP", "SWAPUSDT"),
        (OKX, "BTC", "BTCUSDT"),
        (OKX, "BTC-USDT-SWAP", "BTCUSDT"),
        (OKX, "BTC-USDT", "BTCUSDT"),
        (OKX, "ETH-USDC-SWAP", "ETHUSDC"),
        (OKX, "BTCUSDTPERP", "BTCUSDT"),
        (OKX, "SWAP", "SWAPUSDT"),
        (OKX, "BTC-USD-SWAP", "BTCUSD"),
        (OKX, "BTC-USDT-260327", "BTC-USDT-260327"),
    ],
)
def test_word_means_its_usual_contract_if_no_symbols_are_known(exchange: Exchange, word: str, symbol: str):
    spellings = EXCHANGES[exchange].listing.spellings(word)
    assert spellings.default == symbol
    assert spellings.names[0] == word


def test_usdc_contract_of_bybit_is_among_the_names():
    assert "BTCPERP" in EXCHANGES[BYBIT].listing.spellings("BTCUSDC").names


@pytest.mark.parametrize("exchange", Exchange)
@given(text=st.from_regex(r"[A-Za-z0-9]{1,12}([-_/ ][A-Za-z0-9]{1,12}){0,2}", fullmatch=True))
def test_every_word_stands_first_and_all_it_may_mean_are_symbols(exchange: Exchange, text: str):
    try:
        word = parse_symbol(text)
    except RequestError:
        return
    spellings = EXCHANGES[exchange].listing.spellings(word)
    assert spellings.names[0] == word
    assert spellings.default in spellings.names
    assert len(set(spellings.names)) == len(spellings.names)
    for name in spellings.names:
        assert Market(exchange, name).symbol == name
    # What has been completed is complete.
    again = EXCHANGES[exchange].listing.spellings(spellings.default)
    assert again.default == spellings.default
