"""Report a map as one JSON object, for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from liqmap.text import gap_text, lacking_text, left_out_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from liqmap.model import (
        Coverage,
        Gap,
        MapNumbers,
        MarginBasis,
        Market,
        MarketSummary,
        OpenInterest,
        PositionBasis,
    )
    from liqmap.run.result import MapResult


def as_json(result: MapResult, files: dict[str, Path], *, typed: Sequence[Market]) -> str:
    """Return a map as a line of JSON: the request, its numbers, and where its `files` are."""
    request, summary = result.request, result.summary
    report: dict[str, Any] = {
        "request": {
            "typed": typed[0].symbol,
            "exchange": request.market.exchange,
            "symbol": request.market.symbol,
            "markets": [{"exchange": each.exchange, "symbol": each.symbol} for each in request.markets],
            "start": request.window.start.isoformat(),
            "end": request.window.end.isoformat(),
            "mode": request.selection.mode,
            "value": request.selection.value,
            "model": request.model,
            "leverages": request.leverages,
            "weights": request.weights,
            "levels": request.levels,
            "theme": request.theme,
            "each": request.each,
            "merge": request.merge,
        },
        "files": {name: str(path) for name, path in files.items()},
        **_numbers(summary),
        "clusters": {
            name: None if cluster is None else asdict(cluster)
            for name, cluster in (
                ("nearest_long", summary.nearest_long),
                ("largest_long", summary.largest_long),
                ("nearest_short", summary.nearest_short),
                ("largest_short", summary.largest_short),
            )
        },
        "by_exchange": [_market_report(each) for each in summary.by_market],
        "left_out": [
            {"exchange": each.market.exchange, "kind": each.kind, "reason": left_out_text(each)}
            for each in summary.left_out
        ],
        "bands": [asdict(band) for band in summary.bands],
        "long_share": summary.long_share,
        "margin": _margin_report(summary.margin),
        "liquidated": summary.realised and asdict(summary.realised),
        "coverage": _coverage_report(result.coverage),
        "timings_ms": {name: round(value, 3) for name, value in result.timings_ms.items()},
    }
    # NaN is not JSON, though Python writes it; an error is better than a file that other programs refuse.
    return json.dumps(report, allow_nan=False) + "\n"


def _numbers(summary: MapNumbers) -> dict[str, Any]:
    """Report the numbers that a map and each of its markets have in common."""
    return {
        "last_price": summary.last_price,
        "trades": summary.trades,
        "selected": {"buy": summary.selected_buy, "sell": summary.selected_sell},
        "selected_notional": {"buy": summary.selected_notional_buy, "sell": summary.selected_notional_sell},
        "standing_notional": {"long": summary.standing_long, "short": summary.standing_short},
        "swept_notional": {"long": summary.swept_long, "short": summary.swept_short},
        "unplaced_notional": summary.unplaced,
        "not_opened_notional": summary.not_opened,
        "closed_notional": summary.closed,
        "open_interest": summary.open_interest and _interest_report(summary.open_interest),
    }


def _market_report(summary: MarketSummary) -> dict[str, Any]:
    return {
        "exchange": summary.market.exchange,
        "symbol": summary.market.symbol,
        **_numbers(summary),
        "liquidated": summary.realised and asdict(summary.realised),
        "margin": _margin_report(summary.margin),
        "coverage": _coverage_report(summary.coverage),
    }


def _interest_report(interest: OpenInterest) -> dict[str, Any]:
    return {**asdict(interest), "share_standing": interest.share_standing}


def _margin_report(basis: MarginBasis) -> dict[str, Any]:
    rule = basis.rule
    return {
        "model": basis.model,
        "since": rule and rule.since and rule.since.isoformat(),
        "until": rule and rule.until and rule.until.isoformat(),
        "brackets": basis.brackets and basis.brackets.isoformat(),
        "earliest": basis.earliest,
        "source": basis.source,
        "positions": basis.positions and _positions_report(basis.positions),
        "sweep": basis.sweep and {"price": basis.sweep.price, "share": basis.sweep.share},
        "note": lacking_text(basis) or "",
    }


def _positions_report(basis: PositionBasis) -> dict[str, Any]:
    return {
        "turnover": basis.turnover,
        "judged_intervals": basis.judged,
        "unfit_intervals": basis.unfit,
        "known_from": basis.known_from and basis.known_from.isoformat(),
        "known_until": basis.known_until and basis.known_until.isoformat(),
    }


def _coverage_report(coverage: Coverage) -> dict[str, Any]:
    return {
        "fraction": coverage.fraction,
        "missing": [_gap_report(gap) for gap in coverage.missing],
        "lost_ids": coverage.lost_ids,
        "zero_sizes": coverage.zero_sizes,
        "unverified": coverage.unverified,
        "differing": coverage.differing,
        "sources": coverage.sources,
        "last_trade": coverage.last_trade and coverage.last_trade.isoformat(),
        "whole_end": coverage.whole_end and coverage.whole_end.isoformat(),
        "simulated": coverage.simulated,
    }


def _gap_report(gap: Gap) -> dict[str, Any]:
    return {
        "start": gap.window.start.isoformat(),
        "end": gap.window.end.isoformat(),
        "kind": gap.kind,
        # The kind is for programs; its words may change from version to version.
        "reason": gap_text(gap),
    }
