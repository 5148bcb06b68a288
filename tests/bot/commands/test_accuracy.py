from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.client import LiqmapBot
from bot.request.drawing import EngineFacts
from bot.settings import BotSettings
from bot.store import Store
from liqmap import DrawnReport, RequestError
from tests.bot.conftest import PNG, FakeDraw, Floor, SimulatedClock

NO_EDGE = "No edge shown: over 90 days, 16.0 % of liquidated USD fell into the marked zones."
HASH = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"


class FakeReport:
    """Stands in for the engine's report: remembers symbols, and answers or fails as it is set up to."""

    def __init__(self) -> None:
        self.symbols: list[str | None] = []
        self.answer = DrawnReport(
            NO_EDGE, (("windows", "270 scored; 90 days"), ("difference", "−0.4 pp")), HASH, png=PNG
        )
        self.error: RequestError | None = None

    async def __call__(self, symbol: str | None, /) -> DrawnReport:
        self.symbols.append(symbol)
        if self.error is not None:
            raise self.error
        return self.answer


@pytest.fixture
def report() -> FakeReport:
    return FakeReport()


@pytest.fixture
def simcord_bot(settings: BotSettings, store: Store, draw: FakeDraw, report: FakeReport) -> LiqmapBot:
    facts = EngineFacts(report=report)
    return LiqmapBot(settings, draw=draw, store=store, clock=SimulatedClock(), facts=facts)


async def accuracy(floor: Floor, **options: str) -> Any:
    answer = await floor.member.slash(floor.channel, "accuracy", **options)
    assert answer.response is not None
    return answer.response


async def test_a_bad_result_is_shown_like_a_good_one(floor: Floor, report: FakeReport):
    answer = await accuracy(floor)
    (embed,) = answer.embeds
    assert embed.description == NO_EDGE
    fields = {field.name: field.value for field in embed.fields}
    assert fields == {
        "Windows": "270 scored; 90 days",
        "Difference": "−0.4 pp",
        "Last hash": f"`{HASH}`",
    }
    (picture,) = answer.attachments
    assert (picture.filename, await picture.read()) == ("accuracy.png", PNG)
    assert report.symbols == [None]


async def test_earlier_ledgers_are_named_so_that_a_new_one_does_not_hide_them(
    floor: Floor, report: FakeReport
):
    for answer in (report.answer, DrawnReport()):
        report.answer = replace(answer, earlier=(("0.9-12ab34cd", NO_EDGE),))
        (embed,) = (await accuracy(floor)).embeds
        assert ("Earlier ledger 0.9-12ab34cd", NO_EDGE) in [(each.name, each.value) for each in embed.fields]


async def test_one_symbol_can_be_asked_for(floor: Floor, report: FakeReport):
    await accuracy(floor, symbol="btc/usdt")
    assert report.symbols == ["BTC-USDT"]


async def test_what_a_symbol_was_taken_to_mean_is_reported(floor: Floor, report: FakeReport):
    assert not (await accuracy(floor, symbol="BTCUSDT")).content
    report.answer = replace(report.answer, completion="BTC: BTCUSDT")
    assert (await accuracy(floor, symbol="btc")).content == "BTC: BTCUSDT"


@pytest.mark.simcord(check_errors=False)
async def test_a_symbol_that_is_not_sealed_gets_a_sentence(floor: Floor, report: FakeReport):
    report.error = RequestError("No map of XRP is sealed; try BTCUSDT.")
    answer = await floor.member.slash(floor.channel, "accuracy", symbol="xrp")
    (reported,) = answer.followups
    assert reported.content == str(report.error)


async def test_before_anything_is_sealed_it_says_when_that_is(floor: Floor, report: FakeReport):
    report.answer = DrawnReport()
    answer = await accuracy(floor)
    (embed,) = answer.embeds
    assert (embed.description or "").startswith("Nothing is sealed yet. Maps of recorded symbols are sealed")
    assert (answer.attachments, list(embed.fields)) == ([], [])


async def test_simulated_data_is_named(floor: Floor, report: FakeReport):
    report.answer = DrawnReport("Simulated data. No verdict yet.", (), HASH, simulated=True, png=PNG)
    (embed,) = (await accuracy(floor)).embeds
    assert embed.title == "Accuracy of earlier maps (simulated data)"
