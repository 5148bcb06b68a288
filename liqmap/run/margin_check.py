"""The margin check: compare recorded liquidations with the brackets.

An exchange closes a position at its liquidation price with an order at the bankruptcy price. By its formula
the two are the maintenance rate apart, so the median of |1 - bankruptcy / fill| over a symbol's liquidations
estimates the rate of its first bracket, whatever their leverage was. It comes out low, because fills slip.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from liqmap.brackets import find_brackets
from liqmap.errors import DataError
from liqmap.exchanges import EXCHANGES
from liqmap.files import matching
from liqmap.ledger.metrics import margin_gap
from liqmap.model import Exchange, Market, Side
from liqmap.model.window import DAY, TimeWindow, at_ms
from liqmap.store.liquidations import read_liquidations

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from liqmap.exchanges.messages import Liquidation

ENOUGH: Final = 30
"""The number of liquidations below which nothing is said about a bracket."""

JUDGED: Final = 30 * DAY
"""How long before the newest liquidation others count. Earlier ones may be of other brackets, also where the
date of their table does not tell."""

# Lopsided, because fills slip: the median comes out low, and hardly ever high.
FITS: Final = (0.5, 1.2)
"""A bracket fits if the median is between these multiples of its rate."""

SIDES_RIGHT: Final = 0.5
"""If less than this share of the bankruptcy prices is on the losing side, sides are read the wrong way."""


@dataclass(frozen=True, slots=True)
class MarginCheck:
    """What a market's newest liquidations say: how many, the median gap, and the rate of the first bracket.

    `right` is the share of the `recent` ones whose bankruptcy price lies on the losing side of the fill. Of
    them, `count` came when the brackets surely held, and `gap` is theirs, None if there are none. `rate` is
    None where there is no bracket, and `since` is the first whole day of the table that has it, None where
    no table says. `newest` is the day of the newest.
    """

    market: Market
    recent: int
    right: float
    newest: date
    count: int
    gap: float | None = None
    rate: float | None = None
    since: date | None = None

    @property
    def problem(self) -> str | None:
        """What does not fit, as a sentence; None if everything fits or too little is known."""
        if self.recent >= ENOUGH and self.right < SIDES_RIGHT:
            return (
                f"The sides of {self._name}'s liquidations seem to be read the wrong way round; report this."
            )
        if self.count < ENOUGH or self.gap is None or self.rate is None:
            return None
        if not FITS[0] <= self.gap / self.rate <= FITS[1]:
            return (
                f"The brackets of {self._name} may be out of date: liquidations suggest a maintenance rate of"
                f" {self.gap:.2%}, the first bracket has {self.rate:.2%}; try `liqmap brackets`."
            )
        return None

    @property
    def too_few(self) -> str | None:
        """A sentence if only those of before the brackets held would be enough to judge them, else None."""
        if self.since is None or self.count >= ENOUGH or self.recent < ENOUGH:
            return None
        return (
            f"The brackets of {self._name} are known to hold since {self.since}; {self.count} of its"
            f" liquidations came since then, too few to judge them ({ENOUGH} are needed)."
        )

    @property
    def _name(self) -> str:
        return f"{EXCHANGES[self.market.exchange].label} {self.market.symbol}"


def margin_checks(root: Path) -> list[MarginCheck]:
    """Return the check of each market with recorded liquidations whose bankruptcy price is known."""
    found = []
    for exchange in Exchange:
        for folder in matching(root / "liquidations" / exchange, "*"):
            market = Market(exchange, folder.name)
            days = [path.stem for path in matching(folder, "*.csv")]
            check = margin_check(market, _read(root, market, days), folders=(root / "brackets",))
            if check is not None:
                found.append(check)
    return found


def margin_check(
    market: Market, liquidations: Iterable[Liquidation], *, folders: tuple[Path, ...] = ()
) -> MarginCheck | None:
    """Return the check of one market by its liquidations, None if no bankruptcy price is known."""
    known = [each for each in liquidations if each.bankruptcy is not None]
    newest_ms = max((each.time for each in known), default=0)
    known = [each for each in known if each.time > newest_ms - JUDGED // timedelta(milliseconds=1)]
    price = np.array([each.price for each in known], np.float64)
    bankruptcy = np.array([each.bankruptcy for each in known], np.float64)
    if not known:
        return None
    is_long = np.array([each.position is Side.BUY for each in known])
    newest = at_ms(newest_ms).date()
    brackets = find_brackets(market.exchange, market.symbol, on=newest, folders=folders)
    # Those of the table's own day may be of the brackets before, which changed at some hour of it.
    since = None if brackets is None or brackets.is_earliest else brackets.date + DAY
    since_ms = 0 if since is None else TimeWindow.of_day(since).start_ms
    held = np.array([each.time >= since_ms for each in known])
    return MarginCheck(
        market,
        len(known),
        # The price of bankruptcy is below the fill for a long, and above it for a short.
        right=float(np.mean((bankruptcy - price) * np.where(is_long, -1, 1) >= 0)),
        newest=newest,
        count=int(np.count_nonzero(held)),
        gap=margin_gap(price[held], bankruptcy[held]),
        rate=None if brackets is None else float(brackets.brackets.rate[0]),
        since=since,
    )


def margin_checks_text(checks: Iterable[MarginCheck]) -> str:
    """Return the checks as lines, the markets with most liquidations first."""
    lines = [
        f"{EXCHANGES[each.market.exchange].label:<9} {each.market.symbol:<14}"
        f" {'unknown' if each.gap is None else f'{each.gap:.3%}':>8}"
        f"  {'no bracket' if each.rate is None else f'{each.rate:.3%}':>10}  {each.count:>7,}"
        for each in sorted(checks, key=lambda each: -each.count)
    ]
    head = f"{'exchange':<9} {'symbol':<14} {'measured':>8}  {'bracket':>10}  {'events':>7}"
    return "\n".join([head, *lines])


def _read(root: Path, market: Market, days: list[str]) -> Iterable[Liquidation]:
    for day in days:
        # `liqmap check` reports damaged tables, and a file that is not named by a day is not a table.
        with suppress(DataError, ValueError):
            yield from read_liquidations(root, market.exchange, market.symbol, date.fromisoformat(day))
