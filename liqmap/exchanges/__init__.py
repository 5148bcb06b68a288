"""The exchanges that the engine knows."""

from liqmap.exchanges.binance import Binance
from liqmap.exchanges.bybit import Bybit
from liqmap.exchanges.protocol import ExchangeFormat
from liqmap.model import Exchange

EXCHANGES: dict[Exchange, ExchangeFormat] = {Exchange.BINANCE: Binance(), Exchange.BYBIT: Bybit()}
