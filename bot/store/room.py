"""Check whether a server or person has room for one more subscription or alert, even if several come at once.

Each row has a place among the rows of its server or person: a number that is unique there. Two simultaneous
transactions find the same free place. One of them gets it; the other one fails, and starts again. So limits
hold, and no two equal rows are added.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import select, true
from sqlalchemy.exc import IntegrityError
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt

from liqmap import RequestError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

    from sqlalchemy import ColumnElement, Table
    from sqlalchemy.ext.asyncio import AsyncConnection

Outcome = TypeVar("Outcome")

_ATTEMPTS: Final = 100  # each attempt that fails means that another transaction has succeeded
_ALL: Final = true()


async def until_unique(transaction: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """Run `transaction`, and run it again whenever another one has taken its keys meanwhile."""
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
    """Return the lowest free place for `row` among the rows of its `owner` for which `there` holds.

    The owner is a server, or a person (`creator_id`). Raises RequestError if it already has `most` such rows.
    """
    # One statement for counting and choosing: between two, another transaction could add a row.
    query = select(table.c.place).where(_beside(table, row), there, table.c[owner] == row[owner])
    taken = (await connection.execute(query)).scalars().all()
    if most is not None and len(taken) >= most:
        what = table.name.removesuffix("s") if most == 1 else table.name
        who = "This server has" if owner == "guild_id" else "You have"
        raise RequestError(f"{who} {most} {what}, which is the limit; remove one first.")
    return first_free(taken)


def first_free(taken: Collection[int]) -> int:
    """Return the lowest place that is not taken."""
    return next(place for place in count() if place not in taken)


async def equal_id(
    connection: AsyncConnection,
    table: Table,
    row: Mapping[str, Any],
    *,
    key: Iterable[str],
    there: ColumnElement[bool] = _ALL,
) -> int | None:
    """Return the id of a row that has the `key` columns of `row` and for which `there` holds, else None."""
    same = (table.c[name] == row[name] for name in key)
    query = select(table.c.id).where(_beside(table, row), there, *same)
    return (await connection.execute(query)).scalars().first()


# Only rows of the same application: a test bot in the same database must not fill another one's limits.
def _beside(table: Table, row: Mapping[str, Any]) -> ColumnElement[bool]:
    beside: ColumnElement[bool] = table.c.application_id == row["application_id"]
    return beside
