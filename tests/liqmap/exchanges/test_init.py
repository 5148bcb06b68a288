from __future__ import annotations

import ast
from datetime import date
from pathlib import Path

import pytest

import liqmap
from liqmap.exchanges import EXCHANGES
from liqmap.model import Exchange, MarginModel
from liqmap.settings import Settings


def test_every_exchange_has_a_row_and_a_section_of_the_settings():
    assert list(EXCHANGES) == list(Exchange)
    for exchange in Exchange:
        section = Settings().exchanges.of(exchange)
        assert section.api_url.startswith("https://")
        assert section.budget > 0


def test_letters_and_labels_are_each_of_one_exchange():
    rows = list(EXCHANGES.values())
    assert len({row.letter for row in rows}) == len({row.label for row in rows}) == len(rows)


def test_letters_of_buttons_that_are_out_there_stay():
    assert {exchange: row.letter for exchange, row in EXCHANGES.items()} == {
        Exchange.BINANCE: "b",
        Exchange.BYBIT: "y",
        Exchange.OKX: "o",
    }


@pytest.mark.parametrize("exchange", Exchange)
def test_own_margin_model_of_an_exchange_bears_its_name(exchange: Exchange):
    assert EXCHANGES[exchange].margin.model is MarginModel(exchange.value)


@pytest.mark.parametrize("exchange", Exchange)
def test_margin_rules_follow_each_other_without_a_gap(exchange: Exchange):
    rules = EXCHANGES[exchange].margin.rules
    assert rules[0].since is None
    assert rules[-1].until is None
    assert [rule.until for rule in rules[:-1]] == [rule.since for rule in rules[1:]]
    for rule in rules:
        assert EXCHANGES[exchange].margin.rule(on=rule.since or date(2019, 1, 1)) is rule


def test_used_weight_is_read_where_an_exchange_says_it():
    headers = {"X-MBX-USED-WEIGHT-1M": "40"}
    assert EXCHANGES[Exchange.BINANCE].limits.used_weight(headers) == 40
    assert EXCHANGES[Exchange.BYBIT].limits.used_weight(headers) is None


def test_no_letter_of_an_exchange_is_that_of_the_simple_model():
    assert "s" not in {row.letter for row in EXCHANGES.values()}


def named_exchanges(path: Path) -> list[str]:
    """Return where a module names an exchange in its code: as a member, a text, or a class of settings."""
    names = {name for each, row in EXCHANGES.items() for name in (each.value, each.name, row.label)}
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Attribute(attr=name) | ast.Constant(value=str(name)) if name in names:
                found.append(f"{path.name}:{node.lineno}")
    return found


def test_no_module_outside_the_rows_names_an_exchange():
    root = Path(liqmap.__file__).parents[1]
    # Where an exchange has to be named: its member, its section of the settings, and the oracle.
    may = {"liqmap/model/market.py", "liqmap/model/request.py", "liqmap/settings/exchanges.py"}
    modules = [path for folder in ("liqmap", "bot") for path in (root / folder).rglob("*.py")]
    others = [
        path
        for path in modules
        if path.relative_to(root).as_posix() not in may
        and not path.is_relative_to(root / "liqmap" / "exchanges")
        and not path.is_relative_to(root / "liqmap" / "simulator")
    ]
    assert len(others) > 100
    assert [where for path in others for where in named_exchanges(path)] == []
