"""Draw what a ledger says; a worker process runs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from liqmap.errors import LiqmapError, RequestError
from liqmap.ledger.file import read_ledger
from liqmap.ledger.lines import State
from liqmap.ledger.report import SIGMA_EDGES, report_of
from liqmap.ledger.words import details, sentence

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from liqmap.ledger.report import Report
    from liqmap.render.accuracy import AccuracyPicture

NOTHING: Final = "Nothing is sealed yet."

_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class ReportJob:
    """The ledger to report, and a symbol if only its windows are wanted."""

    path: Path
    symbol: str | None = None


@dataclass(frozen=True, slots=True)
class DrawnReport:
    """What a ledger says: the sentence that the rule chooses, the figures, the last hash, and a picture."""

    sentence: str = NOTHING
    figures: tuple[tuple[str, str], ...] = ()
    last_hash: str = ""
    simulated: bool = False
    png: bytes | None = field(default=None, repr=False)


def run_report_job(job: ReportJob) -> DrawnReport:
    """Read, verify, compute and draw a ledger.

    Raises RequestError for a symbol of which nothing is sealed, BrokenLedger and StoreError.
    """
    from liqmap.render.accuracy import draw_accuracy  # noqa: PLC0415 - only workers import matplotlib

    content = read_ledger(job.path)
    symbols = sorted({line["symbol"] for line in content.lines if line["kind"] == "seal"})
    symbol = _meant(job.symbol, symbols) if job.symbol and symbols else None
    report = report_of(content, symbol=symbol)
    if report is None:
        return DrawnReport()
    return DrawnReport(
        sentence(report),
        tuple(details(report)),
        report.last_hash,
        report.simulated,
        draw_accuracy(_picture(report)),
    )


def sealed_text(path: Path) -> str | None:
    """Return how many maps are sealed and the last hash, or what is wrong; None if none are."""
    try:
        content = read_ledger(path)
    except LiqmapError as error:
        return str(error)
    count = sum(line["kind"] == "seal" for line in content.lines)
    maps = "1 map" if count == 1 else f"{count:,} maps"
    return f"{maps} sealed, last hash {content.last_hash}" if count else None


def _meant(typed: str, symbols: Sequence[str]) -> str:
    """Return the sealed symbol that is typed, or of which alone it is the beginning. Raises RequestError."""
    plain = _plain(typed)
    same = [each for each in symbols if _plain(each) == plain]
    found = same or [each for each in symbols if _plain(each).startswith(plain)]
    if len(found) != 1:
        raise RequestError(f"No map of {typed} is sealed; try {', '.join(symbols[:_MOST_NAMED])}.")
    return found[0]


def _plain(symbol: str) -> str:
    """Return a symbol without what stands between its parts: BTC-USDT is BTCUSDT."""
    return "".join(filter(str.isalnum, symbol))


def _picture(report: Report) -> AccuracyPicture:
    from liqmap.render.accuracy import AccuracyPicture, Curve, DayMark  # noqa: PLC0415

    marks = {
        State.SCORED: DayMark.SCORED,
        State.FEW: DayMark.COUNTED,
        State.WARMING: DayMark.COUNTED,
        State.VOID: DayMark.VOID,
        None: DayMark.WAITING,
    }
    figures = report.figures
    curves: list[Curve | None] = [None, None]
    if figures is not None:
        bounds = zip(figures.profile, figures.profile_low, figures.profile_high, strict=True)
        curves = [Curve(*each) for each in bounds]
    symbols = dict.fromkeys(each.partition(":")[2] for each in report.markets)
    return AccuracyPicture(
        title=", ".join(symbols),
        sentence=sentence(report),
        foot=f"version {report.version}  ·  last hash {report.last_hash[:16]}  ·  not financial advice",
        edges=SIGMA_EDGES,
        longs=curves[0],
        shorts=curves[1],
        strip={day: marks[state] for day, state in report.strip.items()},
        simulated=report.simulated,
    )
