"""Seal small files with a checksum, so that damage to them is noticed.

A sealed file begins with the checksum (xxh3, 64 bits) of all that follows::

    {"xxh3": "0123456789abcdef", "exchange": "binance", …}        JSON
    # xxh3: 0123456789abcdef                                      the first line of a text table

Other tools still read both as JSON and text. Files without a seal are from earlier versions and are read too.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import xxhash

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_DIGITS: Final = 16  # hexadecimal, of 64 bits


class _Form(NamedTuple):
    """What stands before the checksum and after it."""

    before: bytes
    after: bytes


_JSON: Final = _Form(b'{"xxh3": "', b'", ')
_TABLE: Final = _Form(b"# xxh3: ", b"\n")


class BrokenSeal(ValueError):
    """A file is not as it was written; its text says what is wrong."""


def sealed_json(value: Mapping[str, Any], *, default: Callable[[Any], Any] | None = None) -> bytes:
    """Return `value`, which must not be empty, as sealed JSON; `default` converts what JSON does not know."""
    # [1:] drops the opening brace, which stands before the checksum instead.
    return _sealed(_JSON, json.dumps(value, default=default).encode()[1:])


def unsealed_json(content: bytes) -> dict[str, Any]:
    """Return the value of a JSON file. Raises BrokenSeal."""
    inside = _unsealed(_JSON, content)
    try:
        value = json.loads(content if inside is None else b"{" + inside)
    except (ValueError, RecursionError) as error:
        raise BrokenSeal("not JSON") from error
    if not isinstance(value, dict):
        raise BrokenSeal("not a JSON object")
    return value


def sealed_table(text: str) -> bytes:
    """Return the text of a table, whose first line is a comment, sealed."""
    return _sealed(_TABLE, text.encode())


def unsealed_table(content: bytes) -> str:
    """Return the text of a table. Raises BrokenSeal."""
    inside = _unsealed(_TABLE, content)
    text = content if inside is None else inside
    if not text.startswith(b"# ") or b"\0" in text:
        raise BrokenSeal("not a table")
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise BrokenSeal("not text") from error


def _sealed(form: _Form, inside: bytes) -> bytes:
    rest = form.after + inside
    return form.before + _checksum(rest) + rest


def _unsealed(form: _Form, content: bytes) -> bytes | None:
    """Return the sealed content, None if the file has no seal. Raises BrokenSeal.

    The checksum itself is looked for at its place, besides what surrounds it: if only the surroundings are
    damaged, a sealed file must not pass for one that never had a seal.
    """
    start, end = len(form.before), len(form.before) + _DIGITS
    before, rest = content[:start], content[end:]
    if content[start:end] == _checksum(rest):
        return rest[len(form.after) :]
    # A byte that is gone or added has moved it.
    moved = re.search(rb"[0-9a-f]{%d}%b" % (_DIGITS, re.escape(form.after)), content[: 4 * end])
    if form.before.startswith(before) or rest.startswith(form.after) or moved:
        raise BrokenSeal("wrong checksum")
    return None


def _checksum(content: bytes) -> bytes:
    return xxhash.xxh3_64_hexdigest(content).encode()
