"""The errors that this package raises on purpose; the text of each is fit to be shown to a user.

::

    LiqmapError
    ├── RequestError      what was asked for cannot be drawn: symbol, window, mode, value, no trades
    ├── DataError         the trades could not be had: corrupt, unreachable, refused
    │   ├── NotPublished  the exchange has no such file (yet)
    │   │   └── NotCovered    nothing of the window is there, but an earlier one of its length is whole
    │   ├── DamagedSegment    a stored segment is not as it was written
    │   └── StoreError    the store cannot be written
    │       └── UnreadableStore   or not be read, for a reason that may pass
    ├── EngineBusy        too many maps are waiting already
    ├── JobFailed         drawing itself failed: out of time, or a worker died twice
    ├── NoMainGuard       the script that draws would be run again by each worker
    └── SettingsError     a settings file, key or value is wrong
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path


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


class DamagedSegment(DataError):
    """The segment in the folder `path` is not as it was written; `damage` says what is wrong with it."""

    def __init__(self, path: Path, damage: str) -> None:
        super().__init__(path, damage)  # which is what crosses from one process to another
        self.path = path
        self.damage = damage

    def __str__(self) -> str:
        return "Some stored trades are damaged; please ask again."


class StoreError(DataError):
    """The store's disk or its permissions keep something from being stored; nothing was changed."""


class UnreadableStore(StoreError):
    """What is stored cannot be read, for a reason that may pass; nothing was changed."""


class EngineBusy(LiqmapError):
    """The queue of maps is full; asking again a little later helps."""


class JobFailed(LiqmapError):
    """A map was accepted but could not be drawn."""


class NoMainGuard(LiqmapError):
    """A script draws as soon as it is imported, which is what worker processes do with it."""

    def __init__(self) -> None:
        super().__init__(
            "Drawing starts processes that import your script, so the script needs a main guard: put what it"
            ' runs under `if __name__ == "__main__":`.'
        )


class SettingsError(LiqmapError):
    """A setting is unknown, of the wrong type or out of range."""


_MADE_BY_BYTES = (ArithmeticError, AttributeError, EOFError, LookupError, RuntimeError, TypeError, ValueError)


@contextmanager
def parser_door(sentence: str) -> Iterator[None]:
    """Turn whatever bytes from outside make a parser raise into a DataError that says `sentence`.

    The errors of this package pass, and so do those of the machine: OSError and MemoryError say nothing
    about the bytes.
    """
    try:
        yield
    except _MADE_BY_BYTES as error:
        raise DataError(sentence) from error
