"""Clients: one for each exchange's REST API, with the budget that everybody who asks it shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from liqmap.exchanges import EXCHANGES
from liqmap.model import Exchange
from liqmap.net.rest import RestClient, WeightBudget

if TYPE_CHECKING:
    from liqmap.clock import Clock
    from liqmap.net.session import Session
    from liqmap.settings import Settings

Clients: TypeAlias = Mapping[Exchange, RestClient]


def rest_clients(settings: Settings, *, session: Session, clock: Clock) -> Clients:
    """Return a client of each exchange's API."""
    return {
        exchange: RestClient(
            session,
            clock=clock,
            budget=WeightBudget(settings.exchanges.of(exchange).budget, clock=clock),
            used_weight=row.used_weight,
        )
        for exchange, row in EXCHANGES.items()
    }
