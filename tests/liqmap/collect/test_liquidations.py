from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from liqmap.collect.liquidations import LiquidationDays
from liqmap.errors import DataError
from liqmap.exchanges.messages import Liquidation
from liqmap.model import Exchange, Market, Side
from liqmap.simulator import MarketServer, SimulatedClock, SimulatedMarket
from liqmap.store.damaged import files_aside
from liqmap.store.liquidations import append_liquidations, liquidations_path, read_liquidations
from tests.liqmap.collect.test_recent_liquidations import NOW
from tests.liqmap.supplies import supplies

DAY = date(2023, 8, 1)
PERP = Market(Exchange.BINANCE, "BTCUSD_PERP")
SOME = Liquidation("BTCUSD_PERP", 1_690_848_000_005, Side.BUY, 29_000.0, 500.0, 28_900.0)


def change_a_byte(table: Path) -> None:
    content = bytearray(table.read_bytes())
    content[-9] ^= 1
    table.write_bytes(content)


def set_aside(table: Path) -> None:
    change_a_byte(table)
    root = table.parents[3]
    append_liquidations(root, PERP.exchange, [SOME], complete=False)
    assert len(files_aside(root, table)) == 1


def remove(table: Path) -> None:
    table.unlink()


@pytest.mark.parametrize("damage", [change_a_byte, set_aside, remove])
async def test_published_day_whose_table_is_damaged_or_gone_is_fetched_again_once(
    tmp_path: Path, damage: Callable[[Path], None]
):
    clock = SimulatedClock(NOW)
    async with (
        MarketServer(SimulatedMarket(scale=0.02), clock=clock, pump_every=None) as server,
        supplies(tmp_path, server, clock) as its,
    ):
        root, days = its.store.root, LiquidationDays(its.settings, store=its.store, session=its.session)

        async def obtained() -> list[Liquidation]:
            await days.obtain(PERP, DAY)
            return read_liquidations(root, PERP.exchange, PERP.symbol, DAY)

        published = await obtained()
        assert len(published) > 20
        table = liquidations_path(root, PERP.exchange, PERP.symbol, DAY)
        damage(table)
        if damage is not remove:
            with pytest.raises(DataError, match="damaged"):
                read_liquidations(root, PERP.exchange, PERP.symbol, DAY)
        assert await obtained() == published
        assert files_aside(root, table) == []
        asked = server.requests.total()
        assert await obtained() == published
        assert server.requests.total() == asked
