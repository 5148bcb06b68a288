"""Select which of a window's trades a map is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, assert_never

import numpy as np

from liqmap.compute.values import SideTrades
from liqmap.model import GrossValue, Portion, Selection, TopN
from liqmap.model.exact import rounded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


_FIRST: Final = 1000  # trades of a part: reading fewer is no faster
_MORE: Final = 1.25  # times its share


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a list of one side's trades, largest first, is cut.

    It keeps at most `count` trades, of at least `minimum` notional.
    """

    count: int | None = None
    minimum: float = 0.0


def cut_for(selection: Selection, *, side_trades: int) -> Cut:
    """Return the cut of one side that has `side_trades` trades in the window.

    Every mode selects from each side separately; `portion` rounds down to whole trades.
    """
    match selection:
        case TopN(count):
            return Cut(count=count)
        case GrossValue(minimum):
            return Cut(minimum=minimum)
        case Portion(fraction):
            # 29 % of 100 trades are 29, but 28.999999999999996 in floats, which would round down to 28.
            return Cut(count=int(rounded(np.array([side_trades * fraction]))[0]))
        case _:  # pragma: no cover - the type checker proves that every selection is handled
            assert_never(selection)


def merge(parts: Sequence[SideTrades], cut: Cut) -> SideTrades:
    """Merge lists of one side that follow each other in time, each largest first, and cut the result.

    Equal notionals stay in order of time across the lists.
    """
    # A stable sort keeps equal notionals in the order of the concatenation, which is the order of time.
    notional = np.concatenate([part.notional for part in parts])
    order = np.argsort(-notional, kind="stable")[: cut.count]
    return SideTrades(
        parts[0].side,
        np.concatenate([part.time for part in parts])[order],
        np.concatenate([part.price for part in parts])[order],
        notional[order],
    )


def shared_out(count: int, *, parts: int, read: Callable[[int, Cut], NDArray[np.float64]]) -> tuple[int, ...]:
    """Return how many of each part's largest trades are among the `count` largest of all parts.

    `read(part, cut)` returns a part's notionals, largest first, as far as the cut keeps them. Parts follow
    each other in time; of equal notionals the earlier trade comes first.

    Each part is first read as far as a little more than its share of `count`, or 1,000 trades. If that may
    not be enough, it is read again. What is held is then cut to `count` each time that it reaches twice as
    many.
    """
    # The parts are mostly alike. What they hold of a little more than their share shows how large the
    # selected trades are at least, and few parts hold more of those.
    share = min(count, max(_FIRST, math.ceil(_MORE * count / max(1, parts))))
    kept = [read(part, Cut(count=share)) for part in range(parts)]
    ends = [float(each[-1]) if len(each) == share and each.size else -np.inf for each in kept]
    kept, smallest = _trimmed(kept, count)
    # If the share was `count`, each part has been read as far as it can matter.
    again = range(parts) if share < count else ()
    for part in again:
        if ends[part] >= smallest:
            kept[part] = read(part, Cut(count=count, minimum=smallest))
            # It costs a partition, which pays only once twice `count` are held.
            if sum(map(len, kept)) >= 2 * count:
                kept, smallest = _trimmed(kept, count)
    return tuple(len(each) for each in _trimmed(kept, count)[0])


def _trimmed(kept: list[NDArray[np.float64]], count: int) -> tuple[list[NDArray[np.float64]], float]:
    """Cut off what is not among the `count` largest, and return the smallest of these.

    If there are no more than `count`, nothing is cut off, and the smallest is given as 0.
    """
    everything = np.concatenate([np.empty(0), *kept])
    if len(everything) <= count or not count:
        return [each[:count] for each in kept], 0.0
    everything.partition(len(everything) - count)
    smallest = float(everything[-count])
    # Of trades that equal the smallest, the earliest fill the room that the larger ones leave.
    larger = [_count_above(each, smallest) for each in kept]
    room = count - sum(larger)
    trimmed = []
    for each, above in zip(kept, larger, strict=True):
        ties = min(room, len(each) - int(np.searchsorted(each[::-1], smallest)) - above)
        room -= ties
        trimmed.append(each[: above + ties])
    return trimmed, smallest


def _count_above(notional: NDArray[np.float64], bound: float) -> int:
    """Return how many notionals, largest first, are larger than `bound`."""
    return len(notional) - int(np.searchsorted(notional[::-1], bound, side="right"))
