"""Apply the series to a map's positions: which price sweeps them, and how much of them stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from liqmap.compute.open_shares import LATE_STEPS, open_shares
from liqmap.compute.standing import Positions
from liqmap.errors import RequestError
from liqmap.exchanges import EXCHANGES
from liqmap.model import (
    LevelFilter,
    MarginModel,
    OpenInterest,
    PositionBasis,
    PositionModel,
    SweepBasis,
    SweepPrice,
)
from liqmap.model.window import at_ms

if TYPE_CHECKING:
    from liqmap.compute.open_shares import OpenShares
    from liqmap.compute.values import LevelBuckets
    from liqmap.model import Coverage, MapRequest, MarginBasis
    from liqmap.model.series import Series
    from liqmap.run.loaded import Loaded

MOSTLY_MARKED: Final = 0.99
"""If mark prices of at least this share of a window's minutes are known, they sweep the levels by default."""

MOST_UNFIT: Final = 0.05
"""A map by open interest is refused if in more than this share of the intervals it changes by more than the
volume."""

LEAST_KNOWN: Final = 0.5
"""A map by open interest is refused if it is known in less than this share of the window."""

_RATHER_TRADES = "use positions trades"


def sweeping(request: MapRequest, mark: Series | None) -> Series | None:
    """Return the mark prices if they sweep the levels. Raises RequestError if none is known."""
    if request.sweep is SweepPrice.TRADED or request.levels is LevelFilter.ALL:
        return None
    known = 0 if mark is None else len(mark.within(request.window))
    if request.sweep is SweepPrice.MARK:
        if not known:
            raise RequestError(
                f"The mark prices of {request.market.symbol} are not known in this window; use sweep traded."
            )
        return mark
    return mark if known >= MOSTLY_MARKED * request.window.length.total_seconds() / 60 else None


def sweep_basis(request: MapRequest, loaded: Loaded) -> SweepBasis | None:
    """Return which price sweeps the levels of a map, None if no price does."""
    if request.levels is LevelFilter.ALL:
        return None
    if loaded.marks is None:
        return SweepBasis(SweepPrice.TRADED)
    return SweepBasis(SweepPrice.MARK, loaded.marks.share)


def positions_of(
    request: MapRequest, coverage: Coverage, loaded: Loaded, interest: Series | None
) -> Positions | None:
    """Return how open interest weighs the positions of a map, None if all trades count in full.

    Raises RequestError if too little of the open interest is known.
    """
    if request.positions is PositionModel.TRADES:
        return None
    symbol, window = request.market.symbol, request.window
    path, traded = loaded.path_by_minutes, loaded.traded
    if interest is None or loaded.volume is None or path is None or traded is None:
        raise RequestError(f"The open interest of {symbol} is not known in this window; {_RATHER_TRADES}.")
    shares = open_shares(window, interest, loaded.volume, covered=coverage.covered, turnover=request.turnover)
    # Earlier trades are left out, so a map of a small rest of the window would pass for one of all of it.
    if window.end_ms - shares.known_from_ms < LEAST_KNOWN * (window.end_ms - window.start_ms):
        since = at_ms(shares.known_from_ms)
        raise RequestError(
            f"The open interest of {symbol} is known only from {since:%b %d %H:%M} UTC on;"
            f" try a shorter window or {_RATHER_TRADES}."
        )
    known_ms = shares.known_until_ms - shares.known_from_ms
    is_short = known_ms < LEAST_KNOWN * (window.end_ms - window.start_ms)
    if is_short or not shares.interest[-1] >= 0:  # true for NaN as well, which stands for unknown
        raise RequestError(
            f"The open interest of {symbol} is not known until the end of this window; {_RATHER_TRADES}."
        )
    if shares.unfit > MOST_UNFIT * shares.judged:
        raise RequestError(
            f"The open interest of {symbol} changed by more than its volume in {shares.unfit} of"
            f" {shares.judged} intervals, so it says too little; {_RATHER_TRADES}."
        )
    return Positions.of(shares, path, traded)


def position_basis(request: MapRequest, positions: Positions | None) -> PositionBasis | None:
    """Return what a map by open interest was computed with, None for any other."""
    if positions is None:
        return None
    shares, window = positions.shares, request.window
    since = at_ms(shares.known_from_ms) if shares.known_from_ms > window.start_ms else None
    until = at_ms(shares.known_until_ms) if shares.known_until_ms < window.end_ms else None
    return PositionBasis(request.turnover, shares.judged, shares.unfit, since, until)


def open_interest(
    request: MapRequest,
    interest: Series | None,
    shares: OpenShares | None,
    *,
    margin: MarginBasis,
    buckets: LevelBuckets,
    last_price: float,
) -> OpenInterest | None:
    """Return the open interest of a market, and how much of it is each side's notional in `buckets`.

    None where it is not known at the end of the window.
    """
    # The seed library's own way counts each trade once for every leverage.
    is_seed = margin.model is MarginModel.SIMPLE and margin.lacking is None
    if interest is None or not len(interest) or is_seed:
        return None
    window, value = request.window, interest.values[0]
    # A row begins a step, and its value is that of the step's end.
    at = interest.time + interest.kind.step_ms
    late = LATE_STEPS * interest.kind.step_ms
    if at[-1] < window.end_ms - late or not value[-1] > 0:
        return None
    end = float(value[at <= max(window.end_ms, at[0])][-1])
    start = float(value[0]) if at[0] <= window.start_ms + late else None
    if shares is not None and shares.known_from_ms > window.start_ms:
        start = None
    market = request.market
    inverse = EXCHANGES[market.exchange].contract(market.symbol).inverse
    # The sizes of inverse contracts are dollars already.
    notional = end if inverse else end * last_price
    return OpenInterest(
        start, end, notional, float(buckets.long.sum()) / notional, float(buckets.short.sum()) / notional
    )
