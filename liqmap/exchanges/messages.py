"""What an exchange module says about its live side: pages of recent trades, and streams of messages."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    import numpy as np
    from numpy.typing import NDArray

    from liqmap.errors import LiqmapError
    from liqmap.model import Side, Trades


FIRST_MS: Final = 10**12
"""September 2001, the first time that is written in 13 digits; what lies before is no time in ms."""

LAST_MS: Final = 10**13 - 1
"""The last time in 13 digits, in 2286."""

_MOST = 1e15  # of a price or a size, so that what is computed of both stays a number


class StreamTrade(NamedTuple):
    """One trade of a stream: time [ms since 1970], price, size, whether the taker bought.

    `id` is the exchange's aggregate id where those are contiguous (Binance), else None; `name` is then what
    tells a trade from others (Bybit).
    """

    symbol: str
    id: int | None
    time: int
    price: float
    size: float
    is_buy: bool
    name: str = ""


class Liquidation(NamedTuple):
    """A liquidation that the exchange told of: the side of the position that was closed, time [ms], size."""

    symbol: str
    time: int
    position: Side
    price: float
    size: float


class Acknowledged(NamedTuple):
    """The answer to the subscription with this number: accepted, or not."""

    number: int
    accepted: bool


class Newest(NamedTuple):
    """When a symbol was traded last, None if never, and when that was said [both ms since 1970]."""

    trade: int | None
    asked: int


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """A page of recent trades in the order of their ids: ids int64, and the trades."""

    ids: NDArray[np.int64]
    trades: Trades


Message = list[StreamTrade] | list[Liquidation] | Acknowledged | None
"""What a message of a stream holds; None for what is of no interest."""


def above_zero(text: object) -> float:
    """Return a price or size out of a message. Raises TypeError or ValueError for what is none."""
    if not isinstance(text, str):
        raise TypeError("a price or size is not a text")
    number = float(text)
    if not 0 < number < _MOST:  # NaN neither
        raise ValueError("a price or size is out of range")
    return number


def moment_ms(number: object) -> int:
    """Return a time [ms since 1970] out of a message. Raises TypeError or ValueError for what is none."""
    if type(number) is not int:  # a bool is not meant either
        raise TypeError("a time is not a whole number")
    if not FIRST_MS <= number <= LAST_MS:
        raise ValueError("a time is not in milliseconds since 1970")
    return number


def named(text: object) -> str:
    """Return a symbol out of a message. Raises TypeError for what is none."""
    if not isinstance(text, str):
        raise TypeError("a symbol is not a text")
    return text


def json_object(text: str) -> dict[str, Any]:
    """Return the object that a message is. Raises ValueError or TypeError for what is none."""
    try:
        message = json.loads(text)
    except RecursionError as error:
        raise ValueError("a message is nested too deeply") from error
    if not isinstance(message, dict):
        raise TypeError("a message is not an object")
    return message


class LiveFormat(Protocol):
    """Live facts and parsers of one exchange; opens no socket.

    `complete_liquidations` tells whether its stream has every liquidation or a sample of them.
    `heartbeat` is a message to be sent every `heartbeat_seconds`; a connection is renewed before it gets
    `lifetime` old. Ids of trades are contiguous where `numbered`.
    """

    numbered: bool
    complete_liquidations: bool
    heartbeat: str | None
    heartbeat_seconds: float
    lifetime: timedelta | None

    def records(self, symbol: str) -> bool:
        """Tell whether `symbol` is of the market whose streams these are: USDT-margined futures."""

    def stream_url(self, base_url: str) -> str:
        """Return the address of the websocket below `base_url`."""

    def subscribe(self, symbols: Sequence[str], *, number: int) -> str:
        """Return the message that asks for the trades and liquidations of `symbols`."""

    def read(self, text: str) -> Message:
        """Return what a message holds. Raises ValueError, KeyError or TypeError for what is none."""

    def newest_url(self, base_url: str, symbol: str) -> str:
        """Return the address of the newest trade of `symbol`."""

    def newest(self, answer: object, *, asked: datetime) -> Newest:
        """Return what `newest_url`, asked at that time, has answered, by the exchange's clock if it tells.

        Raises RequestError if the exchange knows no such symbol, DataError if it is no answer.
        """


class Backfill(Protocol):
    """The recent trades of an exchange by REST, where it lets them be paged.

    `reach` is how far back they go, `page_rows` the trades a page, `page_weight` its price in the
    exchange's budget.
    """

    reach: timedelta
    page_rows: int
    page_weight: int

    def page_url(
        self, base_url: str, symbol: str, *, from_id: int | None = None, from_ms: int | None = None
    ) -> str:
        """Return the address of the page that starts with an id or a time, or of the newest page."""

    def read_page(self, answer: object) -> Page:
        """Return the trades of a page. Raises DataError if it is none."""

    def explained(self, answer: object, symbol: str) -> LiqmapError:
        """Return the error that the body of a refused question about `symbol` means."""
