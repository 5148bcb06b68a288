"""Draw what a ledger says; a worker process runs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from liqmap.errors import LiqmapError, RequestError
from liqmap.files import matching
from liqmap.ledger.file import read_ledger
from liqmap.ledger.lines import State, windows_of
from liqmap.ledger.metrics import SIGMA_EDGES
from liqmap.ledger.report import report_of
from liqmap.ledger.words import details, sentence
from liqmap.model import Market, Theme
from liqmap.parsing import complete_symbol
from liqmap.text import completion_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from liqmap.ledger.report import Report
    from liqmap.render.accuracy import AccuracyPicture

NOTHING: Final = "Nothing is sealed yet."

_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class ReportJob:
    """The ledger to report, and a symbol, as it was typed, if only its windows are wanted.

    `earlier` are ledgers of other versions and settings, each of which gets a sentence.
    """

    path: Path
    symbol: str | None = None
    earlier: tuple[Path, ...] = ()
    theme: Theme = Theme.DARK


@dataclass(frozen=True, slots=True)
class DrawnReport:
    """A ledger's report: the sentence that the rule chooses, the figures, the last hash, and a picture.

    `completion` is what a typed symbol was taken to mean, such as "BTC: BTCUSDT", if that differs. `earlier`
    are the sentences of earlier ledgers by their names: a new version or setting must not hide a bad result.
    """

    sentence: str = NOTHING
    figures: tuple[tuple[str, str], ...] = ()
    last_hash: str = ""
    simulated: bool = False
    completion: str | None = None
    earlier: tuple[tuple[str, str], ...] = ()
    png: bytes | None = field(default=None, repr=False)


def run_report_job(job: ReportJob) -> DrawnReport:
    """Read, verify, compute and draw a ledger.

    Raises RequestError for a symbol of which nothing is sealed, BrokenLedger and StoreError.
    """
    from liqmap.render.accuracy import draw_accuracy  # noqa: PLC0415 - only workers import matplotlib

    content = read_ledger(job.path)
    sealed = frozenset(seal.market for seal, _ in windows_of(content.lines))
    symbol = completion = None
    if job.symbol and sealed:
        # Completed among the sealed markets only: a symbol that is listed but never sealed has no report.
        meant = _meant(job.symbol, sealed)
        symbol = meant.symbol
        completion = completion_text([Market(meant.exchange, job.symbol)], [meant])
    report = report_of(content, symbol=symbol)
    earlier = tuple(_earlier(job.earlier, symbol))
    if report is None:
        return DrawnReport(earlier=earlier)
    return DrawnReport(
        sentence(report),
        tuple(details(report)),
        report.last_hash,
        report.simulated,
        completion,
        earlier,
        draw_accuracy(_picture(report, job.theme)),
    )


def earlier_ledgers(path: Path) -> tuple[Path, ...]:
    """Return the other ledgers in the folder of the ledger `path`, newest first. Raises UnreadableStore."""
    others = [each for each in matching(path.parent, "*.jsonl") if each != path]
    return tuple(sorted(others, key=lambda each: each.stat().st_mtime, reverse=True))


def _earlier(paths: Iterable[Path], symbol: str | None) -> Iterator[tuple[str, str]]:
    """Yield the name and the sentence of each ledger that has windows of `symbol` (None: of any)."""
    for path in paths:
        try:
            report = report_of(read_ledger(path), symbol=symbol)
        except LiqmapError as error:
            yield path.stem, str(error)
        else:
            if report is not None:
                yield path.stem, sentence(report)


def sealed_text(path: Path) -> str | None:
    """Return how many maps are sealed and the last hash, or what is wrong; None if none are."""
    try:
        content = read_ledger(path)
    except LiqmapError as error:
        return str(error)
    count = sum(line["kind"] == "seal" for line in content.lines)
    maps = "1 map" if count == 1 else f"{count:,} maps"
    return f"{maps} sealed, last hash {content.last_hash}" if count else None


def _meant(typed: str, sealed: frozenset[Market]) -> Market:
    """Return a sealed market with the symbol as typed, or else with the one that it means on its exchange.

    Raises RequestError if there is none, or if the symbol means different ones on different exchanges.
    """
    exchanges = {each.exchange for each in sealed}
    # A symbol that is sealed under the very name that was typed is the one that is meant.
    found = sealed & {Market(each, typed) for each in exchanges}
    if not found:
        meant = (
            complete_symbol(Market(each, typed), is_known=sealed.__contains__, are_all_known=True)
            for each in exchanges
        )
        found = sealed.intersection(meant)
    if len({each.symbol for each in found}) != 1:
        names = sorted({each.symbol for each in found or sealed})
        raise RequestError(f"No map of {typed} is sealed; try {', '.join(names[:_MOST_NAMED])}.")
    return next(iter(found))


def _picture(report: Report, theme: Theme) -> AccuracyPicture:
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
    # Markets are named exchange:symbol, and several exchanges can have the same symbol.
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
        theme=theme,
    )
