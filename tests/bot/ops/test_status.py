from __future__ import annotations

from datetime import UTC, datetime

from bot.ops.status import queue_text, snapshots_text, uptime_text, versions_text
from bot.store import Store
from liqmap import __version__
from tests.bot.conftest import Floor


def test_versions_uptime_and_queue_are_short_texts():
    assert versions_text().startswith(f"liqmap {__version__} · discord.py 2.")
    assert uptime_text(datetime(2026, 1, 1, tzinfo=UTC)) == "since <t:1767225600:R>"
    assert queue_text(3, 32) == "3 of 32 maps under way"


async def test_snapshots_text_has_their_number_and_the_last_post(floor: Floor, store: Store):
    assert await snapshots_text(store) == "0 subscriptions run; nothing posted yet"
    await floor.subscribed(floor.manager())
    await floor.env.advance_time(3600)
    assert await snapshots_text(store) == "1 subscription runs; the last post came <t:1767261612:R>"
