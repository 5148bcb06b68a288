"""Memory: what a worker process takes from the system, and when it gives it back."""

from __future__ import annotations

import ctypes
from typing import Final

import pyarrow as pa

_M_TRIM_THRESHOLD: Final = -1  # these two of glibc's malloc.h
_M_MMAP_THRESHOLD: Final = -3


def tune_memory() -> None:
    """Set the allocators of this process so that what is freed can be used, or given back."""
    # glibc learns to keep even a day's columns on its heap, where they leave holes: told a limit, it does
    # not, and a worker's peak after a few days parsed is a fifth lower.
    _c_library("mallopt", _M_MMAP_THRESHOLD, 8 << 20)
    # And to give the end of its heap back only when there is much of it, not between any two arrays.
    _c_library("mallopt", _M_TRIM_THRESHOLD, 16 << 20)
    # Arrow's own allocator keeps what a day's parsing took; glibc's gives it back when asked to.
    pa.set_memory_pool(pa.system_memory_pool())


def give_back_memory() -> None:
    """Return to the system what is free, holes included, before something needs memory of another shape.

    Drawing, parsing and sorting each leave holes that the others do not fit into; so the peak is the
    largest of them instead of their sum.
    """
    _c_library("malloc_trim", 0)


def _c_library(function: str, *arguments: int) -> None:
    """Call a function of glibc; elsewhere, where memory is managed otherwise, do nothing."""
    try:
        library = ctypes.CDLL(None)
    except (OSError, TypeError):  # Windows has no library that is the program itself
        return
    found = getattr(library, function, None)
    if found is not None:
        found(*arguments)
