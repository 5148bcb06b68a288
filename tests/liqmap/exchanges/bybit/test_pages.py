from __future__ import annotations

import pytest

from liqmap.errors import DataError
from liqmap.exchanges.bybit.pages import next_page, rows_of

URL = "https://api.bybit.com/v5/market/risk-limit?category=linear"


@pytest.mark.parametrize(
    "cursor",
    ["first%3DBIOUSDT%26last%3DBIOUSDT", "first=BIOUSDT&last=BIOUSDT", "first%3DBIOUSDT&last=BIOUSDT"],
)
def test_cursor_is_quoted_once(cursor: str):
    answer = {"result": {"nextPageCursor": cursor}}
    page = f"{URL}&cursor=first%3DBIOUSDT%26last%3DBIOUSDT"
    assert next_page(URL, answer) == page
    assert next_page(page, answer) == page


@pytest.mark.parametrize("answer", [{"result": {"nextPageCursor": ""}}, {"result": {}}, {}, [], None])
def test_page_without_a_cursor_is_the_last(answer: object):
    assert next_page(URL, answer) is None


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ({"retCode": 10006, "result": {}}, "refuses to answer about it .code 10006."),
        ({"retCode": 0}, "cannot be read"),
        ([], "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_answer_that_is_not_a_page_is_one_sentence(answer: object, sentence: str):
    with pytest.raises(DataError, match=sentence):
        rows_of(answer, what="it")


@pytest.mark.parametrize("cursor", ["\ud800", "x" * 1001, "%F0" * 400])
def test_cursor_that_no_address_can_hold_is_a_sentence(cursor: str):
    with pytest.raises(DataError, match="names no valid next page"):
        next_page(
            "https://api.bybit.com/v5/market/risk-limit?category=linear",
            {"result": {"nextPageCursor": cursor}},
        )
