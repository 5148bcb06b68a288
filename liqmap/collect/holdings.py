"""What the store has of a window, as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from liqmap.collect.borders import outer_holes
from liqmap.collect.coverage import coverage_of
from liqmap.exchanges import EXCHANGES
from liqmap.model import Gap, GapKind

if TYPE_CHECKING:
    from liqmap.model import Coverage, Market
    from liqmap.model.window import TimeWindow
    from liqmap.store.local import SegmentStore
    from liqmap.store.segments import Part


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the store has of a window: the parts of segments, oldest first, and the coverage."""

    parts: tuple[Part, ...]
    coverage: Coverage


def held_in(store: SegmentStore, market: Market, window: TimeWindow) -> Holdings:
    """Return what the store has of `window` now, which may be nothing. The gaps are being fetched.

    Raises UnreadableStore.
    """
    parts = store.parts(market.exchange, market.symbol, window)

    def being_fetched(part: TimeWindow) -> Gap:
        return Gap(part, GapKind.BEING_FETCHED)

    return Holdings(
        parts,
        coverage_of(
            window,
            parts,
            market=EXCHANGES[market.exchange].contract(market.symbol).label,
            explain=being_fetched,
            outer=outer_holes(store, window, parts),
        ),
    )
