"""Bybit: the formats of its files, REST answers and streams."""

from typing import Final

from liqmap.exchanges.bybit.files import Bybit
from liqmap.exchanges.bybit.listing import BybitListing
from liqmap.exchanges.bybit.live import BybitLive
from liqmap.exchanges.protocol import ExchangeRow
from liqmap.model import MarginModel

_FILES = Bybit()

# There is no backfill: Bybit's REST gives the newest 1000 trades and no way to those before.
ROW: Final = ExchangeRow(
    label="Bybit",
    letter="y",
    model=MarginModel.BYBIT,
    contract=_FILES.contract,
    spelled=_FILES.spelled,
    files=_FILES,
    live=BybitLive(),
    listing=BybitListing(),
    used_weight=lambda _: None,
)
