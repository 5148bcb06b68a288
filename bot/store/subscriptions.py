"""Store subscriptions: what is posted where, and how often."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, delete, insert, select, update

from bot.request.due import Schedule
from bot.request.posted import Posted, decode_posted, encode_posted
from bot.request.times import EVERY_DAY
from bot.store.database import writing
from bot.store.owner import EVERYBODY, Owner
from bot.store.room import equal_id, free_place, until_unique
from bot.store.tables import subscriptions
from liqmap import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement, Row
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

log = logging.getLogger(__name__)

REASON_LENGTH: Final = 300
_MINUTE: Final = timedelta(minutes=1)
SUBSCRIPTION_KEY: Final = ("channel_id", "spec", "every", "at_minute", "weekdays", "timezone")
"""The columns in which active subscriptions must differ. Equal ones would post the same at the same time."""

DOUBLED: Final = "the channel already gets exactly these posts"
"""Why a subscription is paused that equals one which runs already."""


class PostStyle(StrEnum):
    """Whether each snapshot is a new message or replaces the previous one."""

    NEW_POST = "new"
    EDIT = "edit"


class SubscriptionState(StrEnum):
    """A subscription is a draft until somebody presses Confirm."""

    DRAFT = "draft"
    ACTIVE = "active"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class NewSubscription:
    """A subscription as it is requested. With `publish`, new posts go to the followers of their channel."""

    guild_id: int
    channel_id: int
    creator_id: int
    spec: Posted
    schedule: Schedule
    style: PostStyle = PostStyle.NEW_POST
    role_id: int | None = None
    publish: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription(NewSubscription):
    """A subscription as it is stored.

    `reason` says why it is paused; `failures` is the number of failures in a row; `message_id` is the newest
    post.
    """

    id: int
    state: SubscriptionState
    reason: str
    failures: int
    message_id: int | None
    active_since: datetime

    @property
    def edited_message(self) -> int | None:
        """The message that the next snapshot replaces, None if it is to be a new one."""
        return self.message_id if self.style is PostStyle.EDIT else None


_DRAFT: Final = subscriptions.c.state == SubscriptionState.DRAFT
_NOT_DRAFT: Final = subscriptions.c.state != SubscriptionState.DRAFT
_ACTIVE: Final = subscriptions.c.state == SubscriptionState.ACTIVE


class SubscriptionTable:
    """An owner's subscriptions. A row that cannot be decoded is skipped with a warning."""

    def __init__(self, engine: AsyncEngine, owner: Owner = EVERYBODY) -> None:
        self._engine = engine
        self._owner = owner
        self._own = owner.owns(subscriptions)

    async def draft(self, new: NewSubscription, *, now: datetime) -> int:
        """Store a draft; return its id."""
        values = {
            **subscription_columns(new),
            "application_id": self._owner.of_new_rows,
            "state": SubscriptionState.DRAFT,
            "reason": "",
            "failures": 0,
            "active_since": now,
        }
        async with writing(self._engine) as connection:
            stored = await connection.execute(
                insert(subscriptions).values(values).returning(subscriptions.c.id)
            )
            return int(stored.scalar_one())

    async def activate(self, subscription_id: int, *, now: datetime, most: int | None = None) -> bool:
        """Activate a draft or a paused subscription; return whether it exists.

        Raises RequestError if its server already has `most`, or its channel already has an equal one.
        """
        return await until_unique(lambda: self._activate(subscription_id, now=now, most=most))

    async def check_room(self, new: NewSubscription, *, most: int) -> None:
        """Raise RequestError if `new` could not run now. Only the check that `activate` makes is binding."""
        row = subscription_columns(new) | {"application_id": self._owner.of_new_rows}
        async with self._engine.connect() as connection:
            await _check_equal(connection, row, there=_NOT_DRAFT)
            await free_place(connection, subscriptions, row, there=_NOT_DRAFT, most=most)

    async def pause(self, subscription_id: int, *, reason: str) -> bool:
        """Pause a subscription until somebody resumes it; return whether it was active."""
        return await self._change(
            {"state": SubscriptionState.PAUSED, "reason": reason[:REASON_LENGTH]},
            subscriptions.c.id == subscription_id,
            _ACTIVE,
        )

    async def forget_message(self, subscription_id: int) -> None:
        """Note that the newest post cannot be edited any more."""
        await self._change({"message_id": None}, subscriptions.c.id == subscription_id)

    async def stop_publishing(self, subscription_id: int) -> bool:
        """Stop publishing a subscription's posts; return whether they were published."""
        return await self._change(
            {"publish": False}, subscriptions.c.id == subscription_id, subscriptions.c.publish
        )

    async def note_failures(self, subscription_id: int, count: int) -> None:
        """Note the number of a subscription's failures in a row."""
        await self._change({"failures": count}, subscriptions.c.id == subscription_id)

    async def begin_by(self, now: datetime) -> None:
        """Let subscriptions start at `now` that a clock which was ahead would start in the future."""
        await self._change({"active_since": now}, subscriptions.c.active_since > now)

    async def get(self, subscription_id: int) -> Subscription | None:
        """Return one subscription."""
        found = await self._select(subscriptions.c.id == subscription_id)
        return found[0] if found else None

    async def of_guild(self, guild_id: int) -> Sequence[Subscription]:
        """Return a guild's subscriptions, drafts left out, oldest first."""
        return await self._select(subscriptions.c.guild_id == guild_id, _NOT_DRAFT)

    async def active(self) -> Sequence[Subscription]:
        """Return all subscriptions that run in this process."""
        return await self._select(_ACTIVE, self._owner.serves(subscriptions))

    async def every_one(self) -> Sequence[Subscription]:
        """Return all subscriptions of this process, drafts left out."""
        return await self._select(_NOT_DRAFT, self._owner.serves(subscriptions))

    async def remove(self, subscription_id: int) -> bool:
        """Remove one subscription; return whether it was there."""
        return bool(await self._delete(subscriptions.c.id == subscription_id))

    async def remove_draft(self, subscription_id: int) -> bool:
        """Remove a draft; return whether it existed."""
        return bool(await self._delete(subscriptions.c.id == subscription_id, _DRAFT))

    async def remove_guild(self, guild_id: int) -> Sequence[int]:
        """Remove a guild's subscriptions; return their ids."""
        return await self._delete(subscriptions.c.guild_id == guild_id)

    async def remove_channel(self, channel_id: int) -> Sequence[int]:
        """Remove a channel's subscriptions; return their ids."""
        return await self._delete(subscriptions.c.channel_id == channel_id)

    async def remove_drafts(self, *, before: datetime) -> None:
        """Remove drafts that nobody confirmed."""
        # For a draft, this is the time at which it was made.
        await self._delete(_DRAFT, subscriptions.c.active_since < before)

    async def _activate(self, subscription_id: int, *, now: datetime, most: int | None) -> bool:
        # What fell due before `now` is never posted, even if the subscription was only paused then.
        values = {"state": SubscriptionState.ACTIVE, "reason": "", "failures": 0, "active_since": now}
        one = and_(self._own, subscriptions.c.id == subscription_id)
        async with writing(self._engine) as connection:
            # Locked, so that of two simultaneous presses the second one finds it active.
            query = select(subscriptions).where(one).with_for_update()
            found = (await connection.execute(query)).mappings().first()
            row = dict(found or {})
            if found is None or row["state"] == SubscriptionState.ACTIVE:
                return found is not None
            # A draft has no place yet; a paused subscription has kept its own, so it needs no room.
            if row["state"] == SubscriptionState.DRAFT:
                await _check_equal(connection, row, there=_NOT_DRAFT)
                values["place"] = await free_place(
                    connection, subscriptions, row, there=_NOT_DRAFT, most=most
                )
            else:
                # A paused equal one does no harm: only what runs would post twice.
                await _check_equal(connection, row, there=_ACTIVE)
            await connection.execute(update(subscriptions).where(one).values(values))
        return True

    # Every statement is limited to the owner's rows: several bots may share a database.
    async def _change(self, values: dict[str, Any], *conditions: ColumnElement[bool]) -> bool:
        async with writing(self._engine) as connection:
            changed = await connection.execute(
                update(subscriptions).where(self._own, *conditions).values(values)
            )
            return changed.rowcount > 0

    async def _select(self, *conditions: ColumnElement[bool]) -> list[Subscription]:
        query = select(subscriptions).where(self._own, *conditions).order_by(subscriptions.c.id)
        async with self._engine.connect() as connection:
            found = [understood(row) for row in await connection.execute(query)]
        return [each for each in found if each is not None]

    async def _delete(self, *conditions: ColumnElement[bool]) -> list[int]:
        async with writing(self._engine) as connection:
            gone = await connection.execute(
                delete(subscriptions).where(self._own, *conditions).returning(subscriptions.c.id)
            )
            return list(gone.scalars())


