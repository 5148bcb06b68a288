"""The errors that this package raises on purpose; the text of each is fit to be shown to a user.

::

    LiqmapError
    ├── RequestError      the request cannot be drawn: symbol, window, mode, value, no trades
    ├── DataError         the trades are not available: corrupt, unreachable, refused
    │   ├── NotPublished  the exchange has no such file (yet)
    │   │   └── NotCovered    nothing of the window is available, but an earlier one of its length is complete
    │   ├── EmptyDay      its file holds no trades
    │   ├── DamagedSegment    a stored segment is not as it was written
    │   └── StoreError    the store cannot be written
    │       ├── UnreadableStore   the store cannot be read, for a reason that may pass
    │       └── SharedStoreAway   the store that machines share does not answer
    ├── EngineBusy        too many maps are waiting
    ├── JobFailed         drawing failed: it took too long, or a worker died twice
    │   └── ClusterAway   the cluster that draws cannot be used for now
    ├── NoMainGuard       each worker would run the script that draws again
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

    def __reduce__(self) -> tuple[object, ...]:
        # A worker process sends an error whole, whatever its constructor takes.
        return _again, (type(self), self.args, vars(self))

    @property
    def problem(self) -> str:
        """What is wrong, without what to do, as a clause to put into another sentence."""
        clause = str(self).partition(";")[0].rstrip(".")
        # Most sentences begin with the name of a host or an exchange, which keeps its capital.
        return clause[:1].lower() + clause[1:] if clause.startswith(("The ", "A ")) else clause


class RequestError(LiqmapError):
    """Something in the request cannot be drawn; asking differently helps."""


class DataError(LiqmapError):
    """The trades of the window are not available from the exchange or the store."""


class NotPublished(DataError):
    """The exchange answered that it has no such file: a day not yet published, or an unknown symbol."""


class NotCovered(NotPublished):
    """Nothing of the window is available; the newest complete one of its length ends at `whole_end` (UTC)."""

    def __init__(self, sentence: str, *, whole_end: datetime) -> None:
        super().__init__(sentence)
        self.whole_end = whole_end


class EmptyDay(DataError):
    """A day's file holds no trades: either nobody traded, or the exchange published it without them."""


class DamagedSegment(DataError):
    """The segment in the folder `path` is not as it was written; `damage` says what is wrong with it."""

    def __init__(self, path: Path, damage: str) -> None:
        super().__init__(path, damage)
        self.path = path
        self.damage = damage

    def __str__(self) -> str:
        return "Some stored trades are damaged; please ask again."


class StoreError(DataError):
    """The store's disk or permissions prevent storing something; nothing was changed."""


class UnreadableStore(StoreError):
    """The store cannot be read, for a reason that may pass; nothing was changed."""


class SharedStoreAway(StoreError):
    """The store that machines share does not answer."""

    def __init__(self) -> None:
        super().__init__("The shared store does not answer; try again in a few minutes.")


class EngineBusy(LiqmapError):
    """The queue of maps is full; a request a little later may succeed."""


class JobFailed(LiqmapError):
    """A map was accepted but could not be drawn."""


class ClusterAway(JobFailed):
    """The cluster that draws, or the store that its workers read, cannot be used for now."""


class NoMainGuard(LiqmapError):
    """A script draws as soon as it is imported, and worker processes import it."""

    def __init__(self) -> None:
        super().__init__(
            "Drawing starts processes that import your script, so the script needs a main guard: put what it"
            ' runs under `if __name__ == "__main__":`.'
        )


class SettingsError(LiqmapError):
    """A setting is unknown, of the wrong type or out of range."""


def _again(kind: type[LiqmapError], arguments: tuple[object, ...], attributes: dict[str, object]) -> object:
    """Return an error that has crossed from another process."""
    # Not by its constructor, which may take something else than `args`.
    error = kind.__new__(kind, *arguments)
    vars(error).update(attributes)
    return error


# What code raises that meets bytes which nobody expected; RecursionError is a RuntimeError.
_MADE_BY_BYTES = (ArithmeticError, AttributeError, EOFError, LookupError, RuntimeError, TypeError, ValueError)


@contextmanager
def parser_door(sentence: str) -> Iterator[None]:
    """Turn any error that a parser raises for bytes from outside into a DataError with `sentence`.

    The errors of this package pass unchanged. So do OSError and MemoryError, which are about the machine
    and not about the bytes.
    """
    try:
        yield
    except _MADE_BY_BYTES as error:
        raise DataError(sentence) from error
