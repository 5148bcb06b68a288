"""Load, compute and draw one map in a worker process, from paths and small values."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from liqmap.brackets import find_brackets
from liqmap.compute.heatmap import build_heatmap
from liqmap.compute.levels import all_levels
from liqmap.compute.map import build_map
from liqmap.compute.margin import UNOWNED, MarginRules, least_distance
from liqmap.compute.path import path_bin_seconds
from liqmap.compute.summary import summarize
from liqmap.errors import RequestError
from liqmap.exchanges import EXCHANGES, OWNERS
from liqmap.model import (
    Coverage,
    Exchange,
    LackingBrackets,
    MapRequest,
    MarginBasis,
    MarginModel,
    Market,
    Picture,
    PositionModel,
)
from liqmap.run.load import load
from liqmap.run.nothing_selected import nothing_selected
from liqmap.run.positions import open_interest, position_basis, positions_of, sweep_basis, sweeping
from liqmap.run.realised import realised_in
from liqmap.run.result import MapResult
from liqmap.store.merged import merged_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import pyarrow as pa

    from liqmap.brackets import DatedBrackets
    from liqmap.compute.values import Heatmap, LiquidationLevels, LiquidationMap, Realised
    from liqmap.model.series import Series
    from liqmap.run.loaded import Loaded
    from liqmap.store.segments import Part

PATH_BINS = 720
"""The price path has at most this many bins: more than the pixels it is drawn on."""


@dataclass(frozen=True, slots=True)
class MapJob:
    """A request with the parts of stored segments, oldest first, from which its trades are read.

    Brackets are read from `bracket_folders` as well as from the tables that ship, unless they are given.
    `mark` are the mark prices and `interest` the open interest of the window, as far as they are known.
    Liquidations are read from the store at `root`; if that is None, they are in `realised`.
    """

    request: MapRequest
    parts: tuple[Part, ...]
    coverage: Coverage
    bracket_folders: tuple[Path, ...] = ()
    mark: Series | None = None
    interest: Series | None = None
    root: Path | None = None
    brackets: DatedBrackets | None = None
    realised: Realised | None = None

    @property
    def market(self) -> Market:
        """The market of the trades."""
        return self.request.market


def run_map_job(job: MapJob) -> MapResult:
    """Load, select, compute and draw one request.

    Raises RequestError if the selection takes no trade of the window, DataError if a segment is gone.
    """
    watch = Stopwatch()
    request, loaded, rules = job.request, load_job(job), margin_of(job)[0]
    loaded, positions = loaded.with_entries(), loaded.positions
    watch.lap("load")
    liquidation_map = compute_map(job, loaded)
    watch.lap("compute")
    last_price = liquidation_map.last_price

    # The computed map has sums only. Heatmap and tables need every level, so the entries are read once more.
    def levels(*, timed: bool = False) -> Iterator[tuple[LiquidationLevels, ...]]:
        return all_levels(
            loaded.entries(timed=timed), request, rules, last_price=last_price, positions=positions
        )

    def heatmap() -> Heatmap:
        return build_heatmap(
            liquidation_map,
            levels(timed=True),
            bin_seconds=loaded.bin_seconds,
            swept_by=liquidation_map.swept_by,
            shares=loaded.open_shares,
        )

    label = EXCHANGES[request.market.exchange].contract(request.market.symbol).label
    return drawn(liquidation_map, label=label, heatmap=heatmap, levels={"": levels}, watch=watch)


def drawn(
    liquidation_map: LiquidationMap,
    *,
    label: str,
    heatmap: Callable[[], Heatmap],
    levels: Mapping[str, Callable[[], Iterator[tuple[LiquidationLevels, ...]]]],
    watch: Stopwatch,
) -> MapResult:
    """Draw a computed map, which `label` names, and write its tables.

    `heatmap` and `levels` are called only for requests that want them. `levels` has a function for each
    exchange, or one for a single exchange.
    """
    # matplotlib takes a second to import, so only workers do; the process that hands out jobs does not.
    from liqmap.render import draw_depth, draw_heatmap, draw_map, table  # noqa: PLC0415

    request = liquidation_map.request
    pictures: dict[Picture, bytes] = {}
    tables: dict[str, pa.Table] = {}
    for picture in Picture:
        if picture not in request.pictures:
            continue
        match picture:
            case Picture.MAP:
                pictures[picture] = draw_map(liquidation_map, label=label)
            case Picture.DEPTH:
                pictures[picture] = draw_depth(liquidation_map, label=label)
            case Picture.HEATMAP:
                computed = heatmap()
                pictures[picture] = draw_heatmap(liquidation_map, computed, label=label)
                if request.tables:
                    tables["heatmap"] = table.heatmap_table(computed)
            case _:  # pragma: no cover - the type checker proves that every picture is handled
                assert_never(picture)
        watch.lap(picture)
    if request.tables:
        tables["buckets"] = table.buckets_table(liquidation_map.buckets)
        tables["path"] = table.path_table(liquidation_map.path)
        tables["clusters"] = table.clusters_table(liquidation_map.clusters)
    csv = None
    if request.tables or request.levels_csv:
        every_level = table.joint_table(
            {
                name: table.levels_table(stretches)
                for name, each in levels.items()
                # Nothing may be selected of one of several exchanges.
                if (stretches := list(each()))
            }
        )
        tables |= {"levels": every_level} if request.tables else {}
        csv = table.csv_of(every_level) if request.levels_csv else None
        watch.lap("tables")
    return MapResult(
        request=request,
        pictures=pictures,
        summary=summarize(liquidation_map),
        coverage=liquidation_map.coverage,
        timings_ms=watch.laps,
        levels_csv=csv,
        tables=tables,
    )


def load_job(job: MapJob, *, selects: bool = True) -> Loaded:
    """Read the price path of `job`, and find which trades it selects and how open interest weighs them.

    Without `selects`, nothing is selected yet: `select_together` does it for several markets. Raises as
    `run_map_job`.
    """
    seconds = int(job.request.window.length.total_seconds())
    mark = sweeping(job.request, job.mark)
    weighs = job.request.positions is PositionModel.OPEN_INTEREST
    by_minutes = mark is not None or weighs
    # Where each trade is one order already, there is nothing to put together.
    merges = job.request.merge and EXCHANGES[job.market.exchange].stores_fills
    loaded = load(
        job.request,
        merged_parts(job.parts) if merges else job.parts,
        bin_seconds=path_bin_seconds(seconds, bins=PATH_BINS),
        coverage=job.coverage,
        mark=mark,
        least_distance=least_distance(margin_of(job)[0], job.request.leverages) if by_minutes else 0.0,
        weighs=weighs,
        selects=selects,
    )
    return replace(loaded, positions=positions_of(job.request, job.coverage, loaded, job.interest))


def compute_map(job: MapJob, loaded: Loaded) -> LiquidationMap:
    """Read the selected trades and compute the map of `job`, undrawn. Raises as `run_map_job`."""
    rules, basis = margin_of(job)
    positions = loaded.positions
    basis = replace(
        basis, sweep=sweep_basis(job.request, loaded), positions=position_basis(job.request, positions)
    )
    liquidation_map = build_map(
        job.request,
        replace(job.coverage, last_trade=loaded.last_trade),
        path=loaded.path,
        trade_count=sum(loaded.trade_count.values()),
        entries=loaded.entries(),
        rules=rules,
        basis=basis,
        positions=positions,
    )
    if not liquidation_map.buys.count + liquidation_map.sells.count:
        raise RequestError(nothing_selected(job.request, job.parts, loaded.trade_count))
    return replace(
        liquidation_map,
        open_interest=open_interest(
            job.request,
            job.interest,
            loaded.open_shares,
            margin=basis,
            buckets=liquidation_map.buckets,
            last_price=liquidation_map.last_price,
        ),
        realised=realised_of(job),
        swept_by=None if loaded.marks is None else loaded.marks.binned(),
    )


def realised_of(job: MapJob) -> Realised | None:
    """Return the liquidations of the job's window, None if none were received."""
    return job.realised if job.root is None else realised_in(job.root, job.market, job.request.window)


