"""The exchanges that the engine knows."""

from liqmap.exchanges.binance.files import Binance
from liqmap.exchanges.binance.live import BinanceBackfill, BinanceLive
from liqmap.exchanges.bybit.files import Bybit
from liqmap.exchanges.bybit.live import BybitLive
from liqmap.exchanges.messages import Backfill, LiveFormat
from liqmap.exchanges.protocol import ExchangeFormat
from liqmap.model import Exchange

EXCHANGES: dict[Exchange, ExchangeFormat] = {Exchange.BINANCE: Binance(), Exchange.BYBIT: Bybit()}
LIVE: dict[Exchange, LiveFormat] = {Exchange.BINANCE: BinanceLive(), Exchange.BYBIT: BybitLive()}
BACKFILL: dict[Exchange, Backfill] = {Exchange.BINANCE: BinanceBackfill()}
"""Bybit's REST gives the newest 1000 trades and no way to those before."""
