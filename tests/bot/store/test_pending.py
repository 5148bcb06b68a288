from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from bot.request.pending import TOKENS_LIVE, PendingAnswer
from bot.store import Store
from bot.store.database import writing

NOW = datetime(2026, 1, 1, 9, 30, 15, tzinfo=UTC)
# Discord's ids need 63 bits, and its tokens are of some 200 letters.
TOKEN = "aW50ZXJhY3Rpb24" * 20
ANSWER = PendingAnswer(2**62, 2**62 + 1, TOKEN, "public", edits=True, content=None, asked_at=NOW)


async def test_pending_answer_is_there_until_it_is_removed(store: Store):
    await store.pending.put(ANSWER)
    assert await store.pending.of(ANSWER.application_id) == [ANSWER]
    await store.pending.remove(ANSWER.interaction_id)
    await store.pending.remove(ANSWER.interaction_id)
    assert await store.pending.of(ANSWER.application_id) == []


async def test_pending_answer_replaces_an_earlier_one_of_its_interaction(store: Store):
    partial = replace(ANSWER, reply="kept", content="This is what there was.")
    await store.pending.put(ANSWER)
    await store.pending.put(partial)
    assert await store.pending.of(ANSWER.application_id) == [partial]


async def test_pending_answers_of_a_burst_are_written_together_and_the_last_change_counts(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    transactions = []

    def counted(engine: AsyncEngine) -> Any:
        transactions.append(engine)
        return writing(engine)

    monkeypatch.setattr("bot.store.pending.writing", counted)
    answers = [replace(ANSWER, interaction_id=number) for number in range(30)]
    await asyncio.gather(
        *(store.pending.put(each) for each in answers),
        *(store.pending.remove(each.interaction_id) for each in answers[10:]),
        store.pending.put(answers[20]),
    )
    assert sorted(await store.pending.of(ANSWER.application_id), key=lambda each: each.interaction_id) == [
        *answers[:10],
        answers[20],
    ]
    assert len(transactions) <= 2


async def test_pending_answer_is_written_though_nobody_waits_for_it(store: Store):
    impatient = asyncio.create_task(store.pending.put(ANSWER))
    await asyncio.sleep(0)
    impatient.cancel()
    await store.pending.put(replace(ANSWER, interaction_id=2))
    assert len(await store.pending.of(ANSWER.application_id)) == 2


async def test_pending_answer_that_cannot_be_removed_now_is_removed_with_the_next_change(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    def locked(_: AsyncEngine) -> Any:
        raise DBAPIError("", None, Exception())

    second = replace(ANSWER, interaction_id=2)
    await store.pending.put(ANSWER)
    with monkeypatch.context() as away:
        away.setattr("bot.store.pending.writing", locked)
        with pytest.raises(DBAPIError):
            await store.pending.remove(ANSWER.interaction_id)
    await store.pending.put(second)
    assert await store.pending.of(ANSWER.application_id) == [second]


async def test_pending_answers_of_another_application_are_not_seen(store: Store):
    await store.pending.put(ANSWER)
    await store.pending.put(replace(ANSWER, interaction_id=2, application_id=3))
    assert await store.pending.of(ANSWER.application_id) == [ANSWER]


async def test_pending_answers_whose_tokens_are_dead_are_forgotten(store: Store):
    second = timedelta(seconds=1)
    times = [NOW, NOW - TOKENS_LIVE, NOW - TOKENS_LIVE - second, NOW + TOKENS_LIVE + second]
    for number, asked_at in enumerate(times):
        await store.pending.put(replace(ANSWER, interaction_id=number, asked_at=asked_at))
    await store.pending.remove_old(now=NOW)
    assert [each.interaction_id for each in await store.pending.of(ANSWER.application_id)] == [1, 0]


async def test_token_of_a_pending_answer_shows_in_no_text(store: Store):
    nothing: Any = None
    with pytest.raises(IntegrityError) as caught:
        await store.pending.put(replace(ANSWER, reply=nothing))
    assert TOKEN[:20] not in f"{ANSWER} {ANSWER!r} {caught.value} {caught.value!r}"
