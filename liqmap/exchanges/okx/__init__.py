"""OKX: the formats of its files, REST answers and streams of linear swaps."""

from datetime import timedelta
from typing import Final

from liqmap.exchanges.exchange_row import ExchangeMargin, ExchangeRow, PastLiquidations, RequestLimits
from liqmap.exchanges.okx.files import MARKETS, Okx
from liqmap.exchanges.okx.listing import OkxInstruments, OkxListing
from liqmap.exchanges.okx.live import OkxBackfill, OkxLiquidationPages, OkxLive
from liqmap.exchanges.okx.pages import busy
from liqmap.exchanges.okx.risk_limits import OkxPositionTiers
from liqmap.exchanges.okx.series import SERIES
from liqmap.exchanges.okx.server_time import OkxTime
from liqmap.exchanges.okx.volumes import OkxVolumes
from liqmap.model import MarginModel, MarginRule, Valuation

_FILES = Okx()
# For takers of the lowest fee class. OKX counts the fee for closing as maintenance margin.
_FEE = 0.0005

ROW: Final = ExchangeRow(
    label="OKX",
    letter="o",
    margin=ExchangeMargin(
        MarginModel.OKX,
        rules=(MarginRule(Valuation.SIZE, fee=_FEE),),
        brackets_source="OKX's position tiers (GET /api/v5/public/position-tiers), isolated",
        risk_limits=OkxPositionTiers(),
    ),
    markets=MARKETS,
    contract=_FILES.contract,
    files=_FILES,
    live=OkxLive(),
    listing=OkxListing(),
    time=OkxTime(),
    # OKX counts requests in spans of two seconds, after which it takes more.
    limits=RequestLimits(timedelta(seconds=2), busy=busy, wait=2.0),
    liquidations=PastLiquidations(pages=OkxLiquidationPages()),
    backfill=OkxBackfill(),
    series=SERIES,
    volumes=OkxVolumes(),
    instruments=OkxInstruments(),
)
