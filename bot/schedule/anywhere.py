"""Alerts that watch all recorded markets: a scan a minute for those of equal sizes and exchanges."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from bot.views.scan import scanned_line
from liqmap import LiqmapError, ScanRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from bot.request.drawing import Scan
    from bot.store.alerts import Alert
    from liqmap import Exchange, ScannedMarket

log = logging.getLogger(__name__)

_MOST_NAMED, _MOST_FOUND = 3, 50


async def sentences(alerts: Iterable[Alert], scan: Scan, *, end: datetime) -> list[tuple[Alert, str]]:
    """Return the alerts whose condition some market fulfils, each with its sentence."""
    found: list[tuple[Alert, str]] = []
    for request, same in _scans(alerts, end=end):
        try:
            markets = (await scan(request)).markets
        except LiqmapError as error:
            log.info("alerts of all markets wait: %s", error)
            continue
        for alert in same:
            # A price that was last recorded hours ago may be far from the current one.
            near = [
                each
                for each in markets
                if each.is_current and abs(each.clusters()[0].distance) <= alert.distance
            ]
            if near:
                found.append((alert, _sentence(near)))
    return found


def _scans(alerts: Iterable[Alert], *, end: datetime) -> Iterator[tuple[ScanRequest, list[Alert]]]:
    """Yield the scans to make, each with the alerts that it serves."""
    alike: dict[tuple[float, frozenset[Exchange]], list[Alert]] = {}
    for alert in alerts:
        # A scan returns its nearest markets only, so those of other exchanges must not take their places.
        exchanges = frozenset(each.exchange for each in alert.markets)
        alike.setdefault((alert.notional, exchanges), []).append(alert)
    for (notional, exchanges), same in alike.items():
        within = max(each.distance for each in same)
        yield (
            ScanRequest(
                end, exchanges=exchanges, least=notional, within=within, top=_MOST_FOUND, pictured=False
            ),
            same,
        )


def _sentence(near: Sequence[ScannedMarket]) -> str:
    """Return what is said of markets, the nearest to a cluster first."""
    named = "; ".join(map(scanned_line, near[:_MOST_NAMED]))
    rest = len(near) - _MOST_NAMED
    more = f"; and {rest:,} more" if rest > 0 else ""
    return f"🔔 Near a large cluster, as estimated from trades: {named}{more}."
