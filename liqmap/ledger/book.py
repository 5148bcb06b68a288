"""A ledger that is open for writing: it adds seals and their outcomes, each made of the lines before it."""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

from liqmap.clock import TOLERATED
from liqmap.errors import RequestError
from liqmap.ledger.file import read_ledger, writing
from liqmap.ledger.lines import LedgerOrigin, Outcome, Seal, Window, begin_line, first_line, windows_of
from liqmap.ledger.score import known_levels, outcome_of, seal_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from liqmap.ledger.file import Writer
    from liqmap.ledger.score import Feed, Standing, Travelled
    from liqmap.model import Market


# Figures are means over a ledger's windows, so all of its maps must be alike in these fields of the first
# line. Each field has the words for a difference.
_SAME = {"version": "another version", "terms": "other settings", "origin": "other data"}


class Book:
    """A ledger's windows, and the means to add more; made by `opened`.

    `prior` are windows of another ledger, from which the baseline may learn as well.
    """

    def __init__(self, writer: Writer, *, prior: Sequence[Window]) -> None:
        self._writer = writer
        self._prior = prior
        self._windows: defaultdict[Market, list[Window]] = defaultdict(list)
        for window in windows_of(writer.lines):
            self._windows[window.seal.market].append(window)

    def begin(self, *, origin: LedgerOrigin, version: str, terms: Mapping[str, Any], now: datetime) -> None:
        """Begin the ledger, or check that it was begun for the same maps and not after `now`.

        Raises RequestError.
        """
        wanted = begin_line(origin=origin, version=version, terms=terms, begun=now)
        first = first_line(self._writer.lines)
        if first is None:
            self._writer.append(wanted)
            return
        for key, what in _SAME.items():
            if first.get(key) != wanted[key]:
                raise RequestError(f"This ledger was begun with {what}; name another file with --file.")
        newest = max((each.seal.written for each in chain(*self._windows.values())), default=now)
        # A line that claims to be older than the one before it was written by a clock that was set back.
        if now < newest - TOLERATED:
            raise RequestError(
                f"This machine's clock shows {now:%Y-%m-%d %H:%M} UTC, but the ledger was written until"
                f" {newest:%Y-%m-%d %H:%M}; set the clock, or name another file with --file."
            )

    def find(self, market: Market, time: datetime) -> Window | None:
        """Return the window that was sealed at `time`, if any."""
        return next((each for each in self._windows[market] if each.seal.time == time), None)

    def seal(self, market: Market, time: datetime, standing: Standing, *, now: datetime) -> Seal:
        """Write a seal and return it, or the one that was written before."""
        if (found := self.find(market, time)) is not None:
            return found.seal
        before = chain(self._prior, self._windows[market])
        seal = seal_of(market, time, standing, before=before, written=now)
        # Read back, because a line has rounded numbers, and the outcome must follow from the line alone.
        written = Seal.read(self._writer.append(seal.body()))
        self._windows[market].append(Window(written, None))
        return written

    def outcome(self, seal: Seal, feed: Feed, path: Travelled) -> Outcome:
        """Write what came of a seal and return it, or the outcome that was written before."""
        windows = self._windows[seal.market]
        place = next(number for number, each in enumerate(windows) if each.seal.digest == seal.digest)
        if (found := windows[place].outcome) is not None:
            return found
        # Only earlier windows: several may be scored at once, and later ones must not decide what was new.
        known = known_levels(windows[:place])
        written = Outcome.read(self._writer.append(outcome_of(seal, feed, path, known=known).body()))
        windows[place] = Window(windows[place].seal, written)
        return written


@contextmanager
def opened(path: Path, *, prior: Path | None = None) -> Iterator[Book]:
    """Open the ledger in `path` for writing. Raises as `writing`."""
    known = () if prior is None else windows_of(read_ledger(prior).lines)
    with writing(path) as writer:
        yield Book(writer, prior=known)
