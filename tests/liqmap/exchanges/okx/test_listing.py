from __future__ import annotations

import pytest

from liqmap.errors import DataError
from liqmap.exchanges.messages import RiskTier
from liqmap.exchanges.okx.listing import OkxInstruments, OkxListing
from liqmap.exchanges.okx.risk_limits import OkxPositionTiers
from liqmap.exchanges.okx.volumes import OkxVolumes
from liqmap.exchanges.protocol import Instrument
from liqmap.exchanges.thousands import counted, other_counts
from tests.liqmap.exchanges.okx.samples import INSTRUMENT, INVERSE, TIERS, UNKNOWN, answer


def test_linear_swaps_that_trade_are_listed_by_their_symbols():
    sleeping = INSTRUMENT | {"instId": "ETH-USDT-SWAP", "state": "suspend"}
    assert OkxListing().read(answer(INSTRUMENT, INVERSE, sleeping)) == {"BTCUSDT"}


def test_contract_is_its_value_times_its_multiplier():
    # DOGE-USDT-SWAP of 2022.
    doge = INSTRUMENT | {"instId": "DOGE-USDT-SWAP", "ctVal": "1000", "ctValCcy": "DOGE", "lever": "75"}
    found = OkxInstruments().read(answer(INSTRUMENT | {"ctMult": "10"}, INVERSE, doge))
    assert found == {"BTCUSDT": Instrument(0.1, 100), "DOGEUSDT": Instrument(1000, 75)}


@pytest.mark.parametrize("odd", [{"ctValCcy": "USD"}, {"ctVal": ""}, {"ctVal": "nan"}, {"ctMult": "0"}])
def test_contract_that_cannot_be_understood_is_left_out(odd: dict[str, str]):
    assert OkxInstruments().read(answer(INSTRUMENT | odd)) == {}


def test_tiers_are_read_with_their_caps_in_contracts():
    assert OkxPositionTiers().read(answer(*TIERS)) == {
        "BTCUSDT": (
            RiskTier(1000, 0.004, 100),
            RiskTier(5000, 0.005, 66.66),
            RiskTier(20000, 0.0075, 50),
        )
    }
    assert OkxPositionTiers().read(answer(TIERS[0] | {"mmr": None})) == {"BTCUSDT": None}


def test_volumes_are_coins_times_the_last_price():
    row = {"instId": "BTC-USDT-SWAP", "last": "60000", "vol24h": "250", "volCcy24h": "2.5"}
    inverse, broken = row | {"instId": "BTC-USD-SWAP"}, row | {"instId": "ETH-USDT-SWAP", "last": ""}
    assert OkxVolumes().read(answer(row, inverse, broken, "x")) == {"BTCUSDT": 150_000.0}


def test_five_families_are_asked_for_at_once():
    symbols = [f"C{number}USDT" for number in range(7)]
    urls = OkxPositionTiers().first_urls("https://x", symbols)
    assert [url.rpartition("=")[2] for url in urls] == [
        "C0-USDT,C1-USDT,C2-USDT,C3-USDT,C4-USDT",
        "C5-USDT,C6-USDT",
    ]


def test_refusal_is_an_error_though_the_status_is_that_of_success():
    for read in (OkxListing().read, OkxInstruments().read, OkxPositionTiers().read):
        with pytest.raises(DataError, match="refuses to answer about"):
            read(UNKNOWN)


@pytest.mark.parametrize(
    ("symbol", "factor", "single"),
    [
        ("BTCUSDT", 1, "BTCUSDT"),
        ("1000PEPEUSDT", 1000, "PEPEUSDT"),
        ("SHIB1000USDT", 1000, "SHIBUSDT"),
        ("1MBABYDOGEUSDT", 1_000_000, "BABYDOGEUSDT"),
        ("1000000MOGUSDT", 1_000_000, "MOGUSDT"),
        ("1INCHUSDT", 1, "1INCHUSDT"),
    ],
)
def test_symbol_says_how_many_coins_it_counts_as_one(symbol: str, factor: int, single: str):
    assert counted(symbol) == (factor, single)
    if factor > 1:
        assert other_counts(symbol) == (single,)
        assert symbol in other_counts(single)
