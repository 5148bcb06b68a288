"""Coverage: which part of a window some parts make up, from where, and why the rest is missing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from liqmap.model import Coverage, Gap
from liqmap.store.segments import lost_between
from liqmap.window import DAY, TimeWindow, merged, missing, split_at

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from liqmap.store.segments import Part


def coverage_of(
    window: TimeWindow, parts: Sequence[Part], *, market: str, explain: Callable[[TimeWindow], Gap]
) -> Coverage:
    """Return the coverage of `window` by `parts`; `explain` makes the gap of a part that a day lacks.

    `parts` come oldest first. `market` names where the trades are from, such as `Binance USD-M`.
    """
    covered = merged(part.window for part in parts)
    gaps: list[Gap] = []
    for part in missing(window, covered):
        for piece in split_at(part, DAY):
            gap = explain(piece)
            # Days that lack the same for the same reason are one gap to a reader.
            if gaps and gaps[-1].window.end == piece.start and replace(gaps[-1], window=piece) == gap:
                gap = replace(gap, window=TimeWindow(gaps.pop().window.start, piece.end))
            gaps.append(gap)
    origins = {part.segment.path: part.segment.origin for part in parts}.values()
    ways = dict.fromkeys(via for origin in origins for via in origin.via)
    return Coverage(
        window=window,
        covered=tuple(covered),
        missing=tuple(gaps),
        sources=(f"{market} {', '.join(ways)}",) if ways else (),
        lost_ids=sum(origin.lost_ids for origin in origins) + lost_between(parts),
        zero_sizes=sum(origin.zero_sizes for origin in origins),
        unverified=sum(origin.unverified for origin in origins),
        simulated=any(origin.simulated for origin in origins),
    )
