"""Liquidation maps of crypto futures from actual trades: download, filter, compute, render.

One call draws one map, in a script or a notebook:

    result = liqmap.draw("BTCUSDT", "6h", "top_n 100")

Programs that draw many keep an engine and give it requests:

    market = Market(Exchange.BINANCE, "BTCUSDT")
    async with Engine(load_settings()) as engine:
        result = await engine.draw(MapRequest((market,), window, TopN(100)))
"""

from importlib import import_module
from typing import TYPE_CHECKING

from liqmap.compute.scan import NearCluster, ScannedMarket, ScanRequest, ScanResult
from liqmap.errors import (
    DataError,
    EngineBusy,
    JobFailed,
    LiqmapError,
    NoMainGuard,
    NotCovered,
    NotPublished,
    RequestError,
    SettingsError,
)
from liqmap.model import (
    ALL_PICTURES,
    CHARTS,
    DEFAULT_EXCHANGE,
    LEVERAGES,
    PICTURES,
    Band,
    Cluster,
    Coverage,
    Exchange,
    Gap,
    GapKind,
    GrossValue,
    LevelFilter,
    MapRequest,
    MapSummary,
    MarginBasis,
    MarginModel,
    Market,
    Mode,
    Picture,
    Portion,
    PositionModel,
    Progress,
    Selection,
    Side,
    Stack,
    SweepPrice,
    Theme,
    TopN,
)
from liqmap.model.window import TimeWindow
from liqmap.version import __version__

if TYPE_CHECKING:
    from liqmap.clock import Clock, SteadyClock, SystemClock, utc_now
    from liqmap.collect.clients import clock_problem, exchange_addresses
    from liqmap.exchanges import EXCHANGES
    from liqmap.live.status import SymbolStatus, clock_warning
    from liqmap.run.accuracy_report import DrawnReport
    from liqmap.run.calls import adraw, draw
    from liqmap.run.dask import ClusterStatus
    from liqmap.run.engine import Engine
    from liqmap.run.reach import reach_cluster, reach_shared_store
    from liqmap.run.result import MapResult
    from liqmap.settings import Settings, load_settings
    from liqmap.store.damaged import damage_warning

__all__ = [
    "ALL_PICTURES",
    "CHARTS",
    "DEFAULT_EXCHANGE",
    "EXCHANGES",
    "LEVERAGES",
    "PICTURES",
    "Band",
    "Clock",
    "Cluster",
    "ClusterStatus",
    "Coverage",
    "DataError",
    "DrawnReport",
    "Engine",
    "EngineBusy",
    "Exchange",
    "Gap",
    "GapKind",
    "GrossValue",
    "JobFailed",
    "LevelFilter",
    "LiqmapError",
    "MapRequest",
    "MapResult",
    "MapSummary",
    "MarginBasis",
    "MarginModel",
    "Market",
    "Mode",
    "NearCluster",
    "NoMainGuard",
    "NotCovered",
    "NotPublished",
    "Picture",
    "Portion",
    "PositionModel",
    "Progress",
    "RequestError",
    "ScanRequest",
    "ScanResult",
    "ScannedMarket",
    "Selection",
    "Settings",
    "SettingsError",
    "Side",
    "Stack",
    "SteadyClock",
    "SweepPrice",
    "SymbolStatus",
    "SystemClock",
    "Theme",
    "TimeWindow",
    "TopN",
    "__version__",
    "adraw",
    "clock_problem",
    "clock_warning",
    "damage_warning",
    "draw",
    "exchange_addresses",
    "load_settings",
    "reach_cluster",
    "reach_shared_store",
    "utc_now",
]

if not TYPE_CHECKING:
    # Importing any module of the package imports this one too. Worker processes need neither network nor
    # settings, and are smaller and start faster without them.
    _IMPORTED_WHEN_ASKED_FOR = {
        "Clock": "liqmap.clock",
        "adraw": "liqmap.run.calls",
        "draw": "liqmap.run.calls",
        "DrawnReport": "liqmap.run.accuracy_report",
        "EXCHANGES": "liqmap.exchanges",
        "clock_problem": "liqmap.collect.clients",
        "exchange_addresses": "liqmap.collect.clients",
        "ClusterStatus": "liqmap.run.dask",
        "Engine": "liqmap.run.engine",
        "MapResult": "liqmap.run.result",
        "Settings": "liqmap.settings",
        "SteadyClock": "liqmap.clock",
        "SymbolStatus": "liqmap.live.status",
        "clock_warning": "liqmap.live.status",
        "damage_warning": "liqmap.store.damaged",
        "SystemClock": "liqmap.clock",
        "load_settings": "liqmap.settings",
        "reach_cluster": "liqmap.run.reach",
        "reach_shared_store": "liqmap.run.reach",
        "utc_now": "liqmap.clock",
    }

    def __getattr__(name: str) -> object:
        if name in _IMPORTED_WHEN_ASKED_FOR:
            return getattr(import_module(_IMPORTED_WHEN_ASKED_FOR[name]), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
