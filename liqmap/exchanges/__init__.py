"""The exchanges that the engine knows: a folder and a row each."""

from typing import Final

from liqmap.exchanges import binance, bybit
from liqmap.exchanges.protocol import ExchangeRow
from liqmap.model import Exchange

EXCHANGES: Final[dict[Exchange, ExchangeRow]] = {Exchange.BINANCE: binance.ROW, Exchange.BYBIT: bybit.ROW}
"""All that differs by exchange; whoever needs it looks it up here instead of naming an exchange."""