def margin_of(job: MapJob) -> tuple[MarginRules, MarginBasis]:
    """Return the margin rules of the request's model, or the simple rules if there are no brackets."""
    request = job.request
    inverse = EXCHANGES[request.market.exchange].contract(request.market.symbol).inverse
    if request.model in UNOWNED:
        return replace(UNOWNED[request.model], inverse=inverse), MarginBasis(request.model)
    end = request.window.end.date()
    owner = OWNERS[request.model]
    found = job.brackets or _brackets_of(job, owner)
    # Other brackets than its own would give levels that look exact. The simple model claims less, and the
    # map says that it was used.
    if found is None:
        lacking = _lacking_brackets(request.market, owner)
        return MarginRules(inverse=inverse), MarginBasis(MarginModel.SIMPLE, lacking=lacking)
    rule = EXCHANGES[owner].margin.rule(on=end)
    basis = MarginBasis(request.model, found.date, found.source, earliest=found.is_earliest, rule=rule)
    return MarginRules(found.brackets, rule.valuation, inverse=inverse, fee=rule.fee), basis


def self_contained(job: MapJob) -> MapJob:
    """Return `job` with its brackets and liquidations inside, to be drawn on another machine."""
    unowned = job.request.model in UNOWNED
    # The other machine has neither the tables that this one has fetched nor its recorded liquidations.
    brackets = None if unowned else _brackets_of(job, OWNERS[job.request.model])
    return replace(job, brackets=brackets, bracket_folders=(), realised=realised_of(job), root=None)


def _brackets_of(job: MapJob, owner: Exchange) -> DatedBrackets | None:
    request = job.request
    end = request.window.end.date()
    return find_brackets(owner, request.market.symbol, on=end, folders=job.bracket_folders)


def _lacking_brackets(market: Market, owner: Exchange) -> LackingBrackets:
    row = EXCHANGES[owner]
    contract = row.contract(market.symbol)
    unpublished = owner is market.exchange and not contract.has_brackets
    return LackingBrackets(row.label, market.symbol, contract.label if unpublished else None)


class Stopwatch:
    """Measures laps [ms]."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Note how long it took since the last lap."""
        now = time.perf_counter()
        self.laps[name], self._last = (now - self._last) * 1000, now
