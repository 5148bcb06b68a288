from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event

from bot.ops.backup import export_to
from bot.request.defaults import GuildDefaults
from bot.request.due import Schedule
from bot.request.spec import MapSpec
from bot.settings import BotSettings
from bot.store import Store, open_store
from bot.store.alerts import TO_CREATOR, NewAlert
from bot.store.restore import Saved, SavedSubscription, restore
from bot.store.subscriptions import SubscriptionState
from liqmap.model import Exchange
from tests.bot.conftest import REQUEST

NOW = datetime(2026, 1, 1, 9, 30, tzinfo=UTC)
PAUSED = SavedSubscription(
    *(1, 2, 3, MapSpec(REQUEST), Schedule(timedelta(hours=1))),
    state=SubscriptionState.PAUSED,
    reason="by mona",
)
ALERT = NewAlert(1, 2, 3, Exchange.BYBIT, "BTCUSDT", 0.01, 1e6, timedelta(hours=1))
SAVED = Saved(
    [
        PAUSED,
        replace(
            PAUSED,
            channel_id=4,
            schedule=Schedule(timedelta(days=1), timedelta(hours=8), frozenset({0}), "Asia/Tokyo"),
            publish=True,
            state=SubscriptionState.ACTIVE,
            reason="",
        ),
    ],
    # Two of persons too, one of them paused.
    [
        ALERT,
        replace(ALERT, channel_id=4),
        replace(ALERT, channel_id=TO_CREATOR),
        replace(ALERT, channel_id=TO_CREATOR, creator_id=8, reason="closed"),
    ],
    {
        1: GuildDefaults(theme="light", timezone="Asia/Tokyo", channels=(2, 4)),
        5: GuildDefaults(mode="portion"),
    },
)


async def contents(settings: BotSettings) -> tuple[Any, ...]:
    """Return what is stored, as a bot that starts finds it."""
    async with open_store(settings) as store:
        subscriptions = await store.subscriptions.every_one()
        rows = [
            (each.channel_id, each.state, each.reason, each.schedule, each.publish) for each in subscriptions
        ]
        return (
            rows,
            [(each.channel_id, each.creator_id, each.reason) for each in await store.alerts.all()],
            store.guilds.all(),
        )


WHOLE = (
    [(each.channel_id, each.state, each.reason, each.schedule, each.publish) for each in SAVED.subscriptions],
    [(2, 3, ""), (4, 3, ""), (0, 3, ""), (0, 8, "closed")],
    dict(SAVED.guilds),
)


@contextmanager
def each_statement(store: Store, listener: Callable[[str], None]) -> Iterator[None]:
    def before(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        listener(statement)

    event.listen(store.engine.sync_engine, "before_cursor_execute", before)
    try:
        yield
    finally:
        event.remove(store.engine.sync_engine, "before_cursor_execute", before)


async def test_everything_is_restored_once(stored_settings: BotSettings, store: Store):
    assert await restore(store.engine, SAVED, now=NOW) == 2
    assert await restore(store.engine, SAVED, now=NOW) == 0
    assert await contents(stored_settings) == WHOLE


async def test_equal_rows_of_one_file_are_restored_once(stored_settings: BotSettings, store: Store):
    doubled = replace(SAVED, subscriptions=[*SAVED.subscriptions] * 2, alerts=[*SAVED.alerts] * 2)
    assert await restore(store.engine, doubled, now=NOW) == 2
    assert await contents(stored_settings) == WHOLE


async def test_restore_of_an_active_row_leaves_the_stored_one_unchanged(
    stored_settings: BotSettings, store: Store
):
    await restore(store.engine, SAVED, now=NOW)
    awake = replace(PAUSED, state=SubscriptionState.ACTIVE, reason="")
    await restore(store.engine, replace(SAVED, subscriptions=[awake]), now=NOW)
    assert await contents(stored_settings) == WHOLE


async def test_restore_that_is_interrupted_anywhere_changes_nothing(
    stored_settings: BotSettings, store: Store
):
    statements: list[str] = []
    with each_statement(store, statements.append):
        await restore(store.engine, Saved([], [], {}), now=NOW)
    least = len(statements)
    for place in range(least, 100):
        left = iter(range(place))

        def interrupt(_: str, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise asyncio.CancelledError

        with suppress(asyncio.CancelledError), each_statement(store, interrupt):
            await restore(store.engine, SAVED, now=NOW)
            break
        assert await contents(stored_settings) == ([], [], {})
    assert place > least + 3
    assert await contents(stored_settings) == WHOLE


async def test_number_of_statements_does_not_grow_with_the_rows(store: Store):
    counts = []
    for many in (10, 1000):
        statements: list[str] = []
        saved = Saved(
            [replace(PAUSED, guild_id=many, channel_id=many + number) for number in range(1, many)],
            [replace(ALERT, guild_id=many, channel_id=many + number) for number in range(1, many)],
            {many + number: GuildDefaults(theme="light") for number in range(many)},
        )
        with each_statement(store, statements.append):
            assert await restore(store.engine, saved, now=NOW) == many - 1
        counts.append(len(statements))
    assert counts[0] == counts[1] < 10


KILLED = """
import os, signal, sys
from bot.app import main
from bot.store import restore

insert = restore._insert

async def insert_and_die(connection, table, rows):
    await insert(connection, table, rows)
    if table.name == "guilds":
        os.kill(os.getpid(), signal.SIGKILL)

restore._insert = insert_and_die
main(sys.argv[1:])
"""


async def test_import_that_is_killed_at_its_end_changes_nothing(settings: BotSettings, tmp_path: Path):
    async with open_store(settings) as store:
        await restore(store.engine, SAVED, now=NOW)
        await export_to(store, tmp_path / "backup.json")
    new = settings.model_copy(update={"storage": settings.storage.model_copy(update={"path": tmp_path})})
    words = ["import", str(tmp_path / "backup.json")]
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", KILLED, *words],
        env={**os.environ, "LIQMAP__STORAGE__PATH": str(tmp_path)},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert await contents(new) == ([], [], {})
