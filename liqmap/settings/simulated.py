"""Settings with an invented market in place of the exchanges, and with a store of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from liqmap.settings.exchanges import ExchangeSettings

if TYPE_CHECKING:
    from liqmap.settings.load import AnySettings

GENEROUS: Final = 1_000_000
"""A weight limit with which the last hours of a busy symbol come in seconds, for demonstrations."""


def simulated_store(settings: AnySettings) -> AnySettings:
    """Return `settings` with the store of simulated data, which is apart from that of real data."""
    storage = settings.storage
    update = {"path": storage.path / "simulated", "shared_url": ""}
    return settings.model_copy(update={"storage": storage.model_copy(update=update)})


def simulated_exchanges(settings: AnySettings, *, port: int, weight_limit: int) -> AnySettings:
    """Return `settings` with a `MarketServer` on `port` as the exchanges, and the store of simulated data.

    `weight_limit` is the server's.
    """
    settings = simulated_store(settings)
    sections = {
        name: section.model_copy(
            update={
                "archive_url": f"http://127.0.0.1:{port}/{name}",
                "api_url": f"http://127.0.0.1:{port}/{name}",
                "stream_url": f"ws://127.0.0.1:{port}/{name}",
                **section.limits(weight_a_minute=weight_limit),
            }
        )
        for name, section in settings.exchanges
        if isinstance(section, ExchangeSettings)
    }
    return settings.model_copy(update={"exchanges": settings.exchanges.model_copy(update=sections)})
