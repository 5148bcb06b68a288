"""Show an operator the state of the cluster that draws and of the shared store."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.ops.metrics import Metrics
    from liqmap import ClusterStatus, Engine


def watch_cluster(metrics: Metrics, engine: Engine) -> None:
    """Show the state of the cluster and of the shared store among the metrics."""

    def of_cluster(read: Callable[[ClusterStatus], float]) -> Callable[[], float]:
        return lambda: 0.0 if (status := engine.cluster) is None else read(status)

    for name, text, read in (
        ("cluster_connected", "Whether the cluster's scheduler is reached", lambda it: float(it.connected)),
        ("cluster_workers", "Workers of the cluster that draw", lambda it: it.workers),
        ("cluster_jobs", "Maps in the cluster, drawn or waiting", lambda it: it.jobs),
        ("cluster_retries", "Maps given to the cluster again", lambda it: it.retries),
        ("cluster_unfit", "Reports of workers that they cannot draw", lambda it: it.retired),
    ):
        metrics.watch(name, text, of_cluster(read))
    metrics.watch(
        "drawn_instead", "Maps drawn on this machine for the cluster", lambda: float(engine.drawn_instead)
    )
    metrics.watch(
        "shared_store_away", "Whether the shared store did not answer", lambda: float(engine.shared_is_away)
    )


def cluster_draws(engine: Engine) -> bool:
    """Return whether the cluster can be used, or is not needed."""
    status = engine.cluster
    return status is None or (status.connected and status.workers > 0)


def trouble_text(engine: Engine) -> str:
    """Return what is not available now, "" if everything is."""
    status, found = engine.cluster, []
    if status is not None and not status.connected:
        found.append("the cluster's scheduler is away")
    elif status is not None and not status.workers:
        found.append("the cluster has no workers")
    if engine.shared_is_away:
        found.append("the shared store does not answer")
    return "; ".join(found)
