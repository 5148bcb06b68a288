from __future__ import annotations

from datetime import date

import pytest

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
    }


@pytest.mark.parametrize("exchange", Exchange)
def test_own_margin_model_of_an_exchange_bears_its_name(exchange: Exchange):
    assert EXCHANGES[exchange].model is MarginModel(exchange.value)


@pytest.mark.parametrize("exchange", Exchange)
def test_margin_rules_follow_each_other_without_a_gap(exchange: Exchange):
    rules = EXCHANGES[exchange].margin_rules
    assert rules[0].since is None
    assert rules[-1].until is None
    assert [rule.until for rule in rules[:-1]] == [rule.since for rule in rules[1:]]
    for rule in rules:
        assert EXCHANGES[exchange].margin_rule(on=rule.since or date(2019, 1, 1)) is rule


def test_used_weight_is_read_where_an_exchange_says_it():
    headers = {"X-MBX-USED-WEIGHT-1M": "40"}
    assert EXCHANGES[Exchange.BINANCE].used_weight(headers) == 40
    assert EXCHANGES[Exchange.BYBIT].used_weight(headers) is None
