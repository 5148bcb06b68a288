"""Bounded calls: requests to a store that may never answer, in threads of their own and within a time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, wait
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from liqmap.errors import SharedStoreAway

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Result = TypeVar("Result")

AT_ONCE: Final = 32
"""Requests that one process has under way at a shared store."""

AWAY_FOR: Final = 30.0
"""Seconds for which a store that did not answer is not asked again."""

_TOTAL: Final = 6
"""How many times the longest silence an operation may last in all."""

_LOOK_SECONDS = 0.1


def in_thread(call: Callable[[], Result]) -> Future[Result]:
    """Run `call` in a thread of its own, which a process that ends does not wait for."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - whoever waits for the future receives it
            future.set_exception(error)

    threading.Thread(target=run, daemon=True, name="shared store").start()
    return future


class Operation:
    """Requests that belong together. `last_progress` is when the store last answered one of them."""

    def __init__(self, slots: threading.Semaphore, steady: Callable[[], float]) -> None:
        self._slots = slots
        self._steady = steady
        self.last_progress = steady()

    def progress(self) -> None:
        """Note that the store has answered, or taken some bytes."""
        self.last_progress = self._steady()

    def together(self, calls: Sequence[Callable[[], Result]]) -> list[Result]:
        """Make requests side by side; return their results in order. Raises what they raise."""
        return self._side_by_side(calls, self._slots)

    def sequences(self, calls: Sequence[Callable[[], Result]]) -> list[Result]:
        """Run calls side by side that make several requests each. Return and raise as `together`."""
        # With slots of their own: if they held those of the requests, none would be left for these.
        return self._side_by_side(calls, threading.Semaphore(AT_ONCE))

    def _side_by_side(
        self, calls: Sequence[Callable[[], Result]], slots: threading.Semaphore
    ) -> list[Result]:
        def one(call: Callable[[], Result]) -> Result:
            with slots:
                result = call()
            self.progress()
            return result

        futures = [in_thread(partial(one, call)) for call in calls]
        wait(futures)
        return [future.result() for future in futures]


class BoundedCalls:
    """Runs operations, which are given up after `silence` seconds without progress.

    For `AWAY_FOR` seconds after that, every operation fails at once, so that nobody waits again for a store
    that does not answer. `observe` is called with the seconds of each operation and whether it succeeded.
    """

    def __init__(
        self,
        *,
        silence: float,
        observe: Callable[[float, bool], None] = lambda _seconds, _succeeded: None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._silence = silence
        self._observe = observe
        self._steady = steady
        self._slots = threading.Semaphore(AT_ONCE)
        self._away_until: float | None = None

    @property
    def is_away(self) -> bool:
        """Whether the store lately gave no answer, so that it is not asked now."""
        # Only for a while: if nothing is asked of a store, nobody finds out that it is back.
        return self._away_until is not None and self._steady() < self._away_until

    def run(self, operate: Callable[[Operation], Result]) -> Result:
        """Return what `operate` returns. Raises what it raises, and SharedStoreAway."""
        began = self._begin()
        operation = Operation(self._slots, self._steady)
        error: BaseException | None = None
        try:
            return self._awaited(in_thread(lambda: operate(operation)), operation)
        except OSError as failure:
            error = failure
            if _is_of_the_network(failure):
                error = SharedStoreAway()
                raise error from failure
            raise
        except SharedStoreAway as failure:
            error = failure
            raise
        finally:
            now = self._steady()
            self._away_until = now + AWAY_FOR if isinstance(error, SharedStoreAway) else None
            self._observe(now - began, error is None or isinstance(error, FileNotFoundError))

    def _begin(self) -> float:
        now = self._steady()
        if self._away_until is not None:
            if now < self._away_until:
                raise SharedStoreAway
            # This operation finds out whether the store is back; the others do not wait for it.
            self._away_until = now + AWAY_FOR
        return now

    def _awaited(self, future: Future[Result], operation: Operation) -> Result:
        began = operation.last_progress
        while not wait([future], timeout=min(_LOOK_SECONDS, self._silence)).done:
            now = self._steady()
            if now - operation.last_progress > self._silence or now - began > _TOTAL * self._silence:
                raise SharedStoreAway
        return future.result()


def _is_of_the_network(error: OSError) -> bool:
    # What the S3 client raises has no class of its own, only this mark in its text.
    return isinstance(error, (ConnectionError, TimeoutError)) or "NETWORK_CONNECTION" in str(error)
