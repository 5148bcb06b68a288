"""What an exchange module says about its live side: pages of recent trades, and streams of messages."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from liqmap.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    import numpy as np
    from numpy.typing import NDArray

    from liqmap.errors import LiqmapError
    from liqmap.model import Side, Trades


class StreamTrade(NamedTuple):
    """One trade of a stream: time [ms since 1970], price, size, whether the taker bought.

    `id` is the exchange's aggregate id where those are contiguous (Binance), else None; `name` is then what
    tells a trade from others (Bybit), "" where nothing does. Exchanges send trades of size 0, which nobody
    made: they only prove that the stream is there and, by their ids, that nothing is missing.
    """

    symbol: str
    id: int | None
    time: int
    price: float
    size: float
    is_buy: bool
    name: str = ""


class Liquidation(NamedTuple):
    """A liquidation that the exchange told of: the side of the position that was closed, time [ms], size.

    `price` is what the closing order was filled at, or what the exchange tells instead. `bankruptcy` is the
    price at which the whole margin was lost, the order's limit, None where it is not read.
    """

    symbol: str
    time: int
    position: Side
    price: float
    size: float
    bankruptcy: float | None = None


class RiskTier(NamedTuple):
    """One tier of a symbol's leverage brackets, as an exchange publishes it.

    A position whose value is at most `cap` needs value × `rate` - `deduction` as maintenance margin and may
    have up to `max_leverage`. The deduction is None where it is not published.
    """

    cap: float
    rate: float
    max_leverage: float
    deduction: float | None = None


class SymbolTiers(NamedTuple):
    """All tiers of one symbol, in any order."""

    symbol: str
    tiers: tuple[RiskTier, ...]


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
    """A page of recent trades in the order of their ids: ids int64, and the trades, also those of size 0."""

    ids: NDArray[np.int64]
    trades: Trades


class PartlyUnreadable(DataError):
    """Some liquidations of a message cannot be read; the others are `readable`."""

    def __init__(self, sentence: str, readable: list[Liquidation]) -> None:
        super().__init__(sentence)
        self.readable = readable


Events = list[StreamTrade] | list[Liquidation] | list[SymbolTiers]
"""What a message tells of the market."""

Message = Events | Acknowledged | None
"""What a message of a stream holds; None for what is of no interest."""


def json_object(text: str) -> dict[str, Any]:
    """Return the object that a message is. Raises ValueError, RecursionError or TypeError if it is none."""
    message = json.loads(text)
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
        """Return what a message holds.

        Raises DataError if it is none, whatever it is, and PartlyUnreadable for liquidations of which only
        some can be read.
        """

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
