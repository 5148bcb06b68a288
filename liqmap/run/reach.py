"""Check whether the cluster that draws and the shared store can be reached."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from liqmap.errors import ClusterAway, SettingsError
from liqmap.run.dask import DaskPool
from liqmap.store.bounded import in_thread
from liqmap.store.shared import SharedStore

if TYPE_CHECKING:
    from liqmap.settings import Settings

TRIAL_SECONDS: Final = 20.0
"""How long to wait for a worker whose trial may be running."""


async def reach_cluster(settings: Settings) -> str:
    """Let a worker of the settings' cluster run a small job; return how many workers draw.

    Raises a LiqmapError that says what is wrong.
    """
    # A check must end soon, whatever time the settings give a real map.
    engine = settings.engine.model_copy(update={"job_timeout": TRIAL_SECONDS})
    async with DaskPool(settings.model_copy(update={"engine": engine}), shared=None) as cluster:
        if not cluster.status.connected:
            raise SettingsError(
                f"There is no Dask scheduler at {engine.dask_address}; check that it runs, the setting"
                " engine.dask_address, and the certificates."
            )
        # Without a worker the call below fails with the reason that each one gives.
        with suppress(TimeoutError):
            await asyncio.wait_for(cluster.has_workers(), TRIAL_SECONDS)
        try:
            await cluster.run(abs, -1)
        except ClusterAway as error:
            reasons = "; ".join(f"{worker}: {reason}" for worker, reason in cluster.unfit.items())
            raise SettingsError(f"No worker of the cluster draws ({reasons or 'there is none'}).") from error
        workers = cluster.status.workers
        return "1 worker draws" if workers == 1 else f"{workers} workers draw"


async def reach_shared_store(settings: Settings) -> str:
    """Write an object into the shared store and remove it again.

    Raises a LiqmapError that says what is wrong.
    """
    storage = settings.storage
    shared = SharedStore(
        storage.shared_url, proxy_for=settings.network.proxy_for, silence=storage.shared_timeout
    )
    try:
        await asyncio.wrap_future(in_thread(shared.check))
    except OSError as error:
        raise SettingsError(
            f"Setting storage.shared_url: that store cannot be written ({error.strerror or error})."
        ) from error
    return "writable"
