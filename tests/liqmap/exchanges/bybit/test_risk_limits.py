from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from liqmap.brackets.tiers import tiers_text
from liqmap.errors import DataError
from liqmap.exchanges.bybit.risk_limits import BybitRiskLimits
from liqmap.exchanges.messages import RiskTier

SHARED = Path(__file__).parents[5] / "shared" / "data" / "more"
BASE = "https://api.bybit.com"
LINEAR = {
    "id": 2,
    "symbol": "BTCUSDT",
    "riskLimitValue": "2000000",
    "maintenanceMargin": "0.005",
    "initialMargin": "0.01",
    "isLowestRisk": 0,
    "maxLeverage": "100.00",
    "mmDeduction": "510",
}


def read(*rows: dict[str, Any]) -> dict[str, tuple[RiskTier, ...] | None]:
    return dict(BybitRiskLimits().read({"retCode": 0, "result": {"list": list(rows)}}))


def test_row_of_a_linear_symbol_is_a_tier():
    lowest = LINEAR | {"riskLimitValue": "300000", "mmDeduction": ""}
    assert read(lowest, LINEAR) == {
        "BTCUSDT": (RiskTier(3e5, 0.005, 100, None), RiskTier(2e6, 0.005, 100, 510))
    }


@pytest.mark.parametrize(("initial", "rate"), [("0.01", "0.005"), ("1", "0.5")])
def test_percentages_and_fractions_differ_by_the_maximum_leverage(initial: str, rate: str):
    row = LINEAR | {"initialMargin": initial, "maintenanceMargin": rate}
    del row["mmDeduction"]
    assert read(row) == {"BTCUSDT": (RiskTier(2e6, 0.005, 100, None),)}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("initialMargin", "0.1"),
        ("initialMargin", ""),
        ("maxLeverage", "x"),
        ("riskLimitValue", 2_000_000),
        ("mmDeduction", "x"),
        ("maintenanceMargin", None),
    ],
)
def test_symbol_with_a_row_that_cannot_be_read_has_no_tiers(key: str, value: object):
    assert read(LINEAR, LINEAR | {key: value}, LINEAR | {"symbol": "ETHUSDT"}) == {
        "BTCUSDT": None,
        "ETHUSDT": (RiskTier(2e6, 0.005, 100, 510),),
    }


@pytest.mark.parametrize("answer", [None, [], {"retCode": 0}, {"retCode": 0, "result": {"list": {}}}])
def test_answer_that_is_not_a_page_is_one_sentence(answer: object):
    with pytest.raises(DataError, match="risk limits cannot be read"):
        BybitRiskLimits().read(answer)


def test_rows_that_name_no_symbol_are_left_out():
    assert read({"id": 1}, LINEAR, LINEAR | {"symbol": None}) == {
        "BTCUSDT": (RiskTier(2e6, 0.005, 100, 510),)
    }
    assert BybitRiskLimits().read({"retCode": 0, "result": {"list": ["BTCUSDT", None, []]}}) == {}


@pytest.mark.parametrize(
    ("symbol", "query"),
    [
        ("ETHUSDT", "category=linear&symbol=ETHUSDT"),
        ("BTCPERP", "category=linear&symbol=BTCPERP"),
        ("BTCUSD", "category=inverse&symbol=BTCUSD"),
        ("币安人生USDT", "category=linear&symbol=%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT"),
    ],
)
def test_symbol_has_an_address_in_its_category(symbol: str, query: str):
    assert BybitRiskLimits().symbol_url(BASE, symbol) == f"{BASE}/v5/market/risk-limit?{query}"


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="the real answers of ../shared/data are not here")
def test_real_rows_are_read():
    page = BybitRiskLimits().read(json.loads((SHARED / "bybit" / "risk_limit_rows.json").read_text()))
    assert {symbol: len(tiers or ()) for symbol, tiers in page.items()} == {
        "BTCUSDT": 3,
        "RVNUSDT": 6,
        "BTCPERP": 4,
    }
    assert tiers_text(page["BTCPERP"] or ()) == (
        "100000,0.004,125 1000000,0.005,100 2000000,0.0067,75 3000000,0.01,50"
    )
    # The recording lacks a row of this symbol, which its deductions give away.
    with pytest.raises(ValueError, match="deduction"):
        tiers_text(page["RVNUSDT"] or ())


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="the real answers of ../shared/data are not here")
def test_documented_answer_in_percent_is_read():
    text = (SHARED / "answers" / "bybit_GetRiskLimit.txt").read_text()
    page = BybitRiskLimits().read(json.loads(text[text.index("{") :]))
    assert page == {"BTCUSD": (RiskTier(150, 0.005, 100, None),)}
