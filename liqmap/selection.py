"""Filter: which of a window's trades a map is made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

import numpy as np

from liqmap.model import GrossValue, Portion, Selection, SideTrades, TopN

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a list of one side's trades, largest first, is cut: at a count, and below a notional.

    `above` is a bound that trades must exceed rather than reach.
    """

    count: int | None = None
    minimum: float = 0.0
    above: float = 0.0


def cut_for(selection: Selection, *, side_trades: int) -> Cut:
    """Return the cut that `selection` means for one side with `side_trades` trades in the window.

    Every mode works on each side alone; `portion` rounds down, as `int(n * fraction)`.
    """
    match selection:
        case TopN(count):
            return Cut(count=count)
        case GrossValue(minimum):
            return Cut(minimum=minimum)
        case Portion(fraction):
            return Cut(count=int(side_trades * fraction))
        case _:  # pragma: no cover - the type checker proves that every selection is handled
            assert_never(selection)


def merge(parts: Sequence[SideTrades], cut: Cut) -> SideTrades:
    """Merge lists of one side that follow each other in time, each largest first, and cut the result.

    Equal notionals stay in the order of time, whichever list they come from.
    """
    notional = np.concatenate([part.notional for part in parts])
    order = np.argsort(-notional, kind="stable")[: cut.count]
    return SideTrades(
        parts[0].side,
        np.concatenate([part.time for part in parts])[order],
        np.concatenate([part.price for part in parts])[order],
        notional[order],
    )


def tightened(cut: Cut, kept: SideTrades) -> Cut:
    """Return `cut` for the trades that come later than `kept`: once full, they must beat its smallest."""
    if cut.count is None or len(kept) < cut.count or not len(kept):
        return cut
    return replace(cut, above=float(kept.notional[-1]))
