"""Load, compute and draw one map of several markets in a worker process."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from liqmap.collect.coverage import joint_coverage
from liqmap.compute.aggregate import Quote, Source, build_joint_map, comparable
from liqmap.compute.heatmap import build_joint_heatmap
from liqmap.compute.joint_series import with_series
from liqmap.compute.levels import all_levels
from liqmap.errors import DamagedSegment, LiqmapError, RequestError, StoreError
from liqmap.exchanges import EXCHANGES
from liqmap.exchanges.thousands import counted
from liqmap.model import LeftOut, LeftOutKind, MapRequest, Side
from liqmap.run.job import (
    MapJob,
    Stopwatch,
    drawn,
    load_job,
    margin_of,
    realised_of,
    run_map_job,
)
from liqmap.run.load import select_together
from liqmap.run.nothing_selected import nothing_selected
from liqmap.run.positions import open_interest, position_basis, sweep_basis

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from liqmap.compute.values import Heatmap, LiquidationLevels, MarketShare
    from liqmap.model import OpenInterest
    from liqmap.run.loaded import Loaded
    from liqmap.run.result import MapResult


@dataclass(frozen=True, slots=True)
class JointJob:
    """A request for several markets, and the job of each that has trades, the reference first.

    `left_out` are the markets without trades.
    """

    request: MapRequest
    jobs: tuple[MapJob, ...]
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """One market: its job, what was loaded of its trades, and both as a source of the map.

    `price` is its price at the window's end, by which it is aligned.
    """

    job: MapJob
    loaded: Loaded
    price: float

    @property
    def factor(self) -> int:
        """The number of coins that its symbol counts as one: 1000 for 1000PEPEUSDT."""
        return counted(self.job.market.symbol).factor

    def source(self) -> Source:
        rules, basis = margin_of(self.job)
        request, positions = self.job.request, self.loaded.positions
        return Source(
            market=self.job.market,
            coverage=replace(self.job.coverage, last_trade=self.loaded.last_trade),
            path=self.loaded.path,
            price=self.price,
            trade_count=sum(self.loaded.trade_count.values()),
            entries=self.loaded.entries,
            rules=rules,
            basis=replace(
                basis,
                sweep=sweep_basis(request, self.loaded),
                positions=position_basis(request, positions),
            ),
            positions=positions,
        )

    def interest(self, share: MarketShare) -> OpenInterest | None:
        """Return the market's open interest, and how much of it its share of the map is."""
        return open_interest(
            self.job.request,
            self.job.interest,
            self.loaded.open_shares,
            margin=share.margin,
            buckets=share.buckets,
            last_price=share.last_price,
        )

    def levels(self, *, timed: bool = False) -> Iterator[tuple[LiquidationLevels, ...]]:
        """Yield its levels, at its own prices; for a heatmap they must be `timed`."""
        last_price = float(self.loaded.path.close[-1])
        return all_levels(
            self.loaded.entries(timed=timed),
            self.job.request,
            margin_of(self.job)[0],
            last_price=last_price,
            positions=self.loaded.positions,
        )


Job = MapJob | JointJob
"""What a worker draws: a map of one market, or of several."""


def map_jobs(job: Job) -> tuple[MapJob, ...]:
    """Return the job of each market."""
    return job.jobs if isinstance(job, JointJob) else (job,)


def with_jobs(job: Job, jobs: Sequence[MapJob]) -> Job:
    """Return `job` with its markets' jobs replaced by `jobs`, in the order of `map_jobs`."""
    return replace(job, jobs=tuple(jobs)) if isinstance(job, JointJob) else jobs[0]


def run_job(job: Job) -> MapResult:
    """Draw one map. Raises as `run_map_job` and `run_joint_job`."""
    return run_joint_job(job) if isinstance(job, JointJob) else run_map_job(job)


def run_joint_job(job: JointJob) -> MapResult:
    """Load, select, compute and draw one map of several markets.

    Raises RequestError if the selection takes no trade of the window, DataError if a segment is gone.
    """
    # One after the other: each step is so short that threads would mostly wait for the interpreter.
    watch, request = Stopwatch(), job.request
    parts, left_out = _comparable(job, [_loaded(each, selects=request.each) for each in job.jobs])
    if not request.each:
        together = select_together([each.loaded for each in parts])
        parts = [replace(each, loaded=its) for each, its in zip(parts, together, strict=True)]
    parts = [replace(each, loaded=each.loaded.with_entries()) for each in parts]
    watch.lap("load")
    sources = [each.source() for each in parts]
    # Only what all of them cover: a sum over some would look like one over all.
    coverage = joint_coverage(request.window, {each.market.exchange: each.coverage for each in sources})
    liquidation_map = build_joint_map(request, coverage, sources, left_out=left_out)
    if not liquidation_map.buys.count + liquidation_map.sells.count:
        trades = {side: sum(each.loaded.trade_count[side] for each in parts) for side in Side}
        stored = [part for each in parts for part in each.job.parts]
        raise RequestError(nothing_selected(request, stored, trades))
    bin_seconds = parts[0].loaded.bin_seconds
    prices = [each.loaded.median_prices for each in parts]
    marks = [each.loaded.marks for each in parts]
    swept_by = [None if each is None else each.binned() for each in marks]
    liquidation_map = with_series(
        replace(liquidation_map, swept_by=swept_by[0]),
        interest=[each.interest(share) for each, share in zip(parts, liquidation_map.shares, strict=True)],
        realised=[realised_of(each.job) for each in parts],
        factors=[each.factor for each in parts],
        bin_seconds=bin_seconds,
        prices=prices,
    )
    watch.lap("compute")

    def heatmap() -> Heatmap:
        return build_joint_heatmap(
            liquidation_map,
            [each.levels(timed=True) for each in parts],
            bin_seconds=bin_seconds,
            swept_by=swept_by,
            open_shares=[each.loaded.open_shares for each in parts],
            prices=prices,
        )

    label = " + ".join(EXCHANGES[each.job.market.exchange].label for each in parts)
    levels = {each.job.market.exchange.value: each.levels for each in parts}
    return drawn(liquidation_map, label=label, heatmap=heatmap, levels=levels, watch=watch)


def _loaded(job: MapJob, *, selects: bool) -> _Part | LiqmapError:
    """Return what was loaded of one market, or the error that keeps it from being drawn."""
    try:
        loaded = load_job(job, selects=selects)
        return _Part(job, loaded, loaded.price)
    except (DamagedSegment, StoreError):  # the engine mends these, and draws all markets again
        raise
    except LiqmapError as error:
        return error


def _comparable(job: JointJob, loaded: Sequence[_Part | LiqmapError]) -> tuple[list[_Part], list[LeftOut]]:
    """Return the markets that can be drawn together, and which are left out.

    Raises the first one's LiqmapError if none can be drawn.
    """
    parts = [each for each in loaded if isinstance(each, _Part)]
    problems = [
        (each, its) for each, its in zip(job.jobs, loaded, strict=True) if isinstance(its, LiqmapError)
    ]
    # The reference's, which is what was asked for first.
    if not parts:
        raise problems[0][1]
    failed = [LeftOut(each.market, LeftOutKind.FAILED, problem=error.problem) for each, error in problems]
    quotes = [Quote(each.job.market, each.price, each.loaded.last_trade, each.factor) for each in parts]
    left_out = comparable(quotes, at=job.request.window.end)
    gone = {each.market for each in left_out}
    remaining = [each for each in parts if each.job.market not in gone]
    return remaining, [*job.left_out, *failed, *left_out]
