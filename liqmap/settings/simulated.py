"""Settings with an invented market in place of the exchanges, and with a store of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from liqmap.settings.load import AnySettings


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
    # Nine tenths of its 20 in two seconds where Binance grants 2400 a minute, as the default settings take.
    limits = {
        "binance": {"weight_a_minute": weight_limit},
        "bybit": {},
        "okx": {"requests_in_2_seconds": max(1, weight_limit // 120 * 9 // 10)},
    }
    sections = {
        name: getattr(settings.exchanges, name).model_copy(
            update={
                "archive_url": f"http://127.0.0.1:{port}/{name}",
                "api_url": f"http://127.0.0.1:{port}/{name}",
                "stream_url": f"ws://127.0.0.1:{port}/{name}",
                **limit,
            }
        )
        for name, limit in limits.items()
    }
    return settings.model_copy(update={"exchanges": settings.exchanges.model_copy(update=sections)})
