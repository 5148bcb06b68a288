from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from bot.interaction import gate
from bot.interaction.gate import Gate


def interaction(number: int = 1) -> Any:
    return SimpleNamespace(id=number, application_id=7)


class Takings:
    """Remembers what was taken, and answers or fails as it is set up to."""

    def __init__(self, outcome: bool | Exception = True) -> None:
        self.asked: list[tuple[int, int]] = []
        self.outcome = outcome
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self, interaction_id: int, application_id: int) -> bool:
        self.asked.append((interaction_id, application_id))
        await self.go_on.wait()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


async def test_interaction_that_comes_twice_is_admitted_once():
    takings = Takings()
    entrance = Gate(takings)
    assert [await entrance.admits(interaction(number)) for number in (1, 2, 1)] == [True, True, False]
    assert takings.asked == [(1, 7), (2, 7)]


async def test_interaction_that_another_process_has_taken_is_not_admitted():
    assert not await Gate(Takings(outcome=False)).admits(interaction())


@pytest.mark.parametrize(
    "error", [DBAPIError("", None, Exception()), SQLAlchemyError(), ConnectionRefusedError(111, "refused")]
)
async def test_database_in_trouble_keeps_nobody_out(caplog: pytest.LogCaptureFixture, error: Exception):
    assert await Gate(Takings(error)).admits(interaction())
    assert caplog.messages == [f"an interaction is answered untaken: {type(error).__name__}"]


async def test_database_that_does_not_answer_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(gate, "_TAKING_SECONDS", 0.0)
    takings = Takings(DBAPIError("", None, Exception()))
    takings.go_on.clear()
    assert await Gate(takings).admits(interaction())
    takings.go_on.set()
    while len(caplog.messages) < 2:
        await asyncio.sleep(0)
    assert caplog.messages == [
        "an interaction is answered untaken: the database is slow",
        "an interaction is answered untaken: DBAPIError",
    ]
