"""The series store: immutable pieces of a day or less, each in a file that says whether it is whole.

A piece lies in the store as series/EXCHANGE/SYMBOL/KIND/START-END.arrow: an Arrow IPC stream of one batch
(`time` int64 [ms], then the kind's columns, float64), before which 16 hex digits are the xxh3 of all that
follows. Its metadata name what it is of. A piece vouches for all of its window: a step that has no row there
is one for which the exchange has none.
"""

from __future__ import annotations

import json
import logging
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import xxhash
from cachetools import LRUCache

from liqmap.errors import StoreError
from liqmap.files import make_synced, names_in, replace_file
from liqmap.files.seals import BrokenSeal
from liqmap.model import Exchange, Market
from liqmap.model.series import Series, SeriesKind
from liqmap.model.window import DAY, TimeWindow, merged, missing, overlaps
from liqmap.store.damaged import set_file_aside
from liqmap.store.segments import is_segment, segment_path, window_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

log = logging.getLogger(__name__)

FOLDER: Final = "series"
_SUFFIX: Final = ".arrow"
_DIGITS: Final = 16  # of a hash of 64 bits
_ORIGIN: Final = b"origin"
_KEPT_PIECES = 512  # in memory, of some 40 KiB each


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """The rows of a window of one series, as an exchange gave them; `source` says from where."""

    market: Market
    window: TimeWindow
    series: Series
    source: str
    simulated: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """What the store has of a window: its rows, and of which parts they are all that there are."""

    series: Series
    covered: tuple[TimeWindow, ...]


