"""Write very many trades as stream messages: all rows have one length, so that numpy can write the digits."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Integers = NDArray[np.int64]

FIRST_ID: Final = 100_000_000_000
"""Ids start here, so that they, and the ids of the trades in an aggregate, have twelve digits."""

MOST_ROWS: Final = 1024
"""Trades of one symbol in one burst, and in one message of Bybit's."""

_DIGITS = 12
# The digits of each number below 10,000. A number of twelve digits is three of these.
_FOURS = np.array([list(b"%04d" % number) for number in range(10_000)], np.uint8)
_PRICES = 4096  # different rows, after which they repeat
_TEXT_FRAME, _LONG = 0x81, 126  # of RFC 6455: a whole text message; a length in two bytes follows


class Burst(Protocol):
    """Messages of one exchange about the same trades of every symbol."""

    def messages(self, ids: Integers, time: Integers, sent_ms: int) -> list[bytes]:
        """Return each symbol's trades with `ids` and `time` [ms], up to MOST_ROWS, as sent at `sent_ms`."""


class BinanceBurst:
    """Messages of aggTrade streams, one trade each, framed for the websocket.

    {"stream":"crash00usdt@aggTrade","data":{"e":"aggTrade","E":1791102056701,"s":"CRASH00USDT",
    "a":100000000000,"p":"29000.1","q":"0.123","nq":"0.123","f":200000000000,"l":200000000001,
    "T":1791102056684,"m":true ,"st":1}}
    """

    def __init__(self, symbols: Sequence[str]) -> None:
        # "true " with a blank is as long as "false", so that all rows have one length.
        texts = [
            f'{{"stream":"{symbol.lower()}@aggTrade","data":{{"e":"aggTrade","E":1{"E" * _DIGITS},'
            f'"s":"{symbol}","a":{"A" * _DIGITS},"p":"{price}","q":"{size}","nq":"{size}",'
            f'"f":{"F" * _DIGITS},"l":{"L" * _DIGITS},"T":1{"T" * _DIGITS},'
            f'"m":{"false" if is_buy else "true "},"st":1}}}}'
            for symbol in symbols
            for price, size, is_buy in _invented()
        ]
        self._rows = _matrix([_frame(text.encode()) for text in texts]).reshape(len(symbols), _PRICES, -1)
        self._places = {letter: texts[0].index(letter * _DIGITS) + 4 for letter in "EAFLT"}

    def messages(self, ids: Integers, time: Integers, sent_ms: int) -> list[bytes]:
        """Return each symbol's trades with `ids` and `time` [ms], up to MOST_ROWS, as sent at `sent_ms`."""
        rows = self._rows[:, ids % _PRICES]
        values = {"A": ids, "F": ids * 2, "L": ids * 2 + 1, "T": time, "E": np.full(1, sent_ms)}
        for letter, numbers in values.items():
            _write(rows, self._places[letter], numbers)
        return [each.tobytes() for each in rows]


class BybitBurst:
    """Messages of publicTrade topics, all trades of a symbol in one, framed for the websocket.

    {"topic":"publicTrade.CRASH00USDT","type":"snapshot","ts":1672304486868,"data":[{"T":1672304486865,
    "s":"CRASH00USDT","S":"Buy" ,"v":"0.123","p":"29000.1","L":"PlusTick","i":"...","BT":false,"RPI":false,
    "seq":100000000000}]}
    """

    def __init__(self, symbols: Sequence[str]) -> None:
        self._symbols = symbols
        texts = [
            f'{{"T":1{"T" * _DIGITS},"s":"{symbol}","S":{chr(34)}{"Buy" if is_buy else "Sell"}{chr(34)}'
            f'{" " * is_buy},"v":"{size}","p":"{price}","L":"PlusTick",'
            f'"i":"00000000-0000-4000-8000-{"I" * _DIGITS}","BT":false,"RPI":false,"seq":{"Q" * _DIGITS}}},'
            for symbol in symbols
            for price, size, is_buy in _invented()
        ]
        self._rows = _matrix([text.encode() for text in texts]).reshape(len(symbols), _PRICES, -1)
        self._places = {letter: texts[0].index(letter * _DIGITS) for letter in "TIQ"}

    def messages(self, ids: Integers, time: Integers, sent_ms: int) -> list[bytes]:
        """Return each symbol's trades with `ids` and `time` [ms], up to MOST_ROWS, as sent at `sent_ms`."""
        rows = self._rows[:, ids % _PRICES]
        for letter, numbers in {"T": time, "I": ids, "Q": ids}.items():
            _write(rows, self._places[letter], numbers)
        head = '{"topic":"publicTrade.%s","type":"snapshot","ts":%d,"data":['
        return [
            _frame((head % (symbol, sent_ms)).encode() + each.tobytes()[:-1] + b"]}")
            for symbol, each in zip(self._symbols, rows, strict=True)
        ]


