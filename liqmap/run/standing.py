"""Sum up what stands of a map in the ledger's buckets; a worker process runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from liqmap.compute.levels import all_levels
from liqmap.ledger.buckets import COUNT, bucket_of, summed
from liqmap.ledger.lines import HORIZON
from liqmap.ledger.score import Standing
from liqmap.model.window import DAY
from liqmap.run.job import load_job, margin_of

if TYPE_CHECKING:
    from liqmap.compute.values import PricePath
    from liqmap.run.job import MapJob

_DAY_MS = 86_400_000
_LEAST_SIGMA = 1e-4  # distances are divided by sigma, which is 0 if the price did not move at all


def run_standing_job(job: MapJob) -> Standing:
    """Load and compute a map undrawn, and return what stands of it. Raises as `run_map_job`."""
    loaded, rules = load_job(job), margin_of(job)[0]
    path = loaded.path
    last_price = float(path.close[-1])
    notional = np.zeros(COUNT)
    for stretch in all_levels(loaded.entries(), job.request, rules, last_price=last_price):
        for levels in stretch:
            price, its = levels.price[levels.standing], levels.notional[levels.standing]
            notional += summed(bucket_of(price, levels.side, last_price=last_price), its)
    return Standing(
        notional=notional,
        price=last_price,
        sigma=volatility(path, end_ms=job.request.window.end_ms),
        coverage=job.coverage.fraction,
        simulated=job.coverage.simulated,
        rate=None if rules.brackets is None else float(rules.brackets.rate[0]),
    )


def volatility(path: PricePath, *, end_ms: int) -> float:
    """Return the realised volatility of the 24 hours before `end_ms`, scaled to the ledger's horizon."""
    # Squared log returns add up over time, so the length of the path's bins does not change the scale.
    close = path.close[path.time >= end_ms - _DAY_MS]
    daily = float(np.sqrt(np.sum(np.diff(np.log(close)) ** 2)))
    return max(daily * float(np.sqrt(HORIZON / DAY)), _LEAST_SIGMA)
