"""Check a whole store: whether each of its files is as it was written. Nothing is changed."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from liqmap.errors import DamagedSegment, LiqmapError
from liqmap.exchanges import EXCHANGES
from liqmap.files import matching, unreadable
from liqmap.files.seals import BrokenSeal, unsealed_json
from liqmap.model import Exchange
from liqmap.store.bundles import bundle_files, read_contents
from liqmap.store.feeds import verify_feed
from liqmap.store.liquidations import verify_liquidations
from liqmap.store.reading import check_belongs, verify_segment
from liqmap.store.segments import (
    open_record,
    open_segment,
    segment_path,
    segment_paths,
    window_of,
)
from liqmap.store.series import FOLDER as SERIES
from liqmap.store.series import verify_piece
from liqmap.text import window_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from liqmap.store.bundles import Contents, Record


class Finding(NamedTuple):
    """A file or segment that was looked at, and a sentence on what is wrong with it, None if nothing is."""

    path: Path
    problem: str | None


def check_store(root: Path, *, deep: bool) -> Iterator[Finding]:
    """Yield what is found out about each segment and each other file of the store at `root`.

    Of segments, the manifest and the sizes of the tables are compared, and if `deep` all that they hold.
    Bracket tables and ledgers are not among it; `liqmap.brackets` and `liqmap.ledger` read them.
    """
    for path in sorted(segment_paths(root)):
        yield _finding(path, _segment_name(path), partial(_verify_segment, deep=deep))
    for file in bundle_files(root):
        yield from _check_bundle(root, file, deep=deep)
    kinds: dict[str, Callable[[Path], object]] = {
        "liquidations/*/*/*.csv": verify_liquidations,
        "liquidations/*/*/*.feed": verify_feed,
        f"{SERIES}/*/*/*/*.arrow": verify_piece,
        "listings/*.json": _verify_json,
        "recordings/*/*.json": _verify_json,
        "brackets/*.json": _verify_json,
        "contracts/*.json": _verify_json,
    }
    for pattern, verify in kinds.items():
        for path in matching(root, pattern):
            yield _finding(path, f"The file {path.relative_to(root)}", verify)


def _finding(path: Path, name: str, verify: Callable[[Path], object]) -> Finding:
    try:
        with _readable():
            verify(path)
    except FileNotFoundError:
        return Finding(path, None)  # removed since it was listed, as stores do
    except DamagedSegment as error:
        return Finding(path, f"{name} is damaged: {error.damage}.")
    except BrokenSeal as error:
        return Finding(path, f"{name} is damaged: {error}.")
    except ValueError:  # what its name stands for is unknown
        return Finding(path, f"{name} is none of a store; remove it.")
    except LiqmapError as error:
        return Finding(path, f"{name} could not be checked: {error}")
    return Finding(path, None)


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise unreadable(error) from error


def _check_bundle(root: Path, file: Path, *, deep: bool) -> Iterator[Finding]:
    name = f"The file {file.relative_to(root)}"

    read: list[Contents] = []

    def verify_spans(file: Path) -> None:
        read.append(read_contents(file))
        for start, end in read[0].damaged:
            raise BrokenSeal(f"bytes {start} to {end} are no segment")

    yield _finding(file, name, verify_spans)
    for contents in read:
        for symbol, each in contents.records.items():
            for window, record in each.items():
                path = segment_path(root, Exchange(file.parent.name), symbol, window)
                verify = partial(_verify_segment, deep=deep, record=record)
                yield _finding(path, _segment_name(path), verify)


def _verify_segment(path: Path, *, deep: bool, record: Record | None = None) -> None:
    try:
        _look_at_segment(path, deep=deep, record=record)
    except DamagedSegment:
        # Another process may have replaced or removed it meanwhile.
        _look_at_segment(path, deep=deep, record=record)


def _look_at_segment(path: Path, *, deep: bool, record: Record | None) -> None:
    segment = open_segment(path) if record is None else open_record(path, record)
    if segment is None:
        return
    check_belongs(segment, path)
    if deep:
        verify_segment(segment)


def _verify_json(path: Path) -> None:
    unsealed_json(path.read_bytes())


def _segment_name(path: Path) -> str:
    exchange, symbol, name = path.parts[-3:]
    label = EXCHANGES[Exchange(exchange)].label if exchange in set(Exchange) else exchange
    return f"The segment of {label} {symbol}, {window_text(window_of(name))},"
