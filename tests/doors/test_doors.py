"""Every parser gets nearly right bytes: it reads them, or says why not in one sentence. Nothing else happens.

20,000 mutated inputs in all, the same ones every time; the totals are printed. No public function
of an exchange that could be a parser is missing among them.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType

import pytest

from liqmap import exchanges
from liqmap.errors import LiqmapError
from liqmap.net.attempts import TransientError
from tests.doors.doors import doors

TOTAL = 20_000
NAMES = tuple(doors(Path()))
NOT_OF_BYTES = frozenset(
    {
        *("day_file", "first_urls", "newest_url", "page_url", "stream_url", "symbol_url", "url"),  # addresses
        *("subscribe", "weight"),  # what is sent, and what it costs
        *("contract", "family_of", "is_linear", "records", "spellings"),  # of a checked symbol
    }
)


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


def test_every_parser_of_an_exchange_is_among_the_doors(tmp_path: Path):
    entered = set[CodeType]()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            entered.add(frame.f_code)

    sys.setprofile(note)
    try:
        for door in doors(tmp_path).values():
            for data in door.inputs:
                door.parse(data)
    finally:
        sys.setprofile(None)
    found = list(public_functions())
    assert len(found) > 80
    missing = [f"{each.__module__}.{each.__qualname__}" for each in found if each.__code__ not in entered]
    assert [name for name in missing if name.rpartition(".")[2] not in NOT_OF_BYTES] == []


def public_functions() -> Iterator[Callable[..., object]]:
    """Yield the public functions and methods that are written in the folders of the exchanges."""
    for package in filter(lambda each: each.ispkg, pkgutil.iter_modules(exchanges.__path__)):
        folder = importlib.import_module(f"{exchanges.__name__}.{package.name}")
        for each in pkgutil.iter_modules(folder.__path__):
            module = importlib.import_module(f"{folder.__name__}.{each.name}")
            places = [module, *(value for value in vars(module).values() if inspect.isclass(value))]
            for place in places:
                for name, value in vars(place).items():
                    own = inspect.isfunction(value) and value.__module__ == module.__name__
                    if own and not name.startswith("_"):
                        yield value
