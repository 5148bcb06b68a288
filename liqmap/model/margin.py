"""What the levels of a map were computed with: margin model, brackets, sweeping price, open interest."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date, datetime

    from liqmap.model.request import MarginModel, SweepPrice


class Valuation(StrEnum):
    """The value of a position that its maintenance margin is a share of: at entry, or at the mark price.

    `SIZE` takes the value at the mark price too, but the tier depends on the position's size alone.
    """

    ENTRY = "entry"
    MARK = "mark"
    SIZE = "size"


@dataclass(frozen=True, slots=True)
class MarginRule:
    """How an exchange computes maintenance margin, for windows that end in [since, until).

    `fee` is the fee for closing, where the exchange counts it as maintenance margin: a share of the value.
    """

    valuation: Valuation
    since: date | None = None
    until: date | None = None
    fee: float = 0.0


@dataclass(frozen=True, slots=True)
class LackingBrackets:
    """Brackets that are not known: those of `symbol` at `exchange` (its label).

    `contracts` names the kind of contract, such as `Binance COIN-M`, if the exchange publishes none of it.
    """

    exchange: str
    symbol: str
    contracts: str | None = None


@dataclass(frozen=True, slots=True)
class SweepBasis:
    """Which price swept a map's levels.

    `share` is the part of the window's minutes in which it did. In the others the traded price did. In a map
    of several markets, it is their mean.
    """

    price: SweepPrice
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class PositionBasis:
    """What a map by open interest was computed with.

    `known_from` is the time from which open interest is known, None if that is the window's start, and
    `known_until` that until which it is, None if that is its end. Earlier and later trades count as not
    opened. `judged` intervals were compared with their volume; in `unfit` of them open interest changed by
    more than was traded. In a map of several markets, these are the intervals of all, and the times are those
    between which the open interest of all is known.
    """

    turnover: float
    judged: int
    unfit: int = 0
    known_from: datetime | None = None
    known_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class MarginBasis:
    """What a map's levels were computed with: the model and the date of its brackets.

    `earliest` means that the window is older than the oldest known brackets, which were used. `rule` is the
    exchange's rule, if it has had several. `lacking` says why the simple model replaces the requested one.
    `sweep` says which price swept the levels, None if no price did. `positions` says how open interest
    weighed the trades, None if they count in full.
    """

    model: MarginModel
    brackets: date | None = None
    source: str = ""
    lacking: LackingBrackets | None = None
    earliest: bool = False
    rule: MarginRule | None = None
    sweep: SweepBasis | None = None
    positions: PositionBasis | None = None
