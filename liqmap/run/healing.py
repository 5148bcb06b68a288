"""Try again where a segment turns out to be damaged, or has been replaced while it was read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from liqmap.errors import DamagedSegment

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

Result = TypeVar("Result")


async def healed(heal: Callable[[Path], None], attempt: Callable[[], Awaitable[Result]]) -> Result:
    """Return what `attempt` returns, which looks its segments up itself.

    One that it finds damaged is set aside by `heal` if it is, and then it is tried again. Raises what
    `attempt` raises, and DamagedSegment for one that is damaged again.
    """
    looked_at: set[Path] = set()
    while True:
        try:
            return await attempt()
        except DamagedSegment as error:
            # Damaged again after it was fetched: the disk is at fault, and another try would not help.
            if error.path in looked_at:
                raise
            looked_at.add(error.path)
            await asyncio.to_thread(heal, error.path)