async def _check_equal(
    connection: AsyncConnection, row: Mapping[str, Any], *, there: ColumnElement[bool]
) -> None:
    equal = await equal_id(connection, subscriptions, row, there=there, key=SUBSCRIPTION_KEY)
    if equal is not None:
        raise RequestError(f"<#{row['channel_id']}> already gets exactly these posts; see /subscriptions.")


def subscription_columns(new: NewSubscription) -> dict[str, Any]:
    """Return the columns of a subscription as it is requested."""
    return {
        "guild_id": new.guild_id,
        "channel_id": new.channel_id,
        "creator_id": new.creator_id,
        "spec": encode_posted(new.spec),
        "every": int(new.schedule.every.total_seconds()),
        "at_minute": new.schedule.at // _MINUTE,
        # One number, because it is part of the unique key of active subscriptions.
        "weekdays": sum(1 << day for day in new.schedule.days),
        "timezone": new.schedule.timezone,
        "style": new.style,
        "role_id": new.role_id,
        "publish": new.publish,
    }


def understood(row: Row[Any]) -> Subscription | None:
    """Return the subscription of a row, None with a warning if the row cannot be understood."""
    try:
        return _subscription(row)
    except RequestError:
        # A single bad row must not stop the posts of all others.
        log.warning("subscription %d is skipped: its row cannot be decoded", row.id)
        return None


def _subscription(row: Row[Any]) -> Subscription:
    return Subscription(
        id=row.id,
        guild_id=row.guild_id,
        channel_id=row.channel_id,
        creator_id=row.creator_id,
        spec=decode_posted(row.spec),
        schedule=_schedule(row),
        style=PostStyle(row.style),
        role_id=row.role_id,
        publish=row.publish,
        state=SubscriptionState(row.state),
        reason=row.reason,
        failures=row.failures,
        message_id=row.message_id,
        active_since=row.active_since,
    )


def _schedule(row: Row[Any]) -> Schedule:
    days = frozenset(day for day in EVERY_DAY if row.weekdays >> day & 1)
    return Schedule(timedelta(seconds=row.every), row.at_minute * _MINUTE, days, row.timezone)
