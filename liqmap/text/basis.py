"""Word what a map's levels were computed with: margin model, sweeping price, open interest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from liqmap.exchanges import EXCHANGES
from liqmap.model import MapSummary, MarginModel, SweepPrice
from liqmap.text.numbers import known_share, list_text, money, part_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from liqmap.compute.values import LiquidationMap, MarketShare
    from liqmap.model import Exchange, MarginBasis, MarketSummary, OpenInterest, PositionBasis, SweepBasis


def margin_text(basis: MarginBasis) -> str:
    """Return what levels were computed with and swept by.

    Such as "Bybit model of 2025-09-02, brackets of 2026-09-01, swept by mark price".
    """
    swept = [] if basis.sweep is None else [sweep_text(basis.sweep)]
    weighed = [] if basis.positions is None else [positions_text(basis.positions)]
    return ", ".join([_model_text(basis), *swept, *weighed])


def sweep_text(basis: SweepBasis) -> str:
    """Return which price swept the levels: swept by mark price."""
    if basis.price is SweepPrice.TRADED:
        return "swept by traded prices"
    # A share is named only if both prices swept.
    if basis.share < 1:
        return f"swept by mark price ({known_share(basis.share)} of the window, else by traded)"
    return "swept by mark price"


def positions_text(basis: PositionBasis) -> str:
    """Return how open interest weighed positions: weighed by open interest (15 min)."""
    turnover = f", turnover {basis.turnover:g}" if basis.turnover else ""
    return f"weighed by open interest (15 min{turnover})"


def _model_text(basis: MarginBasis) -> str:
    if basis.model is MarginModel.EXCHANGE:
        return "margin model of each exchange"
    # A model that belongs to no exchange, such as the simple one, goes by its own name.
    owners = (row.label for row in EXCHANGES.values() if row.margin.model is basis.model)
    model = f"{next(owners, basis.model)} model"
    if basis.rule is not None and basis.rule.since is not None:
        model += f" of {basis.rule.since}"
    elif basis.rule is not None and basis.rule.until is not None:
        model += f" before {basis.rule.until}"
    if basis.brackets is not None:
        earliest = ", the earliest known" if basis.earliest else ""
        return f"{model}, brackets of {basis.brackets}{earliest}"
    if basis.lacking is None:
        return model
    if basis.lacking.contracts:
        return f"{model} ({lacking_text(basis)})"
    return f"{model} (no {basis.lacking.exchange} brackets known)"


def lacking_text(basis: MarginBasis) -> str | None:
    """Return which brackets are missing: no Binance brackets of NEWUSDT are known. None if all are known."""
    lacking = basis.lacking
    if lacking is None:
        return None
    if lacking.contracts is not None:
        return f"{lacking.contracts} brackets are not public"
    return f"no {lacking.exchange} brackets of {lacking.symbol} are known"


def interest_text(interest: OpenInterest) -> str:
    """Return what stands beside the open interest: standing $40M, open interest $7.9B each side."""
    # Open interest counts a long and its short once. Both can stand, so up to twice the open interest does.
    standing = money((interest.share_long + interest.share_short) * interest.notional)
    return f"standing {standing}{of_text(interest.of)}, open interest {money(interest.notional)} each side"


def interest_shares_text(interest: OpenInterest) -> str:
    """Return `interest_text` and each side's share: … each side (longs 0.3 %, shorts 0.2 % of it)."""
    longs, shorts = (part_text(each) for each in (interest.share_long, interest.share_short))
    return f"{interest_text(interest)} (longs {longs}, shorts {shorts} of it)"


def of_text(exchanges: Sequence[Exchange]) -> str:
    """Return the exchanges that a sum is limited to: " of Binance and OKX"; "" if it is not limited."""
    labels = [EXCHANGES[each].label for each in exchanges]
    return f" of {list_text(labels)}" if labels else ""


def interest_warnings(drawn: MapSummary | LiquidationMap) -> list[str]:
    """Return what open interest makes doubtful in a map, each as a sentence.

    In a map of several exchanges, each one's part is judged by its own open interest.
    """
    parts: Sequence[MarketSummary | MarketShare]
    parts = drawn.by_market if isinstance(drawn, MapSummary) else drawn.shares
    if not parts:
        return _interest_warnings(drawn.open_interest, drawn.margin.positions)
    return [
        f"{EXCHANGES[each.market.exchange].label}: {warning}"
        for each in parts
        for warning in _interest_warnings(each.open_interest, each.margin.positions)
    ]


def _interest_warnings(interest: OpenInterest | None, basis: PositionBasis | None) -> list[str]:
    found = []
    # A map by open interest is weighed so that it cannot exceed it.
    if basis is None and interest is not None and interest.is_exceeded:
        share, side = max((interest.share_long, "longs"), (interest.share_short, "shorts"))
        found.append(
            f"More stands here than is open: the {side} are {part_text(share)} of the open interest,"
            " so many have been closed; try positions open-interest."
        )
    if basis is not None and basis.known_from is not None:
        found.append(
            f"Open interest is known from {basis.known_from:%b %d %H:%M} UTC on; earlier trades are left out."
        )
    if basis is not None and basis.known_until is not None:
        found.append(
            f"Open interest is known until {basis.known_until:%b %d %H:%M} UTC; later trades are left out."
        )
    if basis is not None and basis.unfit:
        found.append(f"In {basis.unfit} of {basis.judged} intervals open interest and volume do not fit.")
    return found
