"""Select which of a window's trades a map is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

import numpy as np

from liqmap.compute.values import SideTrades
from liqmap.model import GrossValue, Portion, Selection, TopN
from liqmap.model.exact import rounded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a list of one side's trades, largest first, is cut.

    It keeps at most `count` trades, of at least `minimum` notional, and of more than `above`.
    """

    count: int | None = None
    minimum: float = 0.0
    above: float = 0.0


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
    each other in time; of equal notionals the earlier trade comes first. Held at once are the notionals
    newly read and fewer than twice `count` others.
    """
    kept: list[NDArray[np.float64]] = []
    cut = Cut(count=count)
    for part in range(parts):
        kept.append(read(part, cut))
        # Trimming shows how large later trades must be, so less is read. It costs a partition, which pays
        # only once twice `count` are held.
        if count and sum(map(len, kept)) >= 2 * count:
            kept, cut = _trimmed(kept, count)
    lengths = [len(each) for each in _trimmed(kept, count)[0]]
    return (*lengths,)


def _trimmed(kept: list[NDArray[np.float64]], count: int) -> tuple[list[NDArray[np.float64]], Cut]:
    """Cut off what is not among the `count` largest, and return the cut that later trades must pass."""
    everything = np.concatenate(kept)
    if len(everything) <= count or not count:
        return [each[:count] for each in kept], Cut(count=count)
    smallest = float(np.partition(everything, -count)[-count])
    # Of trades that equal the smallest, the earliest fill the room that the larger ones leave. Later parts
    # come later in time, so from them only larger trades can still enter: hence `above`.
    room = count - int(np.count_nonzero(everything > smallest))
    trimmed = []
    for each in kept:
        larger = int(np.count_nonzero(each > smallest))
        ties = min(room, int(np.count_nonzero(each == smallest)))
        room -= ties
        trimmed.append(each[: larger + ties])
    return trimmed, Cut(count=count, above=smallest)
