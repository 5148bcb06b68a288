"""Bytes that are nearly right: what an exchange sends or a person imports, with something wrong in it."""

from __future__ import annotations

import gzip
import io
import json
import random
import zipfile
from collections.abc import Callable
from copy import deepcopy
from typing import Any

Mutation = Callable[[bytes, random.Random], bytes]

_WORDS = (
    *(b"", b"0", b"-1", b"-0.0", b"1e300", b"1e-17", b"3e-9", b"1e999", b"nan", b"NaN", b"inf", b"-Infinity"),
    *(b"9" * 400, b"9" * 5000, b"18446744073709551616", b"9223372036854775807", b"0x10", b"1_000", b"1,5"),
    *(b"null", b"true", b"[]", b"{}", b'"', b"'", b",", b"\n", b"\r\n", b"\0", b"\xff\xfe", b"\xef\xbb\xbf"),
    *("٣".encode(), "币安".encode(), b"\xed\xa0\x80", b"\\ud800", b"../../x", b"[" * 3000, b'{"a":' * 3000),
)
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 1 << 70, 10**400, 1e300, 1e-300, float("nan"), float("inf")),
    *("", "0", "-1", "nan", "1e999", "1e300", "3e-9", "9" * 400, "9" * 5000, "\ud800", "\0", "x" * 3000),
    *([], {}, [[]], [None], {"": None}, "BTCUSDT", "Buy", 1791102056684, "1791102056684"),
)


def bytewise(data: bytes, rng: random.Random) -> bytes:
    """Return `data` with up to four places flipped, cut, doubled, moved, or overwritten by a hostile word."""
    body = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at, length = rng.randrange(len(body) + 1), rng.choice((1, 1, 2, 8, 64))
        match rng.randrange(6):
            case 0 if at < len(body):
                body[at] ^= 1 << rng.randrange(8)
            case 1:
                del body[at : at + length]
            case 2:
                body[at:at] = body[at : at + length]
            case 3:
                body[at : at + rng.choice((0, 1, 8))] = rng.choice(_WORDS)
            case 4:
                body[at:] = b""
            case _:
                body[at : at + length] = rng.randbytes(length)
    return bytes(body)


def fieldwise(data: bytes, rng: random.Random) -> bytes:
    """Return a table of text with fields or lines replaced, doubled, moved or dropped."""
    lines = [line.split(b",") for line in data.split(b"\n")]
    for _ in range(rng.randint(1, 3)):
        line = rng.choice(lines)
        at = rng.randrange(len(line)) if line else 0
        match rng.randrange(5):
            case 0 | 1:
                line[at : at + 1] = [rng.choice(_WORDS)]
            case 2:
                del line[at : at + 1]
            case 3:
                rng.shuffle(line)
            case _:
                lines.insert(rng.randrange(len(lines) + 1), list(rng.choice(lines)))
    return b"\n".join(b",".join(line) for line in lines)


def valuewise(data: bytes, rng: random.Random) -> bytes:
    """Return a JSON text with values replaced, doubled or dropped, wherever they are."""
    root = {"": json.loads(data)}
    for _ in range(rng.randint(1, 3)):
        at, key = rng.choice(list(_places(root)))
        match rng.randrange(5):
            case 0 if at is not root:
                del at[key]
            case 1 if isinstance(at, list):
                at.insert(key, deepcopy(at[key]))
            case _:
                at[key] = deepcopy(rng.choice(_VALUES))
    return json.dumps(root[""]).encode("utf-8", "surrogatepass")


def _places(at: Any) -> Any:
    for key in list(at) if isinstance(at, dict) else range(len(at)):
        yield at, key
        if isinstance(at[key], dict | list):
            yield from _places(at[key])


def in_gzip(inner: Mutation) -> Mutation:
    """Return a mutation of what a gzip file holds, so that its checksum is right all the same."""
    return lambda data, rng: gzip.compress(inner(gzip.decompress(data), rng), 1, mtime=0)


def in_zip(inner: Mutation) -> Mutation:
    """Return a mutation of what the only member of a zip file holds, so that its checksum is right."""

    def mutated(data: bytes, rng: random.Random) -> bytes:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            (name,) = archive.namelist()
            text = inner(archive.read(name), rng)
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
        return file.getvalue()

    return mutated
