"""Backup: subscriptions, servers' defaults and alerts as one JSON file, and back."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.request.asking import check_defaults
from bot.request.defaults import GuildDefaults
from bot.request.due import INTERVALS
from bot.request.spec import decode_spec, encode_spec
from bot.schedule.alerts import WINDOW
from bot.store.alerts import NewAlert
from bot.store.subscriptions import NewSubscription, PostStyle
from liqmap import Exchange, LiqmapError, MapRequest, Market, Mode, RequestError, Theme, TimeWindow, TopN
from liqmap.parsing import parse_end

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from bot.request.spec import MapSpec
    from bot.store import Store
    from bot.store.subscriptions import Subscription

VERSION: Final = 1
_Id = Annotated[int, Field(gt=0, lt=2**63)]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Subscription(_Row):
    guild_id: _Id
    channel_id: _Id
    creator_id: _Id
    spec: Annotated[str, Field(max_length=300)]
    every: int
    style: Literal["new", "edit"]
    role_id: _Id | None
    state: Literal["active", "paused"]
    reason: Annotated[str, Field(max_length=300)]


class _Alert(_Row):
    guild_id: _Id
    channel_id: _Id
    creator_id: _Id
    exchange: Exchange
    symbol: Annotated[str, Field(pattern=r"^[\w-]{1,40}$")]
    distance: Annotated[float, Field(gt=0, le=1)]
    notional: Annotated[float, Field(gt=0, le=1e12)]
    cooldown: Annotated[int, Field(ge=60, le=10**7)]


class _Guild(_Row):
    guild_id: _Id
    exchange: Exchange | None
    mode: Mode | None
    value: Annotated[str, Field(max_length=40)] | None
    theme: Theme | None
    leverages: Annotated[str, Field(max_length=200)] | None
    channels: Annotated[list[_Id], Field(max_length=50)]


class _Backup(_Row):
    version: Literal[1]
    subscriptions: list[_Subscription]
    alerts: list[_Alert]
    guilds: list[_Guild]


async def export_to(store: Store, path: Path) -> int:
    """Write everything into a file that only its owner can read; return how many subscriptions there are."""
    subscriptions = await store.subscriptions.every_one()
    backup = {
        "version": VERSION,
        "subscriptions": [_subscription_row(each) for each in subscriptions],
        "alerts": [_alert_row(asdict(each)) for each in store.alerts.all()],
        "guilds": [{"guild_id": guild_id} | asdict(each) for guild_id, each in store.guilds.all().items()],
    }
    await asyncio.to_thread(_write_private, path, json.dumps(backup, indent=1, ensure_ascii=False))
    return len(subscriptions)


async def import_from(store: Store, path: Path, *, now: datetime) -> int:
    """Add what a file holds to what is there, twice the same left out; return how many were added.

    Raises RequestError if it is not such a file, and then nothing has been added.
    """
    backup = _parse(await asyncio.to_thread(_read, path))
    subscriptions = [(_new_subscription(row), row) for row in backup.subscriptions]
    alerts = [_new_alert(row, now=now) for row in backup.alerts]
    guilds = {row.guild_id: _defaults(row) for row in backup.guilds}
    there = {_mark(each) for each in await store.subscriptions.every_one()}
    added = 0
    for new, row in subscriptions:
        if _mark(new) in there:
            continue
        there.add(_mark(new))
        number = await store.subscriptions.draft(new, now=now)
        await store.subscriptions.activate(number, now=now)
        if row.state == "paused":
            await store.subscriptions.pause(number, reason=row.reason)
        added += 1
    watched = {_alert_mark(asdict(each)) for each in store.alerts.all()}
    for alert in alerts:
        if _alert_mark(asdict(alert)) not in watched:
            await store.alerts.add(alert)
    for guild_id, defaults in guilds.items():
        await store.guilds.put(guild_id, defaults)
    return added


def _parse(text: str) -> _Backup:
    try:
        return _Backup.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise RequestError(f"The backup cannot be used: {place}: {first['msg']}.") from None


def _new_subscription(row: _Subscription) -> NewSubscription:
    every = timedelta(seconds=row.every)
    spec = _spec(row.spec)
    if spec is None or every not in INTERVALS.values():
        raise RequestError(f"The backup cannot be used: the subscription {row.spec!r} makes no sense.")
    style = PostStyle(row.style)
    return NewSubscription(*(row.guild_id, row.channel_id, row.creator_id, spec, every, style, row.role_id))


def _spec(code: str) -> MapSpec | None:
    try:
        spec = decode_spec(code)
        # What is stored is encoded anew, and has to be understood then too.
        return spec if decode_spec(encode_spec(spec)) == spec else None
    except LiqmapError:
        return None


def _new_alert(row: _Alert, *, now: datetime) -> NewAlert:
    window = TimeWindow.ending(parse_end(None, now=now), WINDOW)
    try:
        MapRequest((Market(row.exchange, row.symbol),), window, TopN(100))
    except RequestError as error:
        raise RequestError(f"The backup cannot be used: the alert of {row.symbol!r}: {error}") from error
    return NewAlert(**row.model_dump() | {"cooldown": timedelta(seconds=row.cooldown)})


def _defaults(row: _Guild) -> GuildDefaults:
    fields = row.model_dump(mode="json", exclude={"guild_id", "channels"})
    defaults = GuildDefaults(**fields, channels=tuple(row.channels))
    try:
        check_defaults(defaults)
    except RequestError as error:
        raise RequestError(f"The backup cannot be used: the server {row.guild_id}: {error}") from error
    return defaults


def _subscription_row(each: Subscription) -> dict[str, Any]:
    return {
        "guild_id": each.guild_id,
        "channel_id": each.channel_id,
        "creator_id": each.creator_id,
        "spec": encode_spec(each.spec),
        "every": int(each.every.total_seconds()),
        "style": each.style.value,
        "role_id": each.role_id,
        "state": each.state.value,
        "reason": each.reason,
    }


def _alert_row(fields: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in fields.items() if name not in {"id", "fired_at"}}
    return kept | {"cooldown": int(fields["cooldown"].total_seconds())}


def _mark(each: NewSubscription) -> tuple[object, ...]:
    return (each.guild_id, each.channel_id, each.spec, each.every)


def _alert_mark(fields: dict[str, Any]) -> tuple[object, ...]:
    return tuple(_alert_row(fields).items())


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{path.name} cannot be read; name a file that export has written.") from error


def _write_private(path: Path, text: str) -> None:
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")  # a pipe, which has no place to take
            return
        place = path.resolve()
        partial = place.with_name(f".{uuid4().hex}.part")
        try:
            partial.touch(mode=0o600, exist_ok=False)
            partial.write_text(text, encoding="utf-8")
            partial.replace(place)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise RequestError(f"{path.name} cannot be written ({error.strerror}); choose another.") from error
