from __future__ import annotations

from typing import Any

import pytest

from liqmap.errors import DataError
from liqmap.exchanges import EXCHANGES
from liqmap.model import Exchange

ANSWERS: dict[Exchange, dict[str, Any]] = {
    Exchange.BINANCE: {"serverTime": 1499827319559},
    Exchange.BYBIT: {
        "retCode": 0,
        "retMsg": "OK",
        "result": {"timeSecond": "1688639403", "timeNano": "1688639403423213947"},
        "retExtInfo": {},
        "time": 1688639403423,
    },
    Exchange.OKX: {"code": "0", "msg": "", "data": [{"ts": "1688639403423"}]},
}


@pytest.mark.parametrize("exchange", Exchange)
def test_time_is_read_to_the_millisecond(exchange: Exchange):
    answer = ANSWERS[exchange]
    assert EXCHANGES[exchange].time.read(answer) in {1499827319559, 1688639403423}
    assert EXCHANGES[exchange].time.url("https://host").startswith("https://host/")


@pytest.mark.parametrize("exchange", Exchange)
@pytest.mark.parametrize("said", [None, "1688639403423", 1688639403, 1e12, True, [], {}, 10**30, -1])
def test_unreadable_time_is_one_sentence(exchange: Exchange, said: object):
    key = {Exchange.BINANCE: "serverTime", Exchange.BYBIT: "time"}.get(exchange, "data")
    if exchange is Exchange.OKX and said == "1688639403423":
        return  # it writes the time as a text
    for answer in ({**ANSWERS[exchange], key: said}, said, [said]):
        with pytest.raises(DataError, match=r"time cannot be read; try again later\.$"):
            EXCHANGES[exchange].time.read(answer)
