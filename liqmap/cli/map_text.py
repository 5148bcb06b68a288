"""Word a map for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from liqmap.exchanges import EXCHANGES
from liqmap.text import (
    age_text,
    asked_words,
    band_text,
    completion_text,
    counted,
    coverage_text,
    exchanges_text,
    interest_shares_text,
    interest_warnings,
    last_price_text,
    left_out_text,
    margin_text,
    market_text,
    money,
    price_step,
    realised_text,
    share_text,
    standing_text,
    unswept_text,
    window_text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from liqmap.model import MapSummary, Market
    from liqmap.run.result import MapResult


def as_text(result: MapResult, files: dict[str, Path], *, typed: Sequence[Market]) -> str:
    """Return a map as lines of text: its numbers, and where its `files` are."""
    request, summary, coverage = result.request, result.summary, result.coverage
    simulated = "  SIMULATED DATA" if coverage.simulated else ""
    selected = (
        f"{summary.selected_buy + summary.selected_sell:,} of {counted(summary.trades, 'trade')},"
        f" {money(summary.selected_notional_buy)} bought, {money(summary.selected_notional_sell)} sold"
    )
    step = price_step(summary.last_price, bucket_size=summary.bucket_size)
    completion = completion_text(typed, request.markets)
    unswept = unswept_text(result.coverages, summary.margin.sweep)
    rows = [
        *([("symbol", completion)] if completion else []),
        ("window", window_text(request.window)),
        ("data", " · ".join(filter(None, (coverage_text(coverage), age_text(coverage), *coverage.sources)))),
        ("last price", last_price_text(summary.last_price, coverage, step=step)),
        ("selected", selected),
        (
            "longs below",
            standing_text(summary.standing_long, summary.nearest_long, summary.largest_long, step=step),
        ),
        (
            "shorts above",
            standing_text(summary.standing_short, summary.nearest_short, summary.largest_short, step=step),
        ),
        ("swept since", f"{money(summary.swept_long)} of longs, {money(summary.swept_short)} of shorts"),
        *([("too large", f"{money(summary.unplaced)}, for these leverages")] if summary.unplaced else []),
        *([("note", unswept)] if unswept else []),
        *_interest_rows(summary),
        *([("liquidated", realised_text(summary.realised))] if summary.realised else []),
        *((f"within {share_text(band.distance)}", band_text(band, summary)) for band in summary.bands),
        *(
            (EXCHANGES[each.market.exchange].label, market_text(each, step=step))
            for each in summary.by_market
        ),
        *(("left out", left_out_text(each)) for each in summary.left_out),
        *((name, str(path)) for name, path in files.items()),
    ]
    # Only the first symbol: in a map of several exchanges, the others are the same coin by another spelling.
    market = f"{result.markets[0].symbol} on {exchanges_text(result.markets)}"
    title = f"{market}, {', '.join(asked_words(request))}{simulated}"
    lines = [title, *(f"  {name:<13} {text}" for name, text in rows)]
    lines.append(f"  Estimated from trades by the {margin_text(summary.margin)}; not financial advice.")
    return "\n".join(lines) + "\n"


def _interest_rows(summary: MapSummary) -> list[tuple[str, str]]:
    """Return the rows about open interest."""
    rows = []
    if summary.margin.positions is not None:
        rows.append(("not opened", f"{money(summary.not_opened)}, and {money(summary.closed)} closed since"))
    interest = summary.open_interest
    if interest is not None:
        rows.append(("in all", interest_shares_text(interest)))
    return [*rows, *(("note", each) for each in interest_warnings(summary))]