class OkxBurst:
    """Messages of the channel trades, one order of one fill each, framed for the websocket.

    {"arg":{"channel":"trades","instId":"CRASH00-USDT-SWAP"},"data":[{"instId":"CRASH00-USDT-SWAP",
    "tradeId":"100000000000","px":"29000.1","sz":"0.123","side":"buy" ,"ts":"1791102056684","count":"1",
    "source":"0","seqId":100000000000}]}
    """

    def __init__(self, symbols: Sequence[str]) -> None:
        names, sides = (
            [f"{symbol.removesuffix('USDT')}-USDT-SWAP" for symbol in symbols],
            ('"sell"', '"buy" '),
        )
        texts = [
            f'{{"arg":{{"channel":"trades","instId":"{name}"}},"data":[{{"instId":"{name}",'
            f'"tradeId":"{"A" * _DIGITS}","px":"{price}","sz":"{size}","side":'
            f'{sides[is_buy]},"ts":"1{"T" * _DIGITS}","count":"1","source":"0",'
            f'"seqId":{"Q" * _DIGITS}}}]}}'
            for name in names
            for price, size, is_buy in _invented()
        ]
        self._rows = _matrix([_frame(text.encode()) for text in texts]).reshape(len(symbols), _PRICES, -1)
        self._places = {letter: texts[0].index(letter * _DIGITS) + 4 for letter in "ATQ"}

    def messages(self, ids: Integers, time: Integers, sent_ms: int) -> list[bytes]:  # noqa: ARG002 - not sent
        """Return each symbol's trades with `ids` and `time` [ms], up to MOST_ROWS."""
        rows = self._rows[:, ids % _PRICES]
        for letter, numbers in {"A": ids, "T": time, "Q": ids}.items():
            _write(rows, self._places[letter], numbers)
        return [each.tobytes() for each in rows]


def _invented() -> list[tuple[str, str, bool]]:
    """Return invented price, size and side of trades while the price falls, as texts of equal lengths."""
    rng = np.random.default_rng(7)
    price = np.linspace(31_000, 28_000, _PRICES) + rng.normal(0, 5, _PRICES)
    size = np.clip(rng.pareto(1.2, _PRICES) / 50, 0.001, 9.999)
    is_buy = rng.random(_PRICES) < 0.4
    columns = zip(price.tolist(), size.tolist(), is_buy.tolist(), strict=True)
    return [(f"{price:.1f}", f"{size:.3f}", is_buy) for price, size, is_buy in columns]


def _frame(payload: bytes) -> bytes:
    """Return a text message of at least 126 bytes as a server sends it: a header and the unmasked payload."""
    if len(payload) < 1 << 16:
        return struct.pack("!BBH", _TEXT_FRAME, _LONG, len(payload)) + payload
    return struct.pack("!BBQ", _TEXT_FRAME, _LONG + 1, len(payload)) + payload


def _matrix(rows: list[bytes]) -> Bytes:
    return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1)


def _write(rows: Bytes, place: int, numbers: Integers) -> None:
    """Write the last twelve digits of `numbers`, one a row, into every symbol's rows at `place`."""
    for column, divisor in ((place, 10**8), (place + 4, 10**4), (place + 8, 1)):
        rows[:, :, column : column + 4] = _FOURS[numbers // divisor % 10_000]
