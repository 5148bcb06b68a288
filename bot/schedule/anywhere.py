"""Alerts that watch all recorded markets: a scan a minute for all that want clusters of one size."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from bot.views.scan import scanned_line
from liqmap import LiqmapError, ScanRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from bot.request.drawing import Scan
    from bot.store.alerts import Alert
    from liqmap import ScannedMarket

log = logging.getLogger(__name__)

_MOST_NAMED, _MOST_FOUND = 3, 50


async def sentences(alerts: Iterable[Alert], scan: Scan, *, end: datetime) -> list[tuple[Alert, str]]:
    """Return the alerts whose condition some market fulfils, each with its sentence."""
    by_size: dict[float, list[Alert]] = {}
    for alert in alerts:
        by_size.setdefault(alert.notional, []).append(alert)
    found: list[tuple[Alert, str]] = []
    for notional, same in by_size.items():
        farthest = max(each.distance for each in same)
        request = ScanRequest(end, least=notional, within=farthest, top=_MOST_FOUND, pictured=False)
        try:
            markets = (await scan(request)).markets
        except LiqmapError as error:
            log.info("alerts of all markets wait: %s", error)
            continue
        for alert in same:
            exchanges = {each.exchange for each in alert.markets}
            near = [
                each
                for each in markets
                if each.market.exchange in exchanges and abs(each.clusters()[0].distance) <= alert.distance
            ]
            if near:
                found.append((alert, _sentence(near)))
    return found


def _sentence(near: Sequence[ScannedMarket]) -> str:
    """Return what is said of markets, the nearest to a cluster first."""
    named = "; ".join(map(scanned_line, near[:_MOST_NAMED]))
    rest = len(near) - _MOST_NAMED
    more = f"; and {rest:,} more" if rest > 0 else ""
    return f"🔔 Near a large cluster, as estimated from trades: {named}{more}."
