"""Another thread that does its work between two steps of this one, as far as a lock lets it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest


class Other:
    """Does its work in a thread; `begin` returns once that has ended or waits for a lock."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._seen = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._error: BaseException | None = None

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - the test receives it
            self._error = error
        self._seen.set()

    def begin(self) -> None:
        self._thread.start()
        self._seen.wait()

    def watch(self, taking: Callable[..., Any]) -> Callable[..., Any]:
        """Return what takes a lock, watched: this thread is seen when it does so."""

        def take(*arguments: Any, **options: Any) -> Any:
            if threading.current_thread() is self._thread:
                self._seen.set()
            return taking(*arguments, **options)

        return take

    def end(self) -> None:
        """Wait until the work is done. Raises what it raises."""
        self._thread.join()
        if self._error is not None:
            raise self._error


@contextmanager
def begun_at(
    monkeypatch: pytest.MonkeyPatch, where: object, name: str, work: Callable[[], object]
) -> Iterator[Other]:
    """Let another thread begin its work when a function is called the first time; wait for it at the end."""
    plain, other = getattr(where, name), Other(work)
    began: list[bool] = []

    def call(*arguments: Any, **options: Any) -> Any:
        if not began:
            began.append(True)
            other.begin()
        return plain(*arguments, **options)

    monkeypatch.setattr(where, name, call)
    yield other
    assert began
    other.end()
