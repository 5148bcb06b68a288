from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from bot.schedule.anywhere import sentences
from bot.store.alerts import ANYWHERE, Alert
from liqmap import Exchange, Market, NearCluster, ScannedMarket, ScanRequest, ScanResult
from liqmap.compute.scan import nearest
from tests.bot.conftest import NOW

FAR, HALF = Market(Exchange.OKX, "BTCUSDT"), 0.005
ALERT = Alert(1, 2, 3, "okx", ANYWHERE, HALF, 1e6, timedelta(hours=1), id=1, fired_at=None)


def market(where: Market, distance: float) -> ScannedMarket:
    near = NearCluster(100 * (1 + distance), distance, 2.5e6, 1.25, 0.4)
    return ScannedMarket(where, 100.0, 0.1, 1.0, 0.01, 6e6, None, near)


class Recorded:
    """Scans sixty markets of Binance and one of OKX, which is the farthest from its cluster."""

    def __init__(self) -> None:
        self.requests: list[ScanRequest] = []
        self.markets = [
            *(market(Market(Exchange.BINANCE, f"COIN{place}USDT"), 0.0001) for place in range(60)),
            market(FAR, 0.004),
        ]

    async def __call__(self, request: ScanRequest) -> ScanResult:
        self.requests.append(request)
        wanted = request.exchanges or frozenset(Exchange)
        found = [each for each in self.markets if each.market.exchange in wanted]
        return ScanResult(request, nearest(found, request), len(found))


async def test_alert_of_one_exchange_speaks_though_many_markets_of_others_are_nearer():
    scan = Recorded()
    everywhere = replace(ALERT, id=2, exchange="all")
    found = {each.id: sentence for each, sentence in await sentences([everywhere, ALERT], scan, end=NOW)}
    assert "**BTCUSDT** on OKX" in found[1]
    assert "on Binance" in found[2]


async def test_alerts_of_equal_exchanges_share_a_scan_and_each_keeps_its_distance():
    scan = Recorded()
    nearer = replace(ALERT, id=2, distance=0.003)
    found = await sentences([nearer, ALERT], scan, end=NOW)
    assert [each.id for each, _ in found] == [1]
    assert [each.within for each in scan.requests] == [HALF]


async def test_market_whose_recording_has_stopped_sets_off_no_alert():
    scan = Recorded()
    scan.markets = [replace(each, unknown=timedelta(hours=3)) for each in scan.markets]
    assert await sentences([ALERT], scan, end=NOW) == []
