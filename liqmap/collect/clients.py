"""Make one client for each exchange's REST API. All its users share its budget and its clock."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

from liqmap.clock import ExchangeClock, SystemClock
from liqmap.exchanges import EXCHANGES
from liqmap.model import Exchange
from liqmap.model.window import at_ms
from liqmap.net.budget import WeightBudget
from liqmap.net.rest import RestClient
from liqmap.net.session import open_session
from liqmap.text import clock_text

if TYPE_CHECKING:
    from liqmap.clock import Clock
    from liqmap.net.session import Session
    from liqmap.settings import Settings

log = logging.getLogger(__name__)

Clients: TypeAlias = Mapping[Exchange, RestClient]

_TIME_WEIGHT: Final = 1
_MILLISECOND: Final = timedelta(milliseconds=1)


def rest_clients(
    settings: Settings, *, session: Session, clock: Clock, warns_of_clock: bool = False
) -> Clients:
    """Return a client of each exchange's API.

    With `warns_of_clock`, the first exchange that shows that this machine's clock is off causes one warning.
    """
    warned = not warns_of_clock

    def client_of(exchange: Exchange) -> RestClient:
        def warn(ahead: timedelta) -> None:
            nonlocal warned
            if not warned:
                warned = True
                log.warning("%s", clock_text(exchange, ahead))

        its_clock, limits = ExchangeClock(clock, on_off=warn), EXCHANGES[exchange].limits
        # Exchanges count requests by address, so processes behind one address share a limit.
        budget = settings.exchanges.of(exchange).budget / settings.exchanges.shared_by
        return RestClient(
            session,
            clock=its_clock,
            budget=WeightBudget(budget, clock=its_clock, period=limits.period),
            used_weight=limits.used_weight,
            busy=limits.busy,
            limited_wait=limits.wait,
        )

    return {exchange: client_of(exchange) for exchange in EXCHANGES}


def exchange_addresses(settings: Settings, exchange: Exchange) -> dict[str, str]:
    """Return the address of each service of an exchange that the engine needs, by the service's name."""
    section = settings.exchanges.of(exchange)
    return {"files": section.archive_url, "api": EXCHANGES[exchange].time.url(section.api_url)}


async def clock_problem(settings: Settings, exchange: Exchange) -> str | None:
    """Return a sentence if this machine's clock is wrong by the exchange's, else None.

    Raises DataError if the exchange does not report its time.
    """
    async with open_session(settings.network) as session:
        client = rest_clients(settings, session=session, clock=SystemClock())[exchange]
        await learn_time(client, exchange, base_url=settings.exchanges.of(exchange).api_url)
        off = client.clock.machine_off
    return None if off is None else clock_text(exchange, off)


async def learn_time(client: RestClient, exchange: Exchange, *, base_url: str) -> None:
    """Let the client's clock learn the exchange's time to the millisecond. Raises DataError."""
    row = EXCHANGES[exchange]
    # Noted before the request: the answer was written between then and its arrival, which bounds the
    # difference of the clocks.
    sent = client.clock.machine.now()
    shown = row.time.read(await client.get(row.time.url(base_url), weight=_TIME_WEIGHT))
    client.clock.learn(at_ms(shown), exact_to=_MILLISECOND, sent=sent)
