"""Word what /status says: versions, uptime, queue, recordings and the last post."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

from liqmap import EXCHANGES, __version__
from liqmap.text import counted, duration_text, series_text, share_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from bot.store import Store
    from liqmap import SymbolStatus


_AS_GOOD_AS_WHOLE = 0.995  # it never reaches 1, because the newest minute is still open


def versions_text() -> str:
    """Return the versions of the bot, its library and Python."""
    return f"liqmap {__version__} · discord.py {version('discord.py')} · Python {platform.python_version()}"


def uptime_text(started: datetime) -> str:
    """Return when the bot was started, as a timestamp that Discord shows in each reader's time zone."""
    return f"since <t:{int(started.timestamp())}:R>"


def queue_text(under_way: int, most: int) -> str:
    """Return how many maps are under way, and how many can be at once."""
    return f"{under_way} of {most} maps under way"


def recorded_lines(found: Sequence[SymbolStatus]) -> list[str]:
    """Return a line for each symbol that is or was recorded: since when, how fresh, and what is missing."""
    return [_recorded_line(each) for each in found]


def _recorded_line(each: SymbolStatus) -> str:
    recording = each.recording
    facts = ["🟢 live" if each.is_alive else "⚪ stopped"]
    if recording.last_trade:
        facts.append(f"last trade <t:{int(recording.last_trade.timestamp())}:R>")
    if recording.lag is not None:
        facts.append(f"{recording.lag:.1f} s behind")
    since = f"since <t:{int(each.first.timestamp())}:f>" if each.first else ""
    if each.gaps:
        facts.append(since)
    facts += _extent(each)
    if each.gaps:
        facts.append(f"{counted(len(each.gaps), 'gap')}, {duration_text(each.missing)}")
    elif since:
        # Never alone: before the recording began there may be nothing at all.
        facts.append(f"no gaps {since}")
    return (
        f"**{recording.symbol}** on {EXCHANGES[recording.exchange].label}: {', '.join(filter(None, facts))}"
    )


def _extent(each: SymbolStatus) -> Iterator[str]:
    """Yield what the store has of a symbol: how much of the last day, from where, and which series."""
    if each.is_alive and each.filled < _AS_GOOD_AS_WHOLE:
        yield f"{share_text(each.filled)} of the last 24 h in the store"
    if each.sources:
        yield f"by {' and '.join(each.sources)}"
    if each.series:
        yield series_text(each.series)


async def snapshots_text(store: Store) -> str:
    """Return how many subscriptions run, and when the last post was sent."""
    count = len(await store.subscriptions.active())
    last = await store.snapshots.last_posted_at()
    when = f"the last post came <t:{int(last.timestamp())}:R>" if last else "nothing posted yet"
    return f"{counted(count, 'subscription')} {'runs' if count == 1 else 'run'}; {when}"
