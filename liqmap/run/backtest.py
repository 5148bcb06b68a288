"""Compare maps of past days with liquidations that an exchange has published.

The settings of the map are chosen on the first half of the days; the second half is opened once with them.
Both halves are ledgers like any other, so an interrupted back-test goes on where it was.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from liqmap.errors import NotPublished
from liqmap.ledger.book import opened
from liqmap.ledger.file import digest_of, read_ledger
from liqmap.ledger.lines import HORIZON, LedgerOrigin
from liqmap.ledger.report import report_of
from liqmap.model import Progress
from liqmap.model.window import TimeWindow
from liqmap.run.terms import terms_of
from liqmap.settings import LedgerSettings
from liqmap.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from liqmap.clock import Clock
    from liqmap.ledger.book import Book
    from liqmap.ledger.report import Report
    from liqmap.ledger.score import Feed, Standing, Travelled
    from liqmap.model import Market
    from liqmap.run.accuracy import Accuracy

CANDIDATES: Final = tuple(
    LedgerSettings(window=window, selection=selection)
    for window in ("24h", "72h")
    for selection in ("portion 1%", "top_n 100")
)
"""The settings among which the first half chooses, the defaults first."""

_AT_ONCE = 4  # windows; enough to keep two cores busy while the next days are fetched


class Chosen(NamedTuple):
    """What the first half chose: the settings, and their mean information gain [bits]; None if undecided."""

    ledger: LedgerSettings
    gain: float | None


@dataclass(frozen=True, slots=True)
class _Half:
    """A ledger of past windows that is being filled."""

    path: Path
    ledger: LedgerSettings
    moments: Sequence[datetime]


class Backtest:
    """Fills ledgers of `market` over a window of whole days, by what `accuracy` computes."""

    def __init__(
        self,
        accuracy: Accuracy,
        market: Market,
        window: TimeWindow,
        *,
        clock: Clock,
        progress: Callable[[Progress], None],
    ) -> None:
        self._accuracy = accuracy
        self._market = market
        self._clock = clock
        self._progress = progress
        count = int(window.length / HORIZON)
        moments = [window.start + HORIZON * number for number in range(count)]
        self._first, self._second = moments[: count // 2], moments[count // 2 :]
        self._done, self._total = 0, len(self._first) * len(CANDIDATES) + len(self._second)

    async def run(self, path: Path) -> Chosen:
        """Write the ledger of the second half to `path`, and those of the first beside it.

        Raises RequestError where nothing was published, and what fetching and the ledgers raise.
        """
        found: list[tuple[float | None, LedgerSettings, Path]] = []
        for ledger in CANDIDATES:
            half = path.with_name(f"{path.stem}.first-{digest_of(terms_of(ledger))}.jsonl")
            await self._fill(_Half(half, ledger, self._first))
            found.append((_gain(half), ledger, half))
        # Of equal gains the first, which is the default. Candidates without a gain come last.
        gain, chosen, prior = max(found, key=lambda each: -1e9 if each[0] is None else each[0])
        # The baseline of the second half may learn from the first, or its first thirty windows were lost.
        with_prior = chosen.model_copy(update={"prior": str(prior)})
        await self._fill(_Half(path, with_prior, self._second))
        return Chosen(chosen, gain)

    async def _fill(self, half: _Half) -> None:
        with opened(half.path, prior=half.ledger.prior_path) as book:
            now, terms = self._clock.now(), terms_of(half.ledger)
            book.begin(origin=LedgerOrigin.BACKTEST, version=__version__, terms=terms, now=now)
            for place in range(0, len(half.moments), _AT_ONCE):
                some = half.moments[place : place + _AT_ONCE]
                lacking = [each for each in some if self._lacks(book, each)]
                found = await asyncio.gather(*(self._window(each, half.ledger) for each in lacking))
                for moment, came in zip(lacking, found, strict=True):
                    if came is not None:
                        standing, feed, travelled = came
                        seal = book.seal(self._market, moment, standing, now=self._clock.now())
                        book.outcome(seal, feed, travelled)
                self._done += len(some)
                day = some[-1].date()
                self._progress(
                    Progress(f"Comparing {self._market.symbol} until {day}", self._done / self._total)
                )

    def _lacks(self, book: Book, moment: datetime) -> bool:
        window = book.find(self._market, moment)
        return window is None or window.outcome is None

    async def _window(
        self, moment: datetime, ledger: LedgerSettings
    ) -> tuple[Standing, Feed, Travelled] | None:
        """Return what stands and what came of one window; None if no trades were published before it."""
        with suppress(NotPublished):
            standing = await self._accuracy.standing(self._market, moment, ledger)
            window = TimeWindow(moment, moment + HORIZON)
            feed, travelled = await self._accuracy.came(self._market, window, price=standing.price)
            return standing, feed, travelled
        return None


def _gain(path: Path) -> float | None:
    report: Report | None = report_of(read_ledger(path))
    figures = None if report is None else report.figures
    return None if figures is None else figures.gain.value
