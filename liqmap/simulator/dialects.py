"""Answer the messages of stream clients as each exchange does.

Sources: developers.binance.com, USDⓈ-M futures, websocket market streams and the change notice of
2026-03-06; github.com/bybit-exchange/docs, v5 websocket, connect and public topics.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final, Protocol

from liqmap.model import Exchange
from liqmap.simulator.messages import binance_liquidations, binance_trades, bybit_liquidations, bybit_trades

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from liqmap.simulator.liquidations import Liquidations
    from liqmap.simulator.listings import MarketDay

_BINANCE_MOST_STREAMS = 1024  # of one connection
_BYBIT_MOST_CHARACTERS = 21_000  # of the args of one connection


class Kind(Enum):
    """What a topic is about."""

    TRADES = auto()
    LIQUIDATIONS = auto()


@dataclass(frozen=True, slots=True)
class Topic:
    """What is sent, and about which symbol."""

    kind: Kind
    symbol: str


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to a client: its text, the names it adds or removes, and whether the server then closes.

    `more` are further answers, of an exchange that answers each argument on its own. With `too_many`, the
    request counts against the limit of an hour, and this is the whole answer if it is above the limit.
    """

    text: str
    more: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    closes: bool = False
    too_many: str | None = None


class Dialect(Protocol):
    """How one exchange's streams work."""

    @property
    def exchange(self) -> Exchange:
        """Whose streams these are."""

    @property
    def requests_an_hour(self) -> int | None:
        """How many counted requests a connection may send in an hour; None for any number."""

    def topic(self, name: str) -> Topic | None:
        """Return what the topic `name` is about, or None if this exchange would send nothing for it."""

    def reply(self, text: str, subscribed: Collection[str]) -> Reply:
        """Answer a client's message; `subscribed` are the names that it has subscribed to so far."""

    def trades(self, name: str, part: MarketDay, sent_ms: int) -> list[str]:
        """Return the messages about trades that the topic `name` sends at `sent_ms`."""

    @property
    def liquidation_period_ms(self) -> int:
        """How often liquidations are sent [ms]."""

    def liquidations(self, name: str, part: Liquidations, sent_ms: int) -> list[str]:
        """Return the messages about liquidations in whole periods that the topic sends at `sent_ms`."""


class BinanceStream:
    """Binance's combined streams below /market/stream, of `symbols`."""

    exchange: Final = Exchange.BINANCE
    liquidation_period_ms: Final = 1000  # the latest order of each second
    requests_an_hour: int | None = None
    _KINDS: Final = {"aggTrade": Kind.TRADES, "forceOrder": Kind.LIQUIDATIONS}

    def __init__(self, symbols: Collection[str]) -> None:
        self._symbols = {symbol.lower(): symbol for symbol in symbols}

    def topic(self, name: str) -> Topic | None:
        """Return what a stream such as btcusdt@aggTrade is about; symbols are in lower case."""
        symbol, _, kind = name.partition("@")
        if symbol in self._symbols and kind in self._KINDS:
            return Topic(self._KINDS[kind], self._symbols[symbol])
        return None

    def reply(self, text: str, subscribed: Collection[str]) -> Reply:
        """Answer {"method":"SUBSCRIBE","params":["btcusdt@aggTrade"],"id":1}; unknown names are accepted."""
        command = parsed(text)
        names, number = _names(command.get("params")), command.get("id")
        method = command.get("method")
        if method not in {"SUBSCRIBE", "UNSUBSCRIBE"}:
            return Reply(json.dumps({"error": {"code": 2, "msg": "Invalid request"}, "id": number}))
        answer = json.dumps({"result": None, "id": number})
        if method == "UNSUBSCRIBE":
            return Reply(answer, unsubscribe=names)
        # Names that are subscribed to already do not count twice.
        if len({*subscribed, *names}) > _BINANCE_MOST_STREAMS:
            error = {"code": 2, "msg": f"Invalid request: more than {_BINANCE_MOST_STREAMS} streams"}
            return Reply(json.dumps({"error": error, "id": number}), closes=True)
        return Reply(answer, subscribe=names)

    def trades(self, name: str, part: MarketDay, sent_ms: int) -> list[str]:
        """Return one message a trade."""
        return binance_trades(name, part, sent_ms)

    def liquidations(self, name: str, part: Liquidations, sent_ms: int) -> list[str]:
        """Return the latest liquidation of each second, one a message."""
        return binance_liquidations(name, part, sent_ms)


class BybitStream:
    """Bybit's public streams of linear contracts, of `symbols`."""

    exchange: Final = Exchange.BYBIT
    liquidation_period_ms: Final = 500  # the push frequency in the documentation
    requests_an_hour: int | None = None
    _KINDS: Final = {"publicTrade": Kind.TRADES, "allLiquidation": Kind.LIQUIDATIONS}

    def __init__(self, symbols: Collection[str]) -> None:
        self._symbols = frozenset(symbols)

    def topic(self, name: str) -> Topic | None:
        """Return what a topic such as publicTrade.BTCUSDT is about."""
        kind, _, symbol = name.partition(".")
        if symbol in self._symbols and kind in self._KINDS:
            return Topic(self._KINDS[kind], symbol)
        return None

    def reply(self, text: str, subscribed: Collection[str]) -> Reply:
        """Answer {"op":"subscribe","args":["publicTrade.BTCUSDT"],"req_id":"1"}, or {"op":"ping"}.

        If one name is unknown, or subscribed to already, the whole message is refused.
        """
        command = parsed(text)
        operation, names = command.get("op"), _names(command.get("args"))
        trouble = "" if operation in {"subscribe", "unsubscribe", "ping"} else "unknown operation"
        if operation == "subscribe":
            trouble = self._trouble(names, subscribed, is_long=len(text) > _BYBIT_MOST_CHARACTERS)
        answer = json.dumps(
            {
                "success": not trouble,
                "ret_msg": "pong" if operation == "ping" else trouble,
                "conn_id": "00000000-0000-4000-9000-000000000000",
                "req_id": command.get("req_id", ""),
                "op": operation,
            }
        )
        if operation == "subscribe":
            return Reply(answer, subscribe=() if trouble else names)
        return Reply(answer, unsubscribe=names if operation == "unsubscribe" else ())

    def _trouble(self, names: Sequence[str], subscribed: Collection[str], *, is_long: bool) -> str:
        """Return why a subscription to `names` is refused as a whole, "" if it is not."""
        unknown = [name for name in names if self.topic(name) is None]
        doubled = [name for name in names if name in subscribed]
        # Bybit names only what it does not know, even if the message is too long.
        if unknown or is_long:
            return f"error:handler not found,topic:{','.join(unknown)}"
        return f"error:already subscribed,topic:{','.join(doubled)}" if doubled else ""

    def trades(self, name: str, part: MarketDay, sent_ms: int) -> list[str]:
        """Return messages with many trades each."""
        return bybit_trades(name, part, sent_ms)

    def liquidations(self, name: str, part: Liquidations, sent_ms: int) -> list[str]:
        """Return all liquidations in one message."""
        return bybit_liquidations(name, part, sent_ms)


def parsed(text: str) -> dict[str, Any]:
    """Return a command, or {} if the text is not one."""
    try:
        command = json.loads(text)
    except ValueError:
        return {}
    return command if isinstance(command, dict) else {}


def _names(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()
