"""What the levels of a map were computed with: margin model, brackets, sweeping price, open interest."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date, datetime

    from liqmap.model.request import MarginModel, SweepPrice


class Valuation(StrEnum):
    """Which value of a position its maintenance margin is based on: that at entry, or by the mark price.

    `SIZE` is by the mark price too, at the rate of the tier of the position's size, whatever it is worth.
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
    """The brackets that are not known: those of `symbol` at `exchange` (its label).

    `contracts` names the kind of contract, such as `Binance COIN-M`, if the exchange publishes none of it.
    """

    exchange: str
    symbol: str
    contracts: str | None = None


@dataclass(frozen=True, slots=True)
class SweepBasis:
    """Which price swept a map's levels.

    `share` is the part of the window's minutes in which it did; in the others it was the traded price.
    """

    price: SweepPrice
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class PositionBasis:
    """What a map by open interest was computed with.

    `known_from` is where open interest is known from on, None where that is the whole window; trades before
    it are taken as not opened. Of `judged` intervals, `unfit` had a change of it beyond their volume.
    """

    turnover: float
    judged: int
    unfit: int = 0
    known_from: datetime | None = None


@dataclass(frozen=True, slots=True)
class MarginBasis:
    """What a map's levels were computed with: the model and the date of its brackets.

    `earliest` means that the window is older than the oldest known brackets, which were used. `rule` is the
    exchange's rule, if it has had several. `lacking` says why the simple model replaces the requested one.
    `sweep` is which price swept the levels, None where none did, and `positions` how open interest weighed
    them, None where all that was traded counts.
    """

    model: MarginModel
    brackets: date | None = None
    source: str = ""
    lacking: LackingBrackets | None = None
    earliest: bool = False
    rule: MarginRule | None = None
    sweep: SweepBasis | None = None
    positions: PositionBasis | None = None
