"""The row of an exchange in `EXCHANGES`, and its parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import date

    from liqmap.exchanges.messages import Backfill, LiquidationPages, LiveFormat
    from liqmap.exchanges.protocol import (
        Contract,
        ExchangeFormat,
        InstrumentFormat,
        LiquidationFiles,
        ListingFormat,
        RiskLimitFormat,
        SeriesFormat,
        TimeFormat,
        VolumeFormat,
    )
    from liqmap.model import MarginModel, MarginRule
    from liqmap.model.series import SeriesKind


@dataclass(frozen=True, slots=True)
class ExchangeMargin:
    """How an exchange computes margin.

    `model` is its own margin model, and `rules` are its rules for maintenance margin, oldest first.
    `brackets_source` names the source of its leverage brackets. `risk_limits` is None if they are not
    published without an account.
    """

    model: MarginModel
    rules: tuple[MarginRule, ...]
    brackets_source: str
    risk_limits: RiskLimitFormat | None = None

    def rule(self, *, on: date) -> MarginRule:
        """Return the exchange's rule for maintenance margin on a day."""
        # The rules come oldest first, and the newest has no end.
        return next(rule for rule in self.rules if rule.until is None or on < rule.until)


def _unknown_weight(_: Mapping[str, str]) -> None:
    return None


def _never_busy(_: object) -> None:
    return None


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """How an exchange limits requests to its REST API, and how it says that one came too early.

    The budget is renewed each `period`. `used_weight` reads the request weight used in this period from an
    answer's headers, None if they do not have it. `busy` reads from an answer how long to wait [s] if it only
    says to ask again. `wait` is the wait [s] after a status that says so without a time.
    """

    period: timedelta = timedelta(minutes=1)
    used_weight: Callable[[Mapping[str, str]], int | None] = _unknown_weight
    busy: Callable[[object], float | None] = _never_busy
    wait: float = 60.0  # limits are counted by the minute, or more often


@dataclass(frozen=True, slots=True)
class PastLiquidations:
    """Where an exchange publishes past liquidations. Without files and pages, they can only be recorded."""

    files: LiquidationFiles | None = None
    pages: LiquidationPages | None = None

    def files_of(self, symbol: str, day: date) -> LiquidationFiles | None:
        """Return the files if they have the liquidations of `symbol` on `day`."""
        if self.files is None or self.files.day_file("", symbol, day) is None:
            return None
        return self.files


@dataclass(frozen=True, slots=True)
class ExchangeRow:
    """One exchange: how people and buttons name it, and its formats.

    `label` is its name in sentences. `letter` stands for it in the ids of buttons. Old messages have such
    buttons, so it never changes. `markets` are the kinds of futures that it has; `contract` returns the kind
    of a symbol. `backfill` is None if the trades of the last hours can only be recorded, `volumes` if no
    answer has those of all symbols, and `instruments` if sizes are in base currency already. `series` are the
    kinds of series that the exchange publishes. What is stored are fills, not orders, if it `stores_fills`.
    """

    label: str
    letter: str
    margin: ExchangeMargin
    markets: tuple[Contract, ...]
    contract: Callable[[str], Contract]
    files: ExchangeFormat
    live: LiveFormat
    listing: ListingFormat
    time: TimeFormat
    limits: RequestLimits = RequestLimits()
    liquidations: PastLiquidations = PastLiquidations()
    backfill: Backfill | None = None
    series: Mapping[SeriesKind, SeriesFormat] = field(default_factory=dict)
    volumes: VolumeFormat | None = None
    instruments: InstrumentFormat | None = None
    stores_fills: bool = False