class SeriesStore:
    """Pieces of series below the store's `root`, which several processes may share."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._pieces: LRUCache[tuple[Market, SeriesKind, TimeWindow], Piece] = LRUCache(_KEPT_PIECES)
        self._lock = threading.Lock()  # of the pieces in memory: several threads read and write

    def read(self, market: Market, kind: SeriesKind, window: TimeWindow) -> Held:
        """Return what there is of `window`; a damaged piece is set aside. Raises UnreadableStore."""
        looked_at: set[TimeWindow] = set()
        while True:
            windows = set(self._windows(market, kind))
            held = self._held(market, kind, window, windows)
            # Another process may have joined pieces to a longer one before they were read.
            if held.covered == (window,) or windows == looked_at:
                return held
            looked_at = windows

    def _held(
        self, market: Market, kind: SeriesKind, window: TimeWindow, windows: Iterable[TimeWindow]
    ) -> Held:
        found: list[Series] = []
        lacking, covered = [window], []
        # The longest first, so that as few pieces as possible are read.
        for each in sorted(windows, key=lambda each: (-each.length, each.start)):
            wanted = overlaps(each, lacking)
            piece = self._piece(market, kind, each) if wanted else None
            if piece is not None:
                found += (piece.series.within(part) for part in wanted)
                covered += wanted
                lacking = [rest for part in lacking for rest in missing(part, [each])]
        return Held(Series.joined(kind, found), tuple(merged(covered)))

    def lacking(self, market: Market, kind: SeriesKind, window: TimeWindow) -> list[TimeWindow]:
        """Return the parts of `window` that no piece covers, oldest first. Raises UnreadableStore."""
        return missing(window, self._windows(market, kind))

    def newest(self, market: Market, kind: SeriesKind) -> TimeWindow | None:
        """Return the window of the newest piece, None if there is none. Raises UnreadableStore."""
        return max(self._windows(market, kind), key=lambda each: each.end, default=None)

    def write(self, piece: Piece) -> None:
        """Store a piece of one day, joined with those of the same day that it overlaps or touches.

        Raises StoreError.
        """
        market, kind, window = piece.market, piece.series.kind, piece.window
        near = [each for each in self._windows(market, kind) if _joins(each, window)]
        known = [found for each in near if (found := self._piece(market, kind, each)) is not None]
        whole = merged([window, *(each.window for each in known)])[0]
        joined = Piece(
            market,
            whole,
            Series.joined(kind, [piece.series, *(each.series for each in known)]),
            " + ".join(dict.fromkeys([piece.source, *(each.source for each in known)])),
            simulated=piece.simulated or any(each.simulated for each in known),
        )
        path = self._path(market, kind, whole)
        try:
            _write(path, _packed(joined))
            # Only now: a process that is killed before has the rows twice, and never not at all. Those that
            # could not be read may hold more.
            for each in known:
                if each.window != whole:
                    self._path(market, kind, each.window).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(
                f"A series could not be stored ({error.strerror or 'write error'}); check the store's disk."
            ) from error
        self._keep(joined)

    def _piece(self, market: Market, kind: SeriesKind, window: TimeWindow) -> Piece | None:
        # Kept by what it is, because a long window has hundreds of pieces, and paths are slow to make.
        with self._lock:
            known = self._pieces.get((market, kind, window))
        if known is not None:
            return known
        path = self._path(market, kind, window)
        try:
            piece = _unpacked(path.read_bytes(), market, kind, window)
        except FileNotFoundError:  # another process has just joined it to a longer one
            return None
        except OSError as error:
            log.warning("a series of %s cannot be read: %s", market.symbol, error.strerror)
            return None
        except BrokenSeal as error:
            log.warning("damaged and set aside: a series of %s, %s", market.symbol, error)
            with suppress(OSError):
                set_file_aside(self._root, path)
            return None
        self._keep(piece)
        return piece

    def _keep(self, piece: Piece) -> None:
        with self._lock:
            self._pieces[piece.market, piece.series.kind, piece.window] = piece

    def _windows(self, market: Market, kind: SeriesKind) -> list[TimeWindow]:
        names = (name.removesuffix(_SUFFIX) for name in names_in(self._folder(market, kind)))
        return [window_of(name) for name in names if is_segment(name)]

    def _folder(self, market: Market, kind: SeriesKind) -> Path:
        return self._root / FOLDER / market.exchange / market.symbol / kind

    def _path(self, market: Market, kind: SeriesKind, window: TimeWindow) -> Path:
        name = segment_path(self._root, market.exchange, market.symbol, window).name
        return self._folder(market, kind) / f"{name}{_SUFFIX}"


def verify_piece(path: Path) -> None:
    """Verify the piece in `path`. Raises BrokenSeal or OSError."""
    exchange, symbol, kind, name = path.parts[-4:]
    window = window_of(name.removesuffix(_SUFFIX))
    _unpacked(path.read_bytes(), Market(Exchange(exchange), symbol), SeriesKind(kind), window)


def _joins(each: TimeWindow, window: TimeWindow) -> bool:
    """Return whether two pieces are of one day and overlap or touch: then they become one."""
    touch = each.start <= window.end and window.start <= each.end
    return touch and each.start.date() == window.start.date() and each.length < DAY


def _packed(piece: Piece) -> bytes:
    series = piece.series
    columns = {"time": series.time, **dict(zip(series.kind.columns, series.values, strict=True))}
    origin = {
        "exchange": piece.market.exchange,
        "symbol": piece.market.symbol,
        "kind": series.kind,
        "window": [piece.window.start.isoformat(), piece.window.end.isoformat()],
        "source": piece.source,
        "simulated": piece.simulated,
    }
    fields = [pa.field(name, pa.from_numpy_dtype(values.dtype)) for name, values in columns.items()]
    arrays = [
        pa.Array.from_buffers(field.type, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])
        for field, values in zip(fields, columns.values(), strict=True)
    ]
    batch = pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields, {_ORIGIN: json.dumps(origin)}))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    content: bytes = sink.getvalue().to_pybytes()
    return xxhash.xxh3_64_hexdigest(content).encode() + content


def _unpacked(content: bytes, market: Market, kind: SeriesKind, window: TimeWindow) -> Piece:
    digest, inside = content[:_DIGITS], content[_DIGITS:]
    if xxhash.xxh3_64_hexdigest(inside).encode() != digest:
        raise BrokenSeal("another checksum")
    try:
        with pa.ipc.open_stream(pa.py_buffer(inside)) as reader:
            batch = reader.read_next_batch()
        origin = json.loads(batch.schema.metadata[_ORIGIN])
        time = np.from_dlpack(batch.column("time")).astype(np.int64, copy=False)
        values = np.stack([np.from_dlpack(batch.column(name)) for name in kind.columns])
        its = (origin["exchange"], origin["symbol"], origin["kind"])
        found = Piece(market, window, Series(kind, time, values), origin["source"], origin["simulated"])
    except (pa.ArrowException, LookupError, TypeError, ValueError) as error:
        raise BrokenSeal("no series") from error
    if its != (market.exchange, market.symbol, kind):
        raise BrokenSeal("rows of another market")
    return found


def _write(path: Path, content: bytes) -> None:
    make_synced(path.parent)
    replace_file(path, content, sync=True)
