"""The ledger's file: lines of JSON, each chained to the one before by SHA-256, that are only ever appended.

A line names the hash of the line before, and ends with the hash of its own text up to there::

    {"kind":"seal",…,"previous":"9f86d0…","sha256":"60303a…"}

A person who has noted the last hash can tell later whether any line before it was changed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from filelock import FileLock, Timeout

from liqmap.errors import RequestError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

FIRST: Final = "0" * 64
"""What the first line names as the hash of the line before."""

_PATIENCE = 10.0  # seconds; a line is written in a few milliseconds
# The end of a line has a fixed form, so the hash covers bytes and not what a JSON parser makes of them.
_BEFORE_HASH, _AFTER_HASH = b',"sha256":"', b'"}'
_TAIL = len(_BEFORE_HASH) + len(FIRST) + len(_AFTER_HASH)

Line = dict[str, Any]


class BrokenLedger(RequestError):
    """A line, counted from 1, is not as it was written."""

    def __init__(self, path: Path, number: int, problem: str) -> None:
        super().__init__(f"Line {number} of {path.name} {problem}; what follows it cannot be trusted.")
        self.number = number


class Content(NamedTuple):
    """What a ledger holds: its lines, its last hash, and the part of a line that a killed writer left."""

    lines: list[Line]
    last_hash: str
    fragment: bytes

    @property
    def size(self) -> int:
        """Number of lines."""
        return len(self.lines)


def read_ledger(path: Path) -> Content:
    """Read and verify the ledger in `path`; no lines if there is no file.

    Raises BrokenLedger naming the first line that is not as it was written, StoreError for the disk.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Content([], FIRST, b"")
    except OSError as error:
        raise StoreError(f"The ledger {path.name} cannot be read ({error.strerror}).") from error
    # A line is complete once its line break is there; what follows the last one was cut off.
    *whole, fragment = content.split(b"\n")
    lines, previous = [], FIRST
    for number, text in enumerate(whole, 1):
        try:
            line, digest = _opened(text)
        except ValueError:
            raise BrokenLedger(path, number, "is not as it was written") from None
        if line.get("previous") != previous:
            raise BrokenLedger(path, number, "does not follow the line before it")
        lines.append(line)
        previous = digest
    return Content(lines, previous, fragment)


def verify_ledger(path: Path) -> Content:
    """Read the ledger in `path` strictly: a line that is cut off is refused too. Raises as `read_ledger`."""
    if not path.exists():
        raise RequestError(f"There is no ledger {path}; seal a map first, or name its file with --file.")
    content = read_ledger(path)
    if content.fragment:
        number = content.size + 1
        raise BrokenLedger(
            path, number, "was cut off while it was written (the next seal says so and goes on)"
        )
    return content


class Writer:
    """Appends lines to a ledger that is locked; made by `writing`."""

    def __init__(self, path: Path, content: Content) -> None:
        self._path = path
        self.lines = content.lines
        self.last_hash = content.last_hash

    def append(self, body: Mapping[str, Any]) -> Line:
        """Append a line and return it. Raises StoreError if it cannot be stored, with the file unchanged."""
        text = _text({**body, "previous": self.last_hash})
        digest = hashlib.sha256(text).hexdigest()
        sealed = text + _BEFORE_HASH + digest.encode() + _AFTER_HASH + b"\n"
        try:
            _append(self._path, sealed)
        except OSError as error:
            raise StoreError(f"The ledger {self._path.name} cannot be written ({error.strerror}).") from error
        line, self.last_hash = _opened(sealed[:-1])
        self.lines.append(line)
        return line


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """Lock the ledger in `path`, made if need be, to append to it.

    A line that a killed writer has left half-written is removed, and a line of kind `repair` says so.
    Raises BrokenLedger, StoreError, or RequestError while another process writes.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FileLock(path.with_name(f"{path.name}.lock"), timeout=_PATIENCE)
        lock.acquire()
    except Timeout:
        raise RequestError("Another process is writing this ledger; try again in a minute.") from None
    except OSError as error:
        raise StoreError(f"The ledger {path.name} cannot be written ({error.strerror}).") from error
    try:
        content = read_ledger(path)
        writer = Writer(path, content)
        if content.fragment:
            # A removal without a trace would look like a ledger that somebody has changed.
            _take_off(path, content.fragment)
            writer.append(
                {
                    "kind": "repair",
                    "removed_bytes": len(content.fragment),
                    "removed_sha256": hashlib.sha256(content.fragment).hexdigest(),
                }
            )
        yield writer
    finally:
        lock.release()


def digest_of(value: Mapping[str, Any]) -> str:
    """Return the first eight hexadecimal digits of the hash of `value`."""
    return hashlib.sha256(_text(value)).hexdigest()[:8]


def _text(value: Mapping[str, Any]) -> bytes:
    """Return an object without its last brace, where the hash goes."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()[:-1]


def _opened(text: bytes) -> tuple[Line, str]:
    """Return a line and its hash. Raises ValueError for one that is not as it was written."""
    inside, tail = text[:-_TAIL], text[-_TAIL:]
    digest = hashlib.sha256(inside).hexdigest()
    if tail != _BEFORE_HASH + digest.encode() + _AFTER_HASH:
        raise ValueError("another hash")
    line: Line = json.loads(text)
    if not isinstance(line.get("kind"), str):
        raise ValueError("no kind")  # noqa: TRY004 - the file is wrong, not an argument's type
    return line, digest


def _append(path: Path, text: bytes) -> None:
    # Unbuffered, because a buffer would report a full disk only later, when the line seems to be written.
    with open(path, "ab", buffering=0, opener=_private) as file:
        before = file.seek(0, os.SEEK_END)
        try:
            if file.write(text) != len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301 - undone below
            # A seal must be on disk before its outcome is known, even if the machine loses power.
            os.fsync(file.fileno())
        except OSError:
            # Half a line would break the chain for everybody who reads the ledger.
            file.truncate(before)
            raise


def _take_off(path: Path, fragment: bytes) -> None:
    try:
        with path.open("r+b") as file:
            file.truncate(file.seek(0, os.SEEK_END) - len(fragment))
    except OSError as error:
        raise StoreError(f"The ledger {path.name} cannot be written ({error.strerror}).") from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
