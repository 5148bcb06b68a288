"""Bybit: the formats of its files, REST answers and streams."""

from datetime import date
from typing import Final

from liqmap.exchanges.bybit.files import MARKETS, Bybit
from liqmap.exchanges.bybit.listing import BybitListing
from liqmap.exchanges.bybit.live import BybitLive
from liqmap.exchanges.bybit.risk_limits import BybitRiskLimits
from liqmap.exchanges.bybit.series import SERIES
from liqmap.exchanges.bybit.server_time import BybitTime
from liqmap.exchanges.bybit.volumes import BybitVolumes
from liqmap.exchanges.exchange_row import ExchangeMargin, ExchangeRow
from liqmap.model import MarginModel, MarginRule, Valuation

_FILES = Bybit()

# The new rule applies to linear and inverse contracts, and also to positions that were open on that day. So
# the end of a window decides which rule its map uses (help page "Understanding the Adjustment and Impact of
# the New Margin Calculation"). The fee for closing is part of both margins, and cancels.
_MARGIN_ON_MARK = date(2025, 9, 2)

# There is no backfill: Bybit's REST API serves the newest 1000 trades and none before them.
ROW: Final = ExchangeRow(
    label="Bybit",
    letter="y",
    margin=ExchangeMargin(
        MarginModel.BYBIT,
        rules=(
            MarginRule(Valuation.ENTRY, until=_MARGIN_ON_MARK),
            MarginRule(Valuation.MARK, since=_MARGIN_ON_MARK),
        ),
        brackets_source="Bybit's risk limits (GET /v5/market/risk-limit)",
        risk_limits=BybitRiskLimits(),
    ),
    markets=MARKETS,
    contract=_FILES.contract,
    files=_FILES,
    live=BybitLive(),
    listing=BybitListing(),
    time=BybitTime(),
    series=SERIES,
    volumes=BybitVolumes(),
    stores_fills=True,  # neither files nor streams say which fills are one order
)
