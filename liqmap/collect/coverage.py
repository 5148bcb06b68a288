"""Work out which part of a window is covered, where it is from, and why the rest is missing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from liqmap.model import Coverage, Gap, GapKind
from liqmap.model.window import DAY, TimeWindow, at_ms, merged, missing, split_at
from liqmap.store.borders import holes_between

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from liqmap.model import Exchange, Hole
    from liqmap.store.segments import Part


def coverage_of(
    window: TimeWindow,
    parts: Sequence[Part],
    *,
    market: str,
    explain: Callable[[TimeWindow], Gap],
    outer: Sequence[Hole] = (),
) -> Coverage:
    """Return the coverage of `window` by `parts`; `explain` returns the gap for a missing span of one day.

    `parts` come oldest first. `market` names where the trades are from, such as `Binance USD-M`. `outer`
    are the holes that reach into the window from across the borders of its first and last segment.
    """
    borders = [*holes_between(parts), *outer]
    held = merged(part.window for part in parts)
    gaps = _by_reason(window, held, explain)
    # A hole inside a segment is a gap as well, although the segment covers it: the exchange numbers its
    # trades, and some of those numbers never came.
    lost = [gap for part in parts for gap in _gaps_in(part.window, part.segment.origin.holes)]
    lost += _gaps_in(window, [hole for hole in borders if hole.is_gap])
    covered = [rest for part in held for rest in missing(part, (gap.window for gap in lost))]
    origins = {part.segment.path: part.segment.origin for part in parts}.values()
    ways = dict.fromkeys(via for origin in origins for via in origin.via)
    return Coverage(
        window=window,
        covered=tuple(covered),
        missing=tuple(sorted([*gaps, *lost], key=lambda gap: gap.window.start)),
        sources=(f"{market} {', '.join(ways)}",) if ways else (),
        lost_ids=sum(origin.lost_ids for origin in origins) + sum(hole.lost for hole in borders),
        zero_sizes=sum(origin.zero_sizes for origin in origins),
        unverified=sum(origin.unverified and not origin.differs for origin in origins),
        differing=sum(origin.differs for origin in origins),
        simulated=any(origin.simulated for origin in origins),
    )


def joint_coverage(window: TimeWindow, each: Mapping[Exchange, Coverage]) -> Coverage:
    """Return the coverage of a map of several exchanges: what all of them cover.

    A part that several lack is the first one's gap.
    """
    gaps: list[Gap] = []
    for exchange, coverage in each.items():
        for gap in coverage.missing:
            taken = [other.window for other in gaps]
            gaps += (replace(gap, window=part, of=exchange) for part in missing(gap.window, taken))
    gaps.sort(key=lambda gap: gap.window.start)
    coverages = list(each.values())
    return Coverage(
        window=window,
        covered=tuple(missing(window, (gap.window for gap in gaps))),
        missing=tuple(gaps),
        sources=tuple(dict.fromkeys(source for coverage in coverages for source in coverage.sources)),
        lost_ids=sum(coverage.lost_ids for coverage in coverages),
        zero_sizes=sum(coverage.zero_sizes for coverage in coverages),
        unverified=sum(coverage.unverified for coverage in coverages),
        differing=sum(coverage.differing for coverage in coverages),
        simulated=any(coverage.simulated for coverage in coverages),
        last_trade=coverages[0].last_trade,
        whole_end=None,
    )


def _by_reason(
    window: TimeWindow, held: Sequence[TimeWindow], explain: Callable[[TimeWindow], Gap]
) -> list[Gap]:
    gaps: list[Gap] = []
    for part in missing(window, held):
        for piece in split_at(part, DAY):
            gap = explain(piece)
            # Neighbouring days that are missing for the same reason are one gap to a reader.
            if gaps and gaps[-1].window.end == piece.start and replace(gaps[-1], window=piece) == gap:
                gap = replace(gap, window=TimeWindow(gaps.pop().window.start, piece.end))
            gaps.append(gap)
    return gaps


def _gaps_in(window: TimeWindow, holes: Iterable[Hole]) -> list[Gap]:
    """Return the gaps that holes leave in a window: the whole seconds between two trades."""
    found: list[Gap] = []
    for hole in holes:
        # The seconds of the two trades themselves have a price, so no line is broken there.
        start, end = hole.start_ms // 1000 + 1, hole.end_ms // 1000
        if start < end:
            inside = TimeWindow(at_ms(start * 1000), at_ms(end * 1000)).overlap(window)
            if inside is not None:
                found.append(Gap(inside, GapKind.LOST, lost=hole.lost))
    return found
