"""The exchanges that the engine knows."""

from liqmap.exchanges.binance import Binance
from liqmap.exchanges.binance_live import BinanceBackfill, BinanceLive
from liqmap.exchanges.bybit import Bybit
from liqmap.exchanges.bybit_live import BybitLive
from liqmap.exchanges.live import Backfill, LiveFormat
from liqmap.exchanges.protocol import ExchangeFormat
from liqmap.model import Exchange

EXCHANGES: dict[Exchange, ExchangeFormat] = {Exchange.BINANCE: Binance(), Exchange.BYBIT: Bybit()}
LIVE: dict[Exchange, LiveFormat] = {Exchange.BINANCE: BinanceLive(), Exchange.BYBIT: BybitLive()}
BACKFILL: dict[Exchange, Backfill] = {Exchange.BINANCE: BinanceBackfill()}
"""Bybit's REST gives the newest 1000 trades and no way to those before."""
