"""Record how far each snapshot has come: one row for each due time of a subscription."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, func, insert, literal, select, update
from sqlalchemy.exc import IntegrityError

from bot.store.database import writing
from bot.store.owner import EVERYBODY, Owner
from bot.store.subscriptions import REASON_LENGTH, SubscriptionState
from bot.store.tables import UtcSeconds, snapshots, subscriptions

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.ext.asyncio import AsyncEngine


log = logging.getLogger(__name__)


class SnapshotState(StrEnum):
    """How far a snapshot has come.

    CLAIMED: due, and nothing was sent. SENDING: perhaps sent, but Discord has not confirmed it. POSTED and
    FAILED: over.
    """

    CLAIMED = "claimed"
    SENDING = "sending"
    POSTED = "posted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One scheduled result that was posted, or is to be posted."""

    subscription_id: int
    due: datetime
    state: SnapshotState
    message_id: int | None
    reason: str
    changed_at: datetime

    @property
    def is_over(self) -> bool:
        """Whether nothing remains to be done."""
        return self.state in {SnapshotState.POSTED, SnapshotState.FAILED}


class SnapshotTable:
    """The snapshots of an owner's subscriptions."""

    def __init__(self, engine: AsyncEngine, owner: Owner = EVERYBODY) -> None:
        self._engine = engine
        self._owns = owner.owns(subscriptions)
        self._own = snapshots.c.subscription_id.in_(select(subscriptions.c.id).where(self._owns))

    async def claim(self, subscription_id: int, due: datetime, *, now: datetime) -> Snapshot | None:
        """Return the snapshot of a due time, made if it is new; None if its subscription is gone."""
        # Inserted from a SELECT, so that no row is made for a subscription that is being removed.
        row = {
            "due": literal(due, UtcSeconds),
            "state": literal(SnapshotState.CLAIMED.value),
            "reason": literal(""),
            "changed_at": literal(now, UtcSeconds),
        }
        own = select(subscriptions.c.id, *row.values()).where(
            self._owns, subscriptions.c.id == subscription_id
        )
        try:
            async with writing(self._engine) as connection:
                await connection.execute(insert(snapshots).from_select(["subscription_id", *row], own))
        except IntegrityError:
            log.debug("subscription %d has the snapshot of %s already", subscription_id, due)
        return await self._get(subscription_id, due)

    async def sending(self, snapshot: Snapshot, *, now: datetime) -> bool:
        """Note that the message is about to be sent; return whether it may be sent.

        It may not if the subscription was stopped, or if another process has begun to send it.
        """
        runs = select(subscriptions.c.id).where(
            subscriptions.c.id == snapshot.subscription_id, subscriptions.c.state == SubscriptionState.ACTIVE
        )
        # The first attempt's time is kept: the message may have been sent then, and is searched from there.
        since = now if snapshot.state is SnapshotState.CLAIMED else snapshot.changed_at
        async with writing(self._engine) as connection:
            noted = await connection.execute(
                update(snapshots)
                .where(
                    self._row_of(snapshot),
                    # Unchanged since it was read: another process may have begun to send it meanwhile.
                    snapshots.c.state == snapshot.state,
                    snapshots.c.changed_at == snapshot.changed_at,
                    runs.exists(),
                )
                .values(state=SnapshotState.SENDING, changed_at=since)
            )
            return noted.rowcount == 1

    async def posted(self, snapshot: Snapshot, *, message_id: int | None, now: datetime) -> None:
        """Note that the message was posted, and reset the subscription's failures."""
        async with writing(self._engine) as connection:
            await connection.execute(
                update(snapshots)
                .where(self._row_of(snapshot))
                .values(state=SnapshotState.POSTED, message_id=message_id, changed_at=now)
            )
            # In the same transaction: a post that is noted without its message could not be edited later.
            changes: dict[str, Any] = {"failures": 0}
            if message_id is not None:
                changes["message_id"] = message_id
            await connection.execute(
                update(subscriptions)
                .where(self._owns, subscriptions.c.id == snapshot.subscription_id)
                .values(changes)
            )

    async def failed(self, snapshot: Snapshot, *, reason: str, now: datetime) -> None:
        """Note that the snapshot has failed for good."""
        values = {"state": SnapshotState.FAILED, "reason": reason[:REASON_LENGTH], "changed_at": now}
        async with writing(self._engine) as connection:
            await connection.execute(update(snapshots).where(self._row_of(snapshot)).values(values))

    async def newest(self, subscription_id: int) -> Snapshot | None:
        """Return a subscription's newest snapshot."""
        query = (
            select(snapshots)
            .where(self._own, snapshots.c.subscription_id == subscription_id)
            .order_by(snapshots.c.due.desc())
            .limit(1)
        )
        return await self._one(query)

    async def last_posted_at(self) -> datetime | None:
        """Return when the last snapshot of any subscription was posted."""
        query = select(func.max(snapshots.c.changed_at)).where(
            self._own, snapshots.c.state == SnapshotState.POSTED
        )
        async with self._engine.connect() as connection:
            found: datetime | None = (await connection.execute(query)).scalar_one()
            return found

    async def remove_old(self, *, before: datetime) -> None:
        """Remove rows that have not changed since `before`."""
        async with writing(self._engine) as connection:
            await connection.execute(delete(snapshots).where(self._own, snapshots.c.changed_at < before))

    def _row_of(self, snapshot: Snapshot) -> ColumnElement[bool]:
        return and_(
            self._own,
            snapshots.c.subscription_id == snapshot.subscription_id,
            snapshots.c.due == snapshot.due,
        )

    async def ahead(self, *, now: datetime) -> timedelta:
        """Return by how much the newest change is ahead of `now`, as it is after the clock was set back."""
        query = select(func.max(snapshots.c.changed_at)).where(self._own)
        async with self._engine.connect() as connection:
            newest: datetime | None = (await connection.execute(query)).scalar_one()
        return timedelta() if newest is None else max(newest - now, timedelta())

    async def forget_future(self, *, now: datetime, back: timedelta) -> None:
        """Forget snapshots whose due times come a second time, because the clock was set back by `back`.

        A snapshot is kept if its due time comes again within half of its interval: its post is recent enough.
        """
        often = subscriptions.c.every <= 2 * int(back.total_seconds())
        own = select(subscriptions.c.id).where(self._owns, often)
        async with writing(self._engine) as connection:
            await connection.execute(
                delete(snapshots).where(snapshots.c.due > now, snapshots.c.subscription_id.in_(own))
            )

    async def _get(self, subscription_id: int, due: datetime) -> Snapshot | None:
        return await self._one(
            select(snapshots).where(
                self._own, snapshots.c.subscription_id == subscription_id, snapshots.c.due == due
            )
        )

    async def _one(self, query: Select[Any]) -> Snapshot | None:
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            return None
        return Snapshot(
            row.subscription_id, row.due, SnapshotState(row.state), row.message_id, row.reason, row.changed_at
        )
