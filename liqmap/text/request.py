"""Word what is requested: selections, exchanges, symbols and pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from liqmap.exchanges import EXCHANGES
from liqmap.model import GrossValue, LevelFilter, Picture, Portion, Selection, TopN
from liqmap.text.numbers import limit_text, without_zeros

if TYPE_CHECKING:
    from collections.abc import Sequence

    from liqmap.model import MapRequest, Market


CHART_TEXTS: Final = {Picture.HEATMAP: "how the levels came and went"}
"""What the pictures show that are drawn only on request."""


def selection_text(selection: Selection) -> str:
    """Return a selection in words: top 100 trades per side."""
    match selection:
        case TopN(count):
            return f"top {count:,} trades per side" if count > 1 else "largest trade per side"
        case GrossValue(minimum):
            return f"trades ≥ {limit_text(minimum)}"
        case Portion(fraction):
            return f"top {without_zeros(f'{fraction * 100:.4f}')} % of trades per side"
        case _:  # pragma: no cover - the type checker proves that every selection is handled
            assert_never(selection)


def asked_words(request: MapRequest) -> list[str]:
    """Return in words which trades a map is made of, and what is unusual about its levels and amounts.

    Such as "top 10 trades per side", "all levels", "amounts in BTC, not dollars".
    """
    levels = ["all levels"] if request.levels is LevelFilter.ALL else []
    selected = selection_text(request.selection)
    if request.is_joint and not isinstance(request.selection, GrossValue):
        selected += " on each exchange" if request.each else " of all exchanges"
    # Amounts have a dollar sign everywhere. ETHBTC is priced in bitcoin: its amounts would read as dollars.
    coins = ["amounts in BTC, not dollars"] if any(map(_is_in_bitcoin, request.markets)) else []
    return [selected, *levels, *coins]


def in_bitcoin_text(market: Market) -> str | None:
    """Return a sentence on a market whose amounts are bitcoin and not dollars, None on others."""
    if not _is_in_bitcoin(market):
        return None
    return (
        f"{market.symbol} is priced in bitcoin, so its amounts cannot be compared with dollars; draw its map"
        " instead."
    )


def _is_in_bitcoin(market: Market) -> bool:
    # The notional of inverse contracts is in dollars, whatever they are named.
    inverse = EXCHANGES[market.exchange].contract(market.symbol).inverse
    return market.symbol.endswith("BTC") and not inverse


def market_name(market: Market) -> str:
    """Return a market by its name: BTCUSDT on Binance."""
    return f"{market.symbol} on {EXCHANGES[market.exchange].label}"


def exchanges_text(markets: Sequence[Market]) -> str:
    """Return where the trades of a map are made: Binance + Bybit + OKX."""
    return " + ".join(EXCHANGES[each.exchange].label for each in markets)


def completion_text(typed: Sequence[Market], drawn: Sequence[Market]) -> str | None:
    """Return how a symbol was completed, such as "BTC: BTCUSDT"; None if only its spelling differs.

    If it differs on only some of several exchanges, these are named: "BTCUSD: BTCUSD_PERP on Binance".
    """
    # Hyphens are spelling only, so BTC-USDT for BTCUSDT is nothing that a reader has to know.
    letters = {each.exchange: each.symbol.replace("-", "") for each in typed}
    changed = [each for each in drawn if each.symbol.replace("-", "") != letters[each.exchange]]
    if not changed:
        return None
    names = dict.fromkeys(each.symbol for each in changed)
    if len(changed) < len(drawn) or len(names) > 1:
        names = dict.fromkeys(map(market_name, changed))
    return f"{typed[0].symbol}: {', '.join(names)}"


def meant_text(typed: Market, meant: Market) -> str | None:
    """Return what a symbol means, as "BTC: BTCUSDT on Binance"; None if only its spelling differs."""
    completion = completion_text([typed], [meant])
    return completion and f"{completion} on {EXCHANGES[meant.exchange].label}"


def unrecordable_text(market: Market) -> str:
    """Return that a market's kind of contract cannot be recorded, and what can, as a sentence."""
    kind = EXCHANGES[market.exchange].contract(market.symbol).label
    return f"{kind} contracts such as {market.symbol} cannot be recorded; try BTCUSDT."
