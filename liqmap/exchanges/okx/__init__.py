"""OKX: the formats of its files, REST answers and streams of linear swaps."""

from datetime import timedelta
from typing import Final

from liqmap.exchanges.okx.files import MARKETS, Okx
from liqmap.exchanges.okx.listing import OkxInstruments, OkxListing
from liqmap.exchanges.okx.live import OkxBackfill, OkxLiquidationPages, OkxLive
from liqmap.exchanges.okx.pages import busy
from liqmap.exchanges.okx.risk_limits import OkxPositionTiers
from liqmap.exchanges.okx.series import SERIES
from liqmap.exchanges.okx.server_time import OkxTime
from liqmap.exchanges.okx.volumes import OkxVolumes
from liqmap.exchanges.protocol import ExchangeRow
from liqmap.model import MarginModel, MarginRule, Valuation

_FILES = Okx()
# For takers of the lowest fee class. OKX counts the fee for closing as maintenance margin.
_FEE = 0.0005

ROW: Final = ExchangeRow(
    label="OKX",
    letter="o",
    model=MarginModel.OKX,
    margin_rules=(MarginRule(Valuation.SIZE, fee=_FEE),),
    markets=MARKETS,
    contract=_FILES.contract,
    files=_FILES,
    live=OkxLive(),
    listing=OkxListing(),
    time=OkxTime(),
    used_weight=lambda _: None,
    brackets_source="OKX's position tiers (GET /api/v5/public/position-tiers), isolated",
    backfill=OkxBackfill(),
    risk_limits=OkxPositionTiers(),
    instruments=OkxInstruments(),
    volumes=OkxVolumes(),
    budget_period=timedelta(seconds=2),
    busy=busy,
    limited_wait=2.0,
    liquidation_pages=OkxLiquidationPages(),
    series=SERIES,
)
