"""Seals: small files that say whether they are as they were written.

A sealed file begins with the checksum (xxh3, 64 bits) of all that follows::

    {"xxh3": "0123456789abcdef", "exchange": "binance", …}        JSON
    # xxh3: 0123456789abcdef                                      the first line of a text table

Both stay what they are for other tools. Files of before there were seals are read as they are.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import xxhash

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_DIGITS: Final = 16


class _Form(NamedTuple):
    """What stands before the checksum and after it."""

    before: bytes
    after: bytes


_JSON: Final = _Form(b'{"xxh3": "', b'", ')
_TABLE: Final = _Form(b"# xxh3: ", b"\n")


class BrokenSeal(ValueError):
    """A file is not as it was written."""


def sealed_json(value: Mapping[str, Any], *, default: Callable[[Any], Any] | None = None) -> bytes:
    """Return `value`, which is not empty, as sealed JSON; `default` makes JSON of what is none by itself."""
    return _sealed(_JSON, json.dumps(value, default=default).encode()[1:])


def unsealed_json(content: bytes) -> dict[str, Any]:
    """Return the value of a JSON file. Raises BrokenSeal."""
    inside = _unsealed(_JSON, content)
    try:
        value = json.loads(content if inside is None else b"{" + inside)
    except (ValueError, RecursionError) as error:
        raise BrokenSeal("no JSON") from error
    if not isinstance(value, dict):
        raise BrokenSeal("no JSON object")
    return value


def sealed_table(text: str) -> bytes:
    """Return the text of a table, whose first line is a comment, sealed."""
    return _sealed(_TABLE, text.encode())


def unsealed_table(content: bytes) -> str:
    """Return the text of a table. Raises BrokenSeal."""
    inside = _unsealed(_TABLE, content)
    text = content if inside is None else inside
    if not text.startswith(b"# ") or b"\0" in text:
        raise BrokenSeal("no table")
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise BrokenSeal("no text") from error


def _sealed(form: _Form, inside: bytes) -> bytes:
    rest = form.after + inside
    return form.before + _checksum(rest) + rest


def _unsealed(form: _Form, content: bytes) -> bytes | None:
    """Return what is sealed, None if nothing is. Raises BrokenSeal.

    The checksum is looked for in its place: a sealed file must not pass for one that never was because
    what stands around its checksum is damaged.
    """
    start, end = len(form.before), len(form.before) + _DIGITS
    before, rest = content[:start], content[end:]
    if content[start:end] == _checksum(rest):
        return rest[len(form.after) :]
    if form.before.startswith(before) or rest.startswith(form.after):
        raise BrokenSeal("another checksum")
    return None


def _checksum(content: bytes) -> bytes:
    return xxhash.xxh3_64_hexdigest(content).encode()
