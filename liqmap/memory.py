"""Tune what memory a worker process takes from the system, and when it gives it back."""

from __future__ import annotations

import ctypes
from typing import Final

import pyarrow as pa

_M_TRIM_THRESHOLD: Final = -1  # these two of glibc's malloc.h
_M_MMAP_THRESHOLD: Final = -3


def tune_memory() -> None:
    """Set the allocators of this process so that freed memory can be used again or given back."""
    # By default glibc raises this threshold itself until even a day's columns go to its heap, where they
    # leave holes. A fixed one stops that: a worker's peak after a few parsed days is a fifth lower.
    _c_library("mallopt", _M_MMAP_THRESHOLD, 8 << 20)
    # Give the end of the heap back only when there is much of it, rather than between any two arrays. A map
    # of 90 days by open interest takes 20 MB at a time, and each page that comes back costs time.
    _c_library("mallopt", _M_TRIM_THRESHOLD, 24 << 20)
    # Arrow's own allocator keeps what the parsing of a day took; glibc's gives it back on request.
    pa.set_memory_pool(pa.system_memory_pool())


def give_back_memory() -> None:
    """Return free memory to the system, holes included, before other work needs other sizes.

    Drawing, parsing and sorting leave holes into which the others' arrays do not fit. With this, the peak is
    the largest of their needs instead of the sum.
    """
    _c_library("malloc_trim", 0)


def _c_library(function: str, *arguments: int) -> None:
    """Call a function of glibc; do nothing where there is no glibc."""
    try:
        library = ctypes.CDLL(None)
    except (OSError, TypeError):  # Windows has no library that is the program itself
        return
    found = getattr(library, function, None)
    if found is not None:
        found(*arguments)
