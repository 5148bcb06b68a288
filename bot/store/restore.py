"""Restore a backup into the tables, in one transaction: everything or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, insert, select

from bot.store.alerts import alert_columns, alert_key
from bot.store.database import writing
from bot.store.guilds import guild_columns
from bot.store.owner import UNCLAIMED
from bot.store.subscriptions import NewSubscription, SubscriptionState, subscription_columns, understood
from bot.store.tables import alerts, guilds, subscriptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from bot.request.defaults import GuildDefaults
    from bot.store.alerts import NewAlert


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedSubscription(NewSubscription):
    """A subscription in a backup: active, or paused for a reason."""

    state: SubscriptionState
    reason: str


@dataclass(frozen=True, slots=True)
class Saved:
    """What a backup holds."""

    subscriptions: Sequence[SavedSubscription]
    alerts: Sequence[NewAlert]
    guilds: Mapping[int, GuildDefaults]


async def restore(engine: AsyncEngine, saved: Saved, *, now: datetime) -> int:
    """Add the rows that are new, and the guilds' defaults; return the number of added subscriptions.

    All rows belong to no bot until one claims them. When a bot claims defaults, they replace its own.
    """
    async with writing(engine) as connection:
        added = await _add_subscriptions(connection, saved.subscriptions, now=now)
        await _add_alerts(connection, saved.alerts)
        await _replace_guilds(connection, saved.guilds)
    return added


async def _add_subscriptions(
    connection: AsyncConnection, saved: Sequence[SavedSubscription], *, now: datetime
) -> int:
    query = select(subscriptions).where(subscriptions.c.state != SubscriptionState.DRAFT)
    # Compared after decoding: an older version may have encoded the same spec in another way.
    found = [understood(row) for row in await connection.execute(query)]
    there = {_mark(each) for each in found if each is not None}
    rows: dict[object, dict[str, Any]] = {}
    for each in saved:
        if _mark(each) not in there:
            state = {"state": each.state, "reason": each.reason, "failures": 0, "active_since": now}
            rows.setdefault(_mark(each), subscription_columns(each) | state)
    await _insert(connection, subscriptions, list(rows.values()))
    return len(rows)


async def _add_alerts(connection: AsyncConnection, saved: Sequence[NewAlert]) -> None:
    there = {_alert_mark(row) for row in (await connection.execute(select(alerts))).mappings()}
    rows: dict[object, dict[str, Any]] = {}
    for row in map(alert_columns, saved):
        rows.setdefault(_alert_mark(row), row)
    await _insert(connection, alerts, [row for mark, row in rows.items() if mark not in there])


async def _replace_guilds(connection: AsyncConnection, saved: Mapping[int, GuildDefaults]) -> None:
    # Only unclaimed defaults are replaced here; a bot's own are replaced when it claims these.
    if saved:
        replaced = delete(guilds).where(
            guilds.c.application_id == UNCLAIMED, guilds.c.guild_id == bindparam("replaced")
        )
        await connection.execute(replaced, [{"replaced": guild_id} for guild_id in saved])
    await _insert(connection, guilds, [guild_columns(*each) for each in saved.items()])


async def _insert(connection: AsyncConnection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        await connection.execute(insert(table), rows)


def _alert_mark(row: Mapping[Any, Any]) -> tuple[object, ...]:
    return tuple(row[name] for name in alert_key(row))


def _mark(each: NewSubscription) -> tuple[object, ...]:
    """Return a key that subscriptions have in common which would post the same at the same time."""
    return (each.channel_id, each.spec, each.schedule)
