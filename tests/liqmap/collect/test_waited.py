from __future__ import annotations

import asyncio

import pytest

from liqmap.collect.waited import WaitedFor
from liqmap.errors import DataError


class Work:
    """Counts how often it was begun, and how often it ended early."""

    def __init__(self) -> None:
        self.begun = self.cancelled = 0
        self.may_end = asyncio.Event()

    async def __call__(self) -> None:
        self.begun += 1
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def waiters(works: WaitedFor[str, None, None], work: Work, *, count: int) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(works.result("day", work)) for _ in range(count)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_work_is_done_once_for_all_who_wait():
    works, work = WaitedFor[str, None, None](), Work()
    tasks = await waiters(works, work, count=3)
    work.may_end.set()
    await asyncio.gather(*tasks)
    assert (work.begun, work.cancelled, list(works)) == (1, 0, [])


async def test_work_ends_with_the_last_one_who_waits_and_begins_anew_for_the_next():
    works, work = WaitedFor[str, None, None](), Work()
    first, second = await waiters(works, work, count=2)
    first.cancel()
    await asyncio.wait([first])
    assert work.cancelled == 0
    second.cancel()
    await asyncio.wait([second])
    (third,) = await waiters(works, work, count=1)
    assert (work.begun, work.cancelled, list(works)) == (2, 1, ["day"])
    work.may_end.set()
    await third


async def test_work_is_patient_while_all_who_wait_for_it_are():
    works, work = WaitedFor[str, None, None](), Work()
    patient = asyncio.create_task(works.result("day", work, patiently=True))
    await asyncio.sleep(0)
    assert works.is_patient("day")
    (hurried,) = await waiters(works, work, count=1)
    assert not works.is_patient("day")
    hurried.cancel()
    await asyncio.wait([hurried])
    assert works.is_patient("day")
    work.may_end.set()
    await patient
    assert not works.is_patient("day")


async def test_all_who_wait_get_the_error():
    async def failing() -> None:
        raise DataError("The exchange is away.")

    works = WaitedFor[str, None, None]()
    outcomes = await asyncio.gather(*(works.result("day", failing) for _ in range(2)), return_exceptions=True)
    assert [str(each) for each in outcomes] == ["The exchange is away."] * 2
    assert list(works) == []


async def test_close_ends_all_work():
    works, work = WaitedFor[str, None, None](), Work()
    (task,) = await waiters(works, work, count=1)
    await works.close()
    assert work.cancelled == 1
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_close_waits_for_work_that_was_given_up_and_has_not_ended_yet():
    works, work = WaitedFor[str, None, None](), Work()
    (task,) = await waiters(works, work, count=1)
    task.cancel()
    await asyncio.sleep(0)
    assert (work.cancelled, list(works)) == (0, [])
    await works.close()
    assert work.cancelled == 1


async def test_lasting_news_also_reach_who_comes_later():
    works, work = WaitedFor[str, None, list[str]](), Work()
    early: list[str] = []
    late: list[str] = []
    works.tell("day", lambda heard: heard.append("before it began"), lasting=True)
    first = asyncio.create_task(works.result("day", work, early))
    await asyncio.sleep(0)
    works.tell("day", lambda heard: heard.append("passing"))
    works.tell("day", lambda heard: heard.append("lasting"), lasting=True)
    second = asyncio.create_task(works.result("day", work, late))
    await asyncio.sleep(0)
    work.may_end.set()
    await asyncio.gather(first, second)
    assert (early, late) == (["passing", "lasting"], ["lasting"])
