"""The exchanges that the engine knows: a folder and a row each."""

from typing import Final

from liqmap.exchanges import binance, bybit, okx
from liqmap.exchanges.exchange_row import ExchangeRow
from liqmap.model import Exchange, MarginModel

EXCHANGES: Final[dict[Exchange, ExchangeRow]] = {
    Exchange.BINANCE: binance.ROW,
    Exchange.BYBIT: bybit.ROW,
    Exchange.OKX: okx.ROW,
}
"""All that differs by exchange. Other modules look it up here instead of naming an exchange."""

OWNERS: Final[dict[MarginModel, Exchange]] = {
    row.margin.model: exchange for exchange, row in EXCHANGES.items()
}
"""The exchange of each margin model, whose brackets the model uses."""
