"""A ledger's lines: how it was begun, what was sealed, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np

from liqmap.errors import RequestError, parser_door
from liqmap.ledger.buckets import COUNT
from liqmap.model import Exchange, Market
from liqmap.model.window import TimeWindow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from liqmap.ledger.file import Line

HORIZON: Final = timedelta(hours=8)
"""The time after its sealing for which a map is compared with what came.

Maps are sealed at multiples of it (UTC).
"""

FORMAT: Final = 2
"""The version of the lines' format; a ledger of another format is refused."""

# So few that sums in another order, as on another machine, write the same line.
_DIGITS = 8  # significant digits of the numbers in a line


class LedgerOrigin(StrEnum):
    """Where a ledger's windows come from."""

    LIVE = "live"
    SIMULATED = "simulated"
    BACKTEST = "backtest"


class State(StrEnum):
    """What became of a sealed window."""

    SCORED = "scored"
    VOID = "void"
    """Too few of the trades or of the feed of liquidations were received; no liquidation was looked at."""
    FEW = "few"
    """Too few liquidations to compare."""
    WARMING = "warming"
    """There was no baseline yet."""


@dataclass(frozen=True, slots=True, eq=False)
class Seal:
    """One market's map as it was sealed at `time`, before its outcome was known.

    `density` and `baseline` have one element a bucket and sum to 1. `reach` is how likely the price reaches
    each bucket. `counts` has an array for each figure: what a dollar that is liquidated in each bucket adds
    to it. Until there are enough earlier windows, baseline, reach and counts are missing. `standing` is the
    whole notional, of which the density gives the shares. `marked` are the buckets that the map marks,
    `cells` each bucket's cell of equal distance, `sigma` the volatility of eight hours. `written` is when the
    line was written, `coverage` the share of the map's window that has trades, `rate` the maintenance margin
    rate of the first bracket, None without brackets.
    """

    market: Market
    time: datetime
    written: datetime
    price: float
    sigma: float
    coverage: float
    standing: float
    density: NDArray[np.float64]
    baseline: NDArray[np.float64] | None
    cells: NDArray[np.int64]
    marked: tuple[int, ...]
    simulated: bool
    rate: float | None = None
    reach: NDArray[np.float64] | None = None
    counts: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    digest: str = ""

    @property
    def window(self) -> TimeWindow:
        """The hours in which its outcome lies."""
        return TimeWindow(self.time, self.time + HORIZON)

    def body(self) -> dict[str, Any]:
        """Return what the line says."""
        return {
            "kind": "seal",
            "time": self.time.isoformat(),
            "written": self.written.isoformat(),
            "exchange": self.market.exchange.value,
            "symbol": self.market.symbol,
            "price": self.price,
            "sigma": _rounded(self.sigma),
            "coverage": round(self.coverage, 6),
            "standing": _rounded(self.standing),
            # The map itself: with it in the line, nobody has to have the trades to check a score.
            "density": _list(self.density),
            "baseline": None if self.baseline is None else _list(self.baseline),
            "reach": None if self.reach is None else _list(self.reach),
            # These follow from the fields above, but only what is sealed cannot be chosen afterwards.
            "counts": {name: _list(each) for name, each in self.counts.items()},
            "cells": self.cells.tolist(),
            "marked": list(self.marked),
            "simulated": self.simulated,
            "rate": self.rate,
        }

    @classmethod
    def read(cls, line: Line) -> Self:
        """Return the seal of a line."""
        return cls(
            market=Market(Exchange(line["exchange"]), line["symbol"]),
            time=datetime.fromisoformat(line["time"]),
            written=datetime.fromisoformat(line["written"]),
            price=line["price"],
            sigma=line["sigma"],
            coverage=line["coverage"],
            standing=line["standing"],
            density=np.array(line["density"], np.float64),
            baseline=_array(line["baseline"]),
            reach=_array(line["reach"]),
            counts={name: np.array(each, np.float64) for name, each in line["counts"].items()},
            cells=np.array(line["cells"], np.int64),
            marked=tuple(line["marked"]),
            simulated=line["simulated"],
            rate=line["rate"],
            digest=line["sha256"],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What came in the hours after a seal, whose line has the hash `seal`.

    `feed` is the share of those hours in which liquidations were received. `complete` says whether the
    exchange reports all of them. A void window has nothing but these two. `usd` is what was liquidated in
    each bucket, `outside` what was liquidated outside of all buckets, `events` the number of liquidations
    inside. `low` and `high` are how far the price went, `touched` the buckets that it reached. `fresh` is
    what reaching each bucket adds to the figure of touched levels: nothing for a bucket whose price was known
    from an earlier seal. `known` are the prices of this and earlier seals' buckets from which the price has
    not been 1 % away since. `margin_gap` is the median distance of bankruptcy prices from the fills.
    """

    seal: str
    state: State
    feed: float
    complete: bool
    events: int = 0
    usd: NDArray[np.float64] | None = None
    outside: float = 0.0
    low: float = 0.0
    high: float = 0.0
    touched: tuple[int, ...] = ()
    fresh: NDArray[np.float64] | None = None
    known: tuple[float, ...] = ()
    margin_gap: float | None = None

    def body(self) -> dict[str, Any]:
        """Return what the line says."""
        return {
            "kind": "outcome",
            "seal": self.seal,
            "state": self.state.value,
            "feed": round(self.feed, 6),
            "complete": self.complete,
            "events": self.events,
            "usd": None if self.usd is None else _list(self.usd),
            "outside": _rounded(self.outside),
            "low": self.low,
            "high": self.high,
            "touched": list(self.touched),
            "fresh": None if self.fresh is None else _list(self.fresh),
            "known": list(self.known),
            "margin_gap": self.margin_gap,
        }

    @classmethod
    def read(cls, line: Line) -> Self:
        """Return the outcome of a line."""
        return cls(
            seal=line["seal"],
            state=State(line["state"]),
            feed=line["feed"],
            complete=line["complete"],
            events=line["events"],
            usd=_array(line["usd"]),
            outside=line["outside"],
            low=line["low"],
            high=line["high"],
            touched=tuple(line["touched"]),
            fresh=_array(line["fresh"]),
            known=tuple(line["known"]),
            margin_gap=line["margin_gap"],
        )


class Window(NamedTuple):
    """A sealed map and its outcome; None if it has no outcome yet."""

    seal: Seal
    outcome: Outcome | None


def begin_line(
    *, origin: LedgerOrigin, version: str, terms: Mapping[str, Any], begun: datetime
) -> dict[str, Any]:
    """Return the first line of a ledger: what all of its maps have in common.

    `terms` are the settings that a map is made with.
    """
    return {
        "kind": "begin",
        "format": FORMAT,
        "origin": origin.value,
        "version": version,
        "terms": dict(terms),
        "buckets": COUNT,
        "begun": begun.isoformat(),
    }


def windows_of(lines: Sequence[Line]) -> list[Window]:
    """Return the sealed windows of a ledger's lines, in the order in which they were sealed.

    Raises RequestError for a ledger of another format, DataError for lines that make no sense.
    """
    begin = first_line(lines)
    with parser_door("The ledger has lines that no version of liqmap writes; name another file with --file."):
        if begin is not None and begin["format"] != FORMAT:
            raise RequestError(
                f"This ledger was written by version {begin['version']}, whose lines this version does not"
                " read; use that one, or name another file with --file."
            )
        outcomes = {line["seal"]: Outcome.read(line) for line in lines if line["kind"] == "outcome"}
        return [
            Window(Seal.read(line), outcomes.get(line["sha256"])) for line in lines if line["kind"] == "seal"
        ]


def first_line(lines: Sequence[Line]) -> Line | None:
    """Return the line with which a ledger begins, None if the ledger is empty.

    A line of kind `repair` may stand before it, if a killed writer left this very line half-written.
    """
    return next((line for line in lines if line["kind"] == "begin"), None)


def market_name(market: Market) -> str:
    """Return a market's name among the figures, such as bybit:BTCUSDT."""
    return f"{market.exchange.value}:{market.symbol}"


def newest_boundary(now: datetime) -> datetime:
    """Return the latest moment at which maps are sealed: 00, 08 or 16 UTC."""
    # 1970 began at midnight, so multiples of eight hours since are 00, 08 and 16.
    return now - (now - datetime(1970, 1, 1, tzinfo=UTC)) % HORIZON


def _array(values: list[float] | None) -> NDArray[np.float64] | None:
    return None if values is None else np.array(values, np.float64)


def _list(values: NDArray[np.float64]) -> list[float]:
    return [_rounded(float(each)) for each in values]


def _rounded(value: float) -> float:
    # Most values are zero. Written as `0` instead of `0.0`, they make lines a third shorter.
    return float(f"{value:.{_DIGITS}g}") or 0
