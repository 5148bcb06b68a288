from __future__ import annotations

import pickle
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from liqmap import errors
from liqmap.errors import LiqmapError, NotCovered, SharedStoreAway
from liqmap.exchanges.messages import PartlyUnreadable


def below(kind: type[LiqmapError]) -> Iterator[type[LiqmapError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from below(each)


def travelled(error: LiqmapError) -> LiqmapError:
    arrived: LiqmapError = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    return arrived


@pytest.mark.parametrize("kind", list(below(LiqmapError)))
def test_error_of_any_class_comes_whole_from_another_process(kind: type[LiqmapError]):
    error = kind.__new__(kind, "It failed; try again.", 7)
    vars(error)["extra"] = 3
    arrived = travelled(error)
    assert (type(arrived), arrived.args, vars(arrived)) == (kind, error.args, {"extra": 3})


@pytest.mark.parametrize(
    "error",
    [
        SharedStoreAway(),
        NotCovered("It is not there.", whole_end=datetime(2023, 8, 1, tzinfo=UTC)),
        PartlyUnreadable("One is not readable.", [], frozenset({"BTCUSDT"})),
        errors.NoMainGuard(),
    ],
)
def test_error_whose_constructor_takes_more_than_a_sentence_keeps_it(error: LiqmapError):
    arrived = travelled(error)
    assert (str(arrived), vars(arrived)) == (str(error), vars(error))
