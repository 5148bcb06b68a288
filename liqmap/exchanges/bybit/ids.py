"""Compare the ids of Bybit's trades: trdMatchID in files, execId by REST, i in streams. Some have none."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from liqmap.exchanges.rows import NO_ID

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_LENGTH = 36  # of a UUID, which most ids are
_WORDS = _LENGTH // 4
# Any fixed odd numbers will do: they spread an id's words over 64 bits. numpy's own take 7 MiB to draw.
_WEIGHTS = np.array(
    [int.from_bytes(sha256(bytes([word])).digest()[:8]) | 1 for word in range(_WORDS)], np.uint64
)
_NIL = b"00000000-0000-0000-0000-000000000000"
_NONE_AT_ALL = frozenset({"", "null", "none", "nan", _NIL.decode()})


def is_id(text: str) -> bool:
    """Return whether a text identifies a trade, rather than only filling the place of an id."""
    return text.lower() not in _NONE_AT_ALL


def fingerprints(chunk: pa.Array) -> NDArray[np.uint64]:
    """Return 64 bits for each text: equal where two ids are, and `NO_ID` where there is none.

    They take a sixth of the memory of the texts.
    """
    # With numpy alone: pyarrow.compute takes 8 MiB, and a tenth of a second of every worker.
    _, offsets, content = chunk.buffers()
    text = np.frombuffer(content, np.uint8)
    bounds = np.frombuffer(offsets, np.int32, count=len(chunk) + 1, offset=4 * chunk.offset)
    uuids = np.diff(bounds) == _LENGTH
    if uuids.all():
        found = _of_uuids(text[bounds[0] : bounds[-1]])
    else:
        found = np.array([_of_text(each) for each in chunk.to_pylist()], np.uint64)
        found[uuids] = _of_uuids(text[bounds[:-1][uuids, np.newaxis] + np.arange(_LENGTH)].ravel())
    found[found == _spread(np.frombuffer(_NIL, np.uint32))] = NO_ID
    return found


def all_differ(ids: NDArray[np.uint64]) -> bool:
    """Return whether no id repeats another, at the price of one sorted copy."""
    ordered = np.sort(ids)
    return not ((ordered[1:] == ordered[:-1]) & (ordered[1:] != NO_ID)).any()


def _of_text(text: str) -> int:
    return hash(text) & 0xFFFF_FFFF_FFFF_FFFF if is_id(text) else NO_ID


def _of_uuids(text: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the fingerprints of ids that are all UUIDs, from their text without anything in between."""
    return _spread(np.frombuffer(text, np.uint32))


def _spread(words: NDArray[np.uint32]) -> NDArray[np.uint64]:
    spread: NDArray[np.uint64] = words.reshape(-1, _WORDS).astype(np.uint64) @ _WEIGHTS
    return spread
