from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqmap.files.seals import BrokenSeal, sealed_json, sealed_table, unsealed_json, unsealed_table
from tests.liqmap.damages import KINDS, damaged

VALUES = st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=8), min_size=1, max_size=4)
TABLE = "# Bybit's risk limits, fetched on 2026-10-01\nBTCUSDT 2000000,0.005,100\n"


@st.composite
def damages(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Return what happens to a file: a byte flipped, cut short, a stretch gone, zeroed or foreign."""
    where, mask = draw(st.floats(0, 1, exclude_max=True)), draw(st.integers(1, 255))
    kind = draw(st.sampled_from(KINDS))
    length = draw(st.integers(1, 4) | st.integers(1, 4096))
    noise = draw(st.binary(min_size=1, max_size=64))

    def damage(content: bytes) -> bytes:
        return damaged(content, kind, int(where * len(content)), mask=mask, length=length, noise=noise)

    return damage


@given(VALUES)
def test_sealed_json_is_read_back_and_is_plain_json(value: dict[str, object]):
    content = sealed_json(value)
    assert unsealed_json(content) == value
    plain = json.loads(content)
    assert len(plain["xxh3"]) == 16 or "xxh3" in value


def test_sealed_table_is_read_back_and_its_seal_is_a_comment():
    content = sealed_table(TABLE)
    assert unsealed_table(content) == TABLE
    assert content.decode().splitlines()[0].startswith("# xxh3: ")


def test_files_without_a_seal_are_read_as_they_are():
    assert unsealed_json(b'{"symbol": "BTCUSDT"}') == {"symbol": "BTCUSDT"}
    assert unsealed_table(TABLE.encode()) == TABLE


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_content_that_is_not_a_json_object_has_a_broken_seal(content: bytes):
    with pytest.raises(BrokenSeal):
        unsealed_json(content)


@pytest.mark.parametrize("content", [b"", b"BTCUSDT 1,0.1,5\n", b"# \xff\n"])
def test_content_that_is_not_a_table_has_a_broken_seal(content: bytes):
    with pytest.raises(BrokenSeal):
        unsealed_table(content)


@given(VALUES, damages())
def test_damaged_json_never_gives_another_value(value: dict[str, object], damage: Callable[[bytes], bytes]):
    try:
        found = unsealed_json(damage(sealed_json(value)))
    except BrokenSeal:
        return
    assert found == value


@given(damages())
def test_damaged_table_never_gives_another_text(damage: Callable[[bytes], bytes]):
    try:
        found = unsealed_table(damage(sealed_table(TABLE)))
    except BrokenSeal:
        return
    assert found == TABLE
