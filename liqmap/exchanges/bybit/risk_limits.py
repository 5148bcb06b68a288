"""Bybit's risk limits: each symbol's tiers of maintenance margin and leverage, published without an account.

Source: github.com/bybit-exchange/docs, v5: Get Risk Limit.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from liqmap.exchanges.bybit.files import Bybit
from liqmap.exchanges.bybit.pages import next_page, rows_of
from liqmap.exchanges.messages import RiskTier

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_WHAT = "its risk limits"
_SLACK = 0.05  # of initial margin × maximum leverage, because both are rounded to two to four digits


class BybitRiskLimits:
    """The pages of linear and of inverse symbols, a few symbols a page."""

    weight = 1

    def first_urls(self, base_url: str, symbols: Collection[str]) -> tuple[str, ...]:  # noqa: ARG002 - all
        """Return the addresses of the first page of each category."""
        return tuple(_url(base_url, category) for category in ("linear", "inverse"))

    def next_url(self, url: str, answer: object) -> str | None:
        """Return the address of the page after `url`, None after the last one."""
        return next_page(url, answer)

    def symbol_url(self, base_url: str, symbol: str) -> str:
        """Return the address of the tiers of `symbol` alone."""
        category = "inverse" if Bybit().contract(symbol).inverse else "linear"
        return f"{_url(base_url, category)}&symbol={quote(symbol)}"

    def read(self, answer: object) -> Mapping[str, tuple[RiskTier, ...] | None]:
        """Return the tiers of each symbol of a page, None where one of them cannot be read.

        Rows that name no symbol are left out. Raises DataError if it is not such a page. A row::

            {"id":2,"symbol":"BTCUSDT","riskLimitValue":"2000000","maintenanceMargin":"0.005",
             "initialMargin":"0.01","isLowestRisk":0,"maxLeverage":"100.00","mmDeduction":"510"}

        The deduction of the lowest tier is "", and that of all tiers where none is published. Rows of inverse
        contracts are documented in percent and without a deduction::

            {"id":1,"symbol":"BTCUSD","riskLimitValue":"150","maintenanceMargin":"0.5","initialMargin":"1",
             "isLowestRisk":1,"maxLeverage":"100.00"}
        """
        rows: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in rows_of(answer, what=_WHAT):
            match row:
                case {"symbol": str(symbol)}:
                    rows[symbol].append(row)
        return {symbol: _tiers(of) for symbol, of in rows.items()}


def _url(base_url: str, category: str) -> str:
    return f"{base_url}/v5/market/risk-limit?category={category}"


def _tiers(rows: list[dict[str, Any]]) -> tuple[RiskTier, ...] | None:
    try:
        return tuple(_tier(row) for row in rows)
    except (KeyError, TypeError, ValueError):
        return None


def _tier(row: dict[str, Any]) -> RiskTier:
    max_leverage, deduction = _number(row["maxLeverage"]), row.get("mmDeduction") or None
    return RiskTier(
        _number(row["riskLimitValue"]),
        _number(row["maintenanceMargin"]) / _parts(_number(row["initialMargin"]), max_leverage),
        max_leverage,
        None if deduction is None else _number(deduction),
    )


def _parts(initial_margin: float, max_leverage: float) -> int:
    """Return the divisor of rates: 1, or 100 if they are percentages.

    The initial margin at the maximum leverage is its inverse.
    """
    for parts in (1, 100):
        if math.isclose(initial_margin * max_leverage, parts, rel_tol=_SLACK):
            return parts
    raise ValueError("initial margin and maximum leverage contradict each other")


def _number(text: object) -> float:
    if not isinstance(text, str):
        raise TypeError("a number is not a text")
    return float(text)
