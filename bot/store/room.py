"""Room: whether a server or a person can have one more subscription or alert, also when several come at once.

Each row takes a place of its server's or person's, a number that is unique in the database. Two that are
added at once see the same place free; one of them gets it, and the other looks again. So a limit that was
checked in a transaction holds, and so do the keys that make two rows one.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import select, true
from sqlalchemy.exc import IntegrityError
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt

from liqmap import RequestError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from sqlalchemy import ColumnElement, Table
    from sqlalchemy.ext.asyncio import AsyncConnection

Outcome = TypeVar("Outcome")

_ATTEMPTS: Final = 100
_ALL: Final = true()


async def until_unique(transaction: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """Do a `transaction` again for as long as another has taken its keys in between."""
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type(IntegrityError), stop=stop_after_attempt(_ATTEMPTS), reraise=True
    ):
        with attempt:
            return await transaction()
    raise AssertionError  # pragma: no cover - the last attempt returns or raises


async def free_place(
    connection: AsyncConnection,
    table: Table,
    row: Mapping[str, Any],
    *,
    most: int | None,
    there: ColumnElement[bool] = _ALL,
    owner: str = "guild_id",
) -> int:
    """Return the lowest place that is free for `row` beside the rows of its `owner` that are `there`.

    The owner is a server, or a person (`creator_id`). Raises RequestError if those are `most` already.
    """
    # One statement: between two, another transaction could add a row.
    query = select(table.c.place).where(_beside(table, row), there, table.c[owner] == row[owner])
    taken = (await connection.execute(query)).scalars().all()
    if most is not None and len(taken) >= most:
        what = table.name.removesuffix("s") if most == 1 else table.name
        who = "This server has" if owner == "guild_id" else "You have"
        raise RequestError(f"{who} {most} {what}, which is the limit; remove one first.")
    return next(number for number in count() if number not in set(taken))


async def equal_id(
    connection: AsyncConnection,
    table: Table,
    row: Mapping[str, Any],
    *,
    key: Iterable[str],
    there: ColumnElement[bool] = _ALL,
) -> int | None:
    """Return the id of a row that is `there` and has the `key` of `row`, None if there is none."""
    same = (table.c[name] == row[name] for name in key)
    query = select(table.c.id).where(_beside(table, row), there, *same)
    return (await connection.execute(query)).scalars().first()


def _beside(table: Table, row: Mapping[str, Any]) -> ColumnElement[bool]:
    beside: ColumnElement[bool] = table.c.application_id == row["application_id"]
    return beside
