"""What an exchange's streams and pages of recent trades are parsed into, and Protocols of their parsers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from liqmap.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    import numpy as np
    from numpy.typing import NDArray

    from liqmap.errors import LiqmapError
    from liqmap.model import Side, Trades


class StreamTrade(NamedTuple):
    """One trade of a stream: time [ms since 1970], price, size, whether the taker bought.

    `id` is the exchange's aggregate id if ids are contiguous (Binance), else None. In that case `name`
    identifies the trade (Bybit), "" if nothing does. Exchanges send trades of size 0, which nobody made:
    they only prove that the stream works and, by their ids, that nothing is missing. A trade that
    stands for several `fills` has the id of the last.
    """

    symbol: str
    id: int | None
    time: int
    price: float
    size: float
    is_buy: bool
    name: str = ""
    fills: int = 1


class Liquidation(NamedTuple):
    """A liquidation that the exchange reported: the side of the position that was closed, time [ms], size.

    `price` is what the closing order was filled at, or what the exchange reports instead. `bankruptcy` is the
    price at which the whole margin was lost, the order's limit, None where it is not read.
    """

    symbol: str
    time: int
    position: Side
    price: float
    size: float
    bankruptcy: float | None = None


class LiquidationPage(NamedTuple):
    """A page of liquidations of one symbol, in any order, and the times of all its rows [ms].

    Rows can be of other symbols, or of size 0: they only count to whether the page is full.
    """

    liquidations: tuple[Liquidation, ...] = ()
    times: tuple[int, ...] = ()


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
    """The answer to the subscription with this number: accepted, or not; of one `symbol`, or of all in it."""

    number: int
    accepted: bool
    symbol: str | None = None


class Leaving(NamedTuple):
    """The exchange's word that it is about to close the connection: another one should be open by then."""


class Newest(NamedTuple):
    """When a symbol was last traded, None if never, and the time of this answer [both ms since 1970]."""

    trade: int | None
    asked: int


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """A page of recent trades in order of their ids: ids int64, and the trades, including those of size 0."""

    ids: NDArray[np.int64]
    trades: Trades


class PartlyUnreadable(DataError):
    """Some liquidations of a message cannot be read; `readable` has the others.

    `symbols` are those whose liquidations they are, none if one of them does not tell.
    """

    def __init__(
        self, sentence: str, readable: list[Liquidation], symbols: frozenset[str] = frozenset()
    ) -> None:
        super().__init__(sentence)
        self.readable = readable
        self.symbols = symbols


def named_in(rows: Sequence[dict[str, Any]], key: str, symbol: Callable[[Any], str | None]) -> frozenset[str]:
    """Return the symbols that rows of liquidations name at `key`, none if one of them names none."""
    try:
        found = {symbol(row[key]) for row in rows}
    except (TypeError, ValueError, LookupError):
        return frozenset()
    return frozenset() if None in found else frozenset(filter(None, found))


Events = list[StreamTrade] | list[Liquidation] | list[SymbolTiers]
"""What a message reports about the market."""

Message = Events | Acknowledged | Leaving | None
"""What a stream's message holds; None if it is of no interest."""


def json_object(text: str) -> dict[str, Any]:
    """Return a message's JSON object. Raises ValueError, RecursionError or TypeError for anything else."""
    message = json.loads(text)
    if not isinstance(message, dict):
        # The door of each parser turns this into a DataError that names the exchange.
        raise TypeError("a message is not an object")
    return message


class LiveFormat(Protocol):
    """Facts and parsers of one exchange's streams; opens no socket.

    `complete_liquidations` says whether the streams have every liquidation or only a sample, `reports_fills`
    whether with the price that its order was filled at. `heartbeat` is a message to send every
    `heartbeat_seconds`. A connection is renewed before it is `lifetime` old. If `numbered`, the ids of trades
    are contiguous. The newest trade costs a request weight of `newest_weight`. A connection may send
    `subscriptions_an_hour` messages that ask for streams, any number if that is None, and takes the streams
    of `most_symbols`.
    """

    numbered: bool
    complete_liquidations: bool
    reports_fills: bool
    heartbeat: str | None
    heartbeat_seconds: float
    lifetime: timedelta | None
    newest_weight: int
    subscriptions_an_hour: int | None
    most_symbols: int

    def records(self, symbol: str) -> bool:
        """Return whether `symbol` has a stream here: whether it is a USDT-margined future."""

    def stream_url(self, base_url: str) -> str:
        """Return the address of the websocket below `base_url`."""

    def subscribe(self, symbols: Sequence[str], *, number: int) -> str:
        """Return the message that asks for the trades and liquidations of `symbols`."""

    def read(self, text: str) -> Message:
        """Return what a message holds.

        Raises DataError for any text that is not a message, and PartlyUnreadable if only some of a message's
        liquidations can be read.
        """

    def newest_url(self, base_url: str, symbol: str) -> str:
        """Return the address of the newest trade of `symbol`."""

    def newest(self, answer: object, *, asked: datetime) -> Newest:
        """Return the answer of `newest_url`, with its time by the exchange's clock or else `asked`.

        Raises RequestError if the exchange has no such symbol, DataError if the answer cannot be read.
        """


class LiquidationPages(Protocol):
    """An exchange's recent liquidations by REST.

    `reach` is how far back they go, `late` how long after its time one may appear. A page that is not the
    last has `page_rows`, and costs `weight`. One may be empty although there is more.
    """

    reach: timedelta
    late: timedelta
    page_rows: int
    weight: int

    def page_url(self, base_url: str, symbol: str, *, before_ms: int) -> str:
        """Return the address of the newest liquidations before a time."""

    def read_page(self, answer: object, symbol: str) -> LiquidationPage:
        """Return a page with a symbol's liquidations. Raises DataError if it is none."""


class Backfill(Protocol):
    """An exchange's recent trades by REST, page by page.

    `reach` is how far back they go, `page_rows` the trades on a page, `page_weight` a page's request weight.
    If it `sends_fills`, one trade can be several rows.
    """

    reach: timedelta
    page_rows: int
    page_weight: int
    sends_fills: bool

    def page_url(
        self, base_url: str, symbol: str, *, from_id: int | None = None, from_ms: int | None = None
    ) -> str:
        """Return the address of the page that starts with an id, covers a time, or is the newest."""

    def first_id(self, page: Page, milliseconds: int) -> int | None:
        """Return the id of the first trade at or after a time, by the page that covers it; None if none."""

    def read_page(self, answer: object) -> Page:
        """Return the trades of a page. Raises DataError if it cannot be read."""

    def explained(self, answer: object, symbol: str) -> LiqmapError:
        """Return the error for the body of a refused request about `symbol`."""
