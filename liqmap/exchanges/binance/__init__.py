"""Binance: the formats of its files, REST answers and streams."""

from typing import Final

from liqmap.exchanges.binance.files import MARKETS, Binance
from liqmap.exchanges.binance.liquidation_files import BinanceLiquidationFiles
from liqmap.exchanges.binance.listing import BinanceListing
from liqmap.exchanges.binance.live import BinanceBackfill, BinanceLive
from liqmap.exchanges.binance.series import SERIES
from liqmap.exchanges.binance.server_time import BinanceTime
from liqmap.exchanges.binance.volumes import BinanceVolumes
from liqmap.exchanges.exchange_row import ExchangeMargin, ExchangeRow, PastLiquidations, RequestLimits
from liqmap.model import MarginModel, MarginRule, Valuation

_FILES, _BACKFILL = Binance(), BinanceBackfill()

ROW: Final = ExchangeRow(
    label="Binance",
    letter="b",
    margin=ExchangeMargin(
        MarginModel.BINANCE,
        # Without `risk_limits`: by REST, Binance shows its brackets only to account holders.
        rules=(MarginRule(Valuation.MARK),),
        brackets_source="Binance's USD-M leverage brackets (stream !contractInfo)",
    ),
    markets=MARKETS,
    contract=_FILES.contract,
    files=_FILES,
    live=BinanceLive(),
    listing=BinanceListing(),
    time=BinanceTime(),
    limits=RequestLimits(used_weight=_BACKFILL.used_weight),
    liquidations=PastLiquidations(files=BinanceLiquidationFiles()),
    backfill=_BACKFILL,
    series=SERIES,
    volumes=BinanceVolumes(),
)
