"""Draw what a ledger says; a worker process runs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from liqmap.ledger.file import read_ledger
from liqmap.ledger.lines import State
from liqmap.ledger.report import SIGMA_EDGES, report_of
from liqmap.ledger.words import details, sentence

if TYPE_CHECKING:
    from pathlib import Path

    from liqmap.ledger.report import Report
    from liqmap.render.accuracy import AccuracyPicture

NOTHING: Final = "Nothing is sealed yet."


@dataclass(frozen=True, slots=True)
class ReportJob:
    """The ledger to report, and a symbol if only its windows are wanted."""

    path: Path
    symbol: str | None = None


@dataclass(frozen=True, slots=True)
class DrawnReport:
    """What a ledger says: the sentence that the rule chooses, the figures, the last hash, and a picture."""

    sentence: str
    figures: tuple[tuple[str, str], ...]
    last_hash: str
    simulated: bool
    png: bytes | None = field(repr=False)


def run_report_job(job: ReportJob) -> DrawnReport:
    """Read, verify, compute and draw a ledger. Raises BrokenLedger and StoreError."""
    from liqmap.render.accuracy import draw_accuracy  # noqa: PLC0415 - only workers import matplotlib

    content = read_ledger(job.path)
    report = report_of(content, symbol=job.symbol)
    if report is None:
        return DrawnReport(NOTHING, (), content.last_hash, simulated=False, png=None)
    return DrawnReport(
        sentence(report),
        tuple(details(report)),
        report.last_hash,
        report.simulated,
        draw_accuracy(_picture(report)),
    )


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
