"""Export subscriptions, servers' defaults and alerts to one JSON file, and import them again."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from bot.ops.backup_file import VERSION, read_backup
from bot.request.posted import encode_posted
from bot.store.restore import Saved, restore
from liqmap import RequestError
from liqmap.files import ABANDONED_AFTER, remove_abandoned, replace_file

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from bot.store import Store
    from bot.store.subscriptions import Subscription

_LARGEST: Final = 64 << 20  # bytes, which hold some 150,000 subscriptions


async def export_to(store: Store, path: Path) -> int:
    """Write everything into a file that only its owner can read; return the number of subscriptions."""
    subscriptions = await store.subscriptions.every_one()
    backup = {
        "version": VERSION,
        "subscriptions": [_subscription_row(each) for each in subscriptions],
        "alerts": [_alert_row(asdict(each)) for each in await store.alerts.all()],
        "guilds": [{"guild_id": guild_id} | asdict(each) for guild_id, each in store.guilds.all().items()],
    }
    await asyncio.to_thread(_write_private, path, json.dumps(backup, indent=1, ensure_ascii=False))
    return len(subscriptions)


async def import_from(store: Store, path: Path, *, now: datetime) -> int:
    """Add the rows of a file that are not there yet; return the number of added subscriptions.

    Raises RequestError if any row is wrong. In that case, or if the process ends midway, nothing is added.
    """
    saved = await asyncio.to_thread(_read, path, now=now)
    added = await restore(store.engine, saved, now=now)
    await store.guilds.load()
    return added


# Row ids and posted messages are left out: in another database they would mean something else.
def _subscription_row(each: Subscription) -> dict[str, Any]:
    return {
        "guild_id": each.guild_id,
        "channel_id": each.channel_id,
        "creator_id": each.creator_id,
        "spec": encode_posted(each.spec),
        "every": int(each.schedule.every.total_seconds()),
        "at_minute": each.schedule.at // timedelta(minutes=1),
        "days": sorted(each.schedule.days),
        "timezone": each.schedule.timezone,
        "style": each.style.value,
        "role_id": each.role_id,
        "publish": each.publish,
        "state": each.state.value,
        "reason": each.reason,
    }


def _alert_row(fields: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in fields.items() if name not in {"id", "fired_at"}}
    return kept | {"cooldown": int(fields["cooldown"].total_seconds())}


def _read(path: Path, *, now: datetime) -> Saved:
    try:
        # One byte more than is taken: so a huge file or an endless device is noticed without reading it all.
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise RequestError(f"{path.name} cannot be read; name a file that export wrote.") from error
    if len(content) > _LARGEST:
        raise RequestError(f"{path.name} is larger than {_LARGEST >> 20} MiB, the most that import takes.")
    return read_backup(content, now=now)


def _write_private(path: Path, text: str) -> None:
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")  # a pipe or device: a rename would replace it by a file
            return
        place = path.resolve()
        replace_file(place, text.encode(), mode=0o600)
        remove_abandoned(place.parent, before=place.stat().st_mtime - ABANDONED_AFTER)
    except OSError as error:
        raise RequestError(f"{path.name} cannot be written ({error.strerror}); choose another.") from error
