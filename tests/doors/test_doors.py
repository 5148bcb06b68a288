"""Every parser gets nearly right bytes: it reads them, or says why not in one sentence. Nothing else happens.

20,000 mutated inputs in all, the same ones every time; the totals are printed.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from pathlib import Path

import pytest

from liqmap.errors import LiqmapError
from liqmap.net.attempts import TransientError
from tests.doors.doors import doors

TOTAL = 20_000
NAMES = tuple(doors(Path()))


@pytest.mark.parametrize("name", NAMES)
def test_parser_reads_mutated_input_or_says_why_not(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    door, rng, outcomes = doors(tmp_path)[name], random.Random(name), Counter[str]()
    for data in door.inputs:
        door.parse(data)  # as it is, it is read
    for number in range(-(-TOTAL // len(NAMES))):
        mutated = door.mutations[number % len(door.mutations)](rng.choice(door.inputs), rng)
        try:
            door.parse(mutated)
        except (LiqmapError, TransientError) as error:
            lines = str(error).split("\n")
            assert len(lines) <= door.most_lines
            for line in lines:
                assert_is_sentence(line, without=tmp_path)
            outcomes["refused"] += 1
        else:
            outcomes["read"] += 1
    with capsys.disabled():
        sys.stdout.write(
            f"\n{name}: {outcomes.total():,} mutated inputs, {outcomes['read']:,} read,"
            f" {outcomes['refused']:,} refused in a sentence "
        )


def assert_is_sentence(text: str, *, without: Path) -> None:
    assert text.isprintable(), text
    assert text.endswith((".", ":")), text
    assert len(text) < 300, text
    assert str(without) not in text, text
