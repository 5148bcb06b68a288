"""What /status says of the bot itself: versions, uptime, what waits, what was posted last."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

from liqmap import __version__

if TYPE_CHECKING:
    from datetime import datetime

    from bot.store import Store


def versions_text() -> str:
    """Return the versions of what the bot is made of."""
    return f"liqmap {__version__} · discord.py {version('discord.py')} · Python {platform.python_version()}"


def uptime_text(started: datetime) -> str:
    """Return since when the bot runs, as Discord shows it to each reader."""
    return f"since <t:{int(started.timestamp())}:R>"


def queue_text(under_way: int, most: int) -> str:
    """Return how many maps are under way, of how many there can be."""
    return f"{under_way} of {most} maps under way"


async def snapshots_text(store: Store) -> str:
    """Return how many subscriptions run, and when one was posted last."""
    count = len(await store.subscriptions.active())
    last = await store.snapshots.last_posted_at()
    when = f"the last post came <t:{int(last.timestamp())}:R>" if last else "nothing posted yet"
    return f"{count} subscriptions run; {when}"
