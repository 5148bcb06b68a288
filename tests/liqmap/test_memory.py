from __future__ import annotations

import ctypes

import pytest

from liqmap.memory import give_back_memory, tune_memory


@pytest.mark.parametrize("error", [OSError("no such library"), TypeError("must be str, not None")])
def test_memory_is_left_alone_where_the_c_library_cannot_be_opened(
    monkeypatch: pytest.MonkeyPatch, error: Exception
):
    def refuse(_: object) -> None:
        raise error

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    tune_memory()
    give_back_memory()


def test_memory_is_left_alone_where_the_c_library_is_another(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    tune_memory()
    give_back_memory()
