"""The errors that this package raises on purpose; the text of each is fit to be shown to a user.

::

    LiqmapError
    ├── RequestError      what was asked for cannot be drawn: symbol, window, mode, value, no trades
    ├── DataError         the trades could not be had: corrupt, unreachable, refused
    │   └── NotPublished  the exchange has no such file (yet)
    │       └── NotCovered    nothing of the window is there, but an earlier one of its length is whole
    ├── EngineBusy        too many maps are waiting already
    ├── JobFailed         drawing itself failed: out of time, or a worker died twice
    └── SettingsError     a settings file, key or value is wrong
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class LiqmapError(Exception):
    """Root of the tree; `str(error)` is one plain sentence: what is wrong; what to do."""

    @property
    def problem(self) -> str:
        """What is wrong, without what to do, as a clause that stands inside another sentence."""
        clause = str(self).partition(";")[0].rstrip(".")
        # Most sentences begin with the name of a host or an exchange, which keeps its capital.
        return clause[:1].lower() + clause[1:] if clause.startswith(("The ", "A ")) else clause


class RequestError(LiqmapError):
    """Something in the request cannot be drawn; asking differently helps."""


class DataError(LiqmapError):
    """The trades of the window could not be had from the exchange or the store."""


class NotPublished(DataError):
    """The exchange answered that it has no such file: a day not yet published, or an unknown symbol."""


class NotCovered(NotPublished):
    """Nothing of the window can be had; the newest whole one of its length ends at `whole_end` (UTC)."""

    def __init__(self, sentence: str, *, whole_end: datetime) -> None:
        super().__init__(sentence)
        self.whole_end = whole_end


class EngineBusy(LiqmapError):
    """The queue of maps is full; asking again a little later helps."""


class JobFailed(LiqmapError):
    """A map was accepted but could not be drawn."""


class SettingsError(LiqmapError):
    """A setting is unknown, of the wrong type or out of range."""
