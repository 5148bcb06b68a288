"""Answer the messages of clients of OKX's public streams.

Source: OKX's documentation of its API v5, WebSocket; frames as recorded in 2022 and in 2026.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from liqmap.model import Exchange
from liqmap.simulator.dialects import Kind, Reply, Topic, parsed
from liqmap.simulator.okx_messages import instrument, okx_liquidations, okx_trades

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from liqmap.simulator.liquidations import Liquidations
    from liqmap.simulator.listings import MarketDay

_MOST_CHARACTERS = 65_536  # 64 KB, the longest list of channels
_CONNECTION: Final = "a4d3ae55"
_MISSING = (
    "Wrong URL or channel:{channel},instId:{name} doesn't exist. Please use the correct URL, channel and"
)
_MISSING += " parameters referring to API document."

LEAVING: Final = json.dumps(
    {
        "event": "notice",
        "code": "64008",
        "msg": "The connection will soon be closed for a service upgrade. Please reconnect.",
        "connId": _CONNECTION,
    }
)
"""OKX's message before it closes a connection for an upgrade."""


class OkxStream:
    """OKX's public streams of swaps, of `symbols`.

    Liquidations are sent of all swaps whose trades are subscribed to.
    """

    exchange: Final = Exchange.OKX
    liquidation_period_ms: Final = 1000
    requests_an_hour: int | None = 480  # subscribe, unsubscribe and login, of a connection
    _KINDS: Final = {"trades": Kind.TRADES, "liquidation-orders": Kind.LIQUIDATIONS}

    def __init__(self, symbols: Collection[str]) -> None:
        self._symbols = {instrument(symbol): symbol for symbol in symbols}

    def topic(self, name: str) -> Topic | None:
        """Return what a topic such as trades/BTC-USDT-SWAP is about."""
        kind, _, instrument_name = name.partition("/")
        if instrument_name in self._symbols and kind in self._KINDS:
            return Topic(self._KINDS[kind], self._symbols[instrument_name])
        return None

    def reply(self, text: str, subscribed: Collection[str]) -> Reply:
        """Answer ping, or {"id":"1","op":"subscribe","args":[{"channel":"trades","instId":"…"}]}.

        Each argument is answered separately; a wrong one does not affect the others.
        """
        if text == "ping":
            return Reply("pong")
        command = parsed(text)
        operation, number = command.get("op"), {"id": str(command.get("id", ""))}
        found = command.get("args")
        arguments = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
        if operation not in {"subscribe", "unsubscribe"} or not arguments or len(text) > _MOST_CHARACTERS:
            error = {"event": "error", "code": "60012", "msg": f"Invalid request: {text[:100]}"}
            return Reply(json.dumps(number | error | {"connId": _CONNECTION}))
        known = [each for each in arguments if self._is_known(each)]
        answers = [
            number | {"event": operation, "arg": each, "connId": _CONNECTION}
            if each in known
            else number | _error(each) | {"connId": _CONNECTION}
            for each in arguments
        ]
        texts = [json.dumps(each) for each in answers]
        names = tuple(self._names(known, subscribed))
        error = {"event": "error", "code": "60014", "msg": "Requests too frequent"}
        return Reply(
            texts[0],
            more=tuple(texts[1:]),
            subscribe=names if operation == "subscribe" else (),
            unsubscribe=names if operation == "unsubscribe" else (),
            too_many=json.dumps(number | error | {"connId": _CONNECTION}),
        )

    def trades(self, name: str, part: MarketDay, sent_ms: int) -> list[str]:  # noqa: ARG002 - it is not sent
        """Return one message for each trade."""
        return okx_trades(name.partition("/")[2], part)

    def liquidations(self, name: str, part: Liquidations, sent_ms: int) -> list[str]:  # noqa: ARG002 - likewise
        """Return one message about all liquidations of an instrument."""
        rows = okx_liquidations(name.partition("/")[2], part)
        argument = {"channel": "liquidation-orders", "instType": "SWAP"}
        return [json.dumps({"arg": argument, "data": rows}, separators=(",", ":"))] if rows else []

    def _is_known(self, argument: dict[str, object]) -> bool:
        match argument:
            case {"channel": "liquidation-orders", "instType": "SWAP"}:
                return True
            case {"channel": "trades", "instId": str(name)}:
                return name in self._symbols
        return False

    def _names(self, arguments: list[dict[str, object]], subscribed: Collection[str]) -> Iterator[str]:
        traded = [f"trades/{each['instId']}" for each in arguments if each["channel"] == "trades"]
        yield from traded
        if any(each["channel"] != "trades" for each in arguments):
            for name in (*traded, *(each for each in subscribed if each.startswith("trades/"))):
                yield f"liquidation-orders/{name.partition('/')[2]}"


def _error(argument: dict[str, object]) -> dict[str, str]:
    words = _MISSING.format(channel=argument.get("channel"), name=argument.get("instId"))
    return {"event": "error", "code": "60018", "msg": words}
