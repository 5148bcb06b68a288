"""Parse the words that people type into the model. All commands use it, so all understand the same words."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from liqmap.errors import RequestError
from liqmap.exchanges import EXCHANGES
from liqmap.model import (
    CHARTS,
    LEVERAGES,
    PICTURES,
    TURNOVERS,
    Exchange,
    GrossValue,
    LevelFilter,
    MapRequest,
    MarginModel,
    Market,
    Mode,
    Picture,
    Portion,
    PositionModel,
    Selection,
    Stack,
    SweepPrice,
    Theme,
    TopN,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

COMMON_WINDOWS: Final = ("15m", "1h", "4h", "6h", "12h", "24h", "3d", "7d", "30d", "90d")
"""Windows to suggest."""

POPULAR_SYMBOLS: Final = (
    *("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT", "BNBUSDT", "ADAUSDT", "SUIUSDT", "LINKUSDT"),
    *("AVAXUSDT", "LTCUSDT", "BCHUSDT", "TRXUSDT", "DOTUSDT", "HYPEUSDT", "1000PEPEUSDT", "WIFUSDT"),
    *("ARBUSDT", "OPUSDT", "APTUSDT", "NEARUSDT", "AAVEUSDT", "UNIUSDT", "ENAUSDT", "ETHUSDC", "BTCUSDC"),
)
"""Symbols to suggest until the exchanges' own lists are known."""

DEFAULT_VALUES: Final = {Mode.TOP_N: "100", Mode.GROSS_VALUE: "100k", Mode.PORTION: "1%"}
"""A mode's value if none is given."""

ALL_EXCHANGES: Final = "all"
"""The word for every exchange, drawn as one map."""

DEFAULT_LEVERAGES: Final = ",".join(map(str, LEVERAGES))
"""The default leverages, as people type them."""

WEIGHTED_LEVERAGES: Final = "10:35,25:30,50:20,100:15"
"""An example of leverages with weights."""

_LONGEST_TEXT = 60
_LONGEST_SYMBOL = 35  # a `Market` takes 40, so a completion such as USDT still fits
_SYMBOL = re.compile(r"[^\W_]+(?:[_-][^\W_]+)*")
_UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), timedelta(seconds=1)),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), timedelta(minutes=1)),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), timedelta(hours=1)),
    **dict.fromkeys(("d", "day", "days"), timedelta(days=1)),
    **dict.fromkeys(("w", "week", "weeks"), timedelta(weeks=1)),
}
_MODES = {
    **dict.fromkeys(("top_n", "topn", "top"), Mode.TOP_N),
    **dict.fromkeys(("gross_value", "grossvalue", "gross", "value"), Mode.GROSS_VALUE),
    **dict.fromkeys(("portion", "share", "percent"), Mode.PORTION),
}
_SCALES = {"": 0, "k": 3, "m": 6, "b": 9, "%": -2}
_DURATION = re.compile(r"(?:\d{1,6} ?[a-z]{1,7} ?)+", re.ASCII)
_DURATION_PART = re.compile(r"(\d{1,6}) ?([a-z]{1,7})", re.ASCII)
_NUMBER = re.compile(r"(\d{1,15}(?:\.\d{1,15})?|\.\d{1,15})([kmb]?)(%?)", re.ASCII)
_LEVERAGE = re.compile(r"(\d{1,3})x?(?::(\d{1,6}(?:\.\d{1,6})?)%?)?", re.ASCII)
_MOST_LEVERAGES = 8
_END = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[ t](\d{1,2}:\d{2}(?::\d{2})?))?(?: ?(?:z|utc|\+00:00))?", re.ASCII)


def parse_symbol(text: str) -> str:
    """Return `text` in the form of a symbol, such as BTC-USDT for `btc/usdt`. Raises RequestError.

    No exchange needs to list it in this form; `complete_symbol` finds the symbol that it means.
    """
    # Other programs write perpetual contracts as BTCUSDT.P or BTC/USDT:USDT.
    word = re.sub(r"\.P(?:ERP)?$|(?<=/USD[TC]):USD[TC]$", "", _plain(text, "symbol").upper())
    symbol = re.sub(r"[/\s-]+", "-", word)
    if not _SYMBOL.fullmatch(symbol) or len(symbol) > _LONGEST_SYMBOL:
        raise RequestError(f"{quoted(text)} is not a symbol; try BTCUSDT.")
    return symbol


def complete_symbol(market: Market, *, is_known: Callable[[Market], bool], are_all_known: bool) -> Market:
    """Return the market that a symbol means: the first known one among those that it may mean.

    If none is known, the answer depends on whether all symbols of the exchange are. If they are, the symbol
    is kept as it is. If not, it is completed in the usual way: BTC means the contract in USDT, as on the
    exchanges' own pages. A complete symbol never becomes another contract.
    """
    spellings = EXCHANGES[market.exchange].listing.spellings(market.symbol)
    names = [*spellings.names, *(spellings.counts if are_all_known else ())]
    possible = (Market(market.exchange, name) for name in names)
    usual = market if are_all_known else Market(market.exchange, spellings.default)
    return next((each for each in possible if is_known(each)), usual)


def parse_window(text: str) -> timedelta:
    """Return the length of a window: `6h`, `90m`, `2 weeks`, `1d12h`. Raises RequestError."""
    word = _plain(text, "window").lower()
    total = timedelta()
    if _DURATION.fullmatch(word):
        for number, unit in _DURATION_PART.findall(word):
            if unit not in _UNITS:
                break
            total += int(number) * _UNITS[unit]
        else:
            if total:
                return total
    raise RequestError(f"The window {quoted(text)} is not a length of time; try 6h, 90m or 7d.")


def parse_mode(text: str) -> Mode:
    """Return the mode that a word means. Raises RequestError."""
    word = _plain(text, "mode").lower()
    mode = _MODES.get(word.replace("-", "_").replace(" ", "_"))
    if mode is None:
        if _NUMBER.fullmatch(word):
            raise RequestError(
                f"The value {quoted(text)} needs its mode before it, such as top_n 100 or gross_value 100k."
            )
        raise RequestError(f"{quoted(text)} is not a mode; try top_n, gross_value or portion.")
    return mode


def parse_selection(mode: Mode, value: str | None = None) -> Selection:
    """Return the selection of `mode` with `value`: `100`, `100k`, `0.1m`, `100 000`, `1%`, `0.01`.

    Without a value, the mode's default. Raises RequestError.
    """
    text = DEFAULT_VALUES[mode] if value is None else value
    word = re.sub(r"[\s,_$]|usd[tc]?$", "", _plain(text, "value").lower())
    found = _NUMBER.fullmatch(word)
    if not found or (found[3] and mode is not Mode.PORTION):
        raise RequestError(f"The value {quoted(text)} does not fit {mode}; try {DEFAULT_VALUES[mode]}.")
    # As Decimal, because scaling a float by a million does not always give the number that was typed.
    number = float(Decimal(found[1]).scaleb(_SCALES[found[2]] + _SCALES[found[3]]))
    match mode:
        case Mode.TOP_N:
            if number != int(number):
                raise RequestError(f"top_n takes a whole number of trades, not {quoted(text)}; try 100.")
            return TopN(int(number))
        case Mode.GROSS_VALUE:
            return GrossValue(number)
        case Mode.PORTION:
            return Portion(number)


def parse_exchange(text: str) -> Exchange:
    """Return the exchange of that name. Raises RequestError."""
    try:
        return Exchange(_plain(text, "exchange").lower())
    except ValueError:
        raise RequestError(f"The exchange {quoted(text)} is not known; try {_either([*Exchange])}.") from None


def parse_exchanges(text: str) -> tuple[Exchange, ...]:
    """Return the exchanges of a list such as `binance,okx`, or `all`; the first is the reference.

    Raises RequestError.
    """
    words = [word.strip() for word in _plain(text, "exchange").lower().split(",")]
    if words == [ALL_EXCHANGES]:
        return (*Exchange,)
    found = tuple(map(parse_exchange, words))
    if len(set(found)) != len(found):
        raise RequestError(f"The exchanges {quoted(text)} name one twice; name each once.")
    return found


def exchanges_word(exchanges: Sequence[Exchange]) -> str:
    """Return the text that `parse_exchanges` reads as `exchanges`."""
    return ALL_EXCHANGES if tuple(exchanges) == (*Exchange,) else ",".join(exchanges)


def parse_stack(text: str) -> Stack:
    """Return what bars are stacked by. Raises RequestError."""
    try:
        return Stack(_plain(text, "stack").lower())
    except ValueError:
        raise RequestError(f"The stack {quoted(text)} is not known; try {_either([*Stack])}.") from None


def parse_theme(text: str) -> Theme:
    """Return the theme of that name. Raises RequestError."""
    try:
        return Theme(_plain(text, "theme").lower())
    except ValueError:
        raise RequestError(f"The theme {quoted(text)} is not known; try {' or '.join(Theme)}.") from None


def parse_model(text: str) -> MarginModel:
    """Return the margin model of that name. Raises RequestError."""
    try:
        return MarginModel(_plain(text, "model").lower())
    except ValueError:
        raise RequestError(f"The model {quoted(text)} is not known; try {', '.join(MarginModel)}.") from None


def parse_levels(text: str) -> LevelFilter:
    """Return which levels a map shows. Raises RequestError."""
    try:
        return LevelFilter(_plain(text, "levels").lower())
    except ValueError:
        raise RequestError(
            f"The levels {quoted(text)} are not known; try {' or '.join(LevelFilter)}."
        ) from None


def parse_positions(text: str) -> PositionModel:
    """Return how much of what trades opened is taken to stand. Raises RequestError."""
    try:
        return PositionModel(_plain(text, "positions").lower().replace("_", "-"))
    except ValueError:
        raise RequestError(
            f"The positions {quoted(text)} are not known; try {' or '.join(PositionModel)}."
        ) from None


def parse_turnover(text: str) -> float:
    """Return the part of the offsetting volume that counts as turnover. Raises RequestError."""
    try:
        turnover = float(_plain(text, "turnover"))
    except ValueError:
        turnover = -1.0
    if turnover not in TURNOVERS:
        raise RequestError(f"The turnover {quoted(text)} is not known; try 0, 0.5 or 1.")
    return turnover


def parse_sweep(text: str) -> SweepPrice:
    """Return which price sweeps levels. Raises RequestError."""
    try:
        return SweepPrice(_plain(text, "sweep").lower())
    except ValueError:
        raise RequestError(f"The sweep {quoted(text)} is not known; try {' or '.join(SweepPrice)}.") from None


def parse_chart(text: str | None) -> frozenset[Picture]:
    """Return the pictures to draw; a chart is drawn in addition to the usual ones. Raises RequestError."""
    if text is None:
        return PICTURES
    word = _plain(text, "chart").lower()
    chart = next((each for each in CHARTS if each == word), None)
    if chart is None:
        raise RequestError(
            f"The chart {quoted(text)} is not known; try {' or '.join(CHARTS)}, or leave it out."
        )
    return PICTURES | {chart}


def parse_pictures(pictures: str | Iterable[str]) -> frozenset[Picture]:
    """Return the pictures of a list such as `map,heatmap`, or of their names, one at least.

    Raises RequestError.
    """
    names = _plain(pictures, "pictures").lower().split(",") if isinstance(pictures, str) else list(pictures)
    if not names:
        raise RequestError(f"A map needs a picture at least; choose among {', '.join(Picture)}.")
    found = [next((each for each in Picture if each == name.strip()), None) for name in names]
    if None in found:
        unknown = names[found.index(None)]
        raise RequestError(f"The picture {quoted(unknown)} is not known; choose among {', '.join(Picture)}.")
    return frozenset(each for each in found if each is not None)


def parse_leverages(text: str) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return leverages, ascending, and their weights: `10,25,50,100`, or `10:35, 25:30, 50:20, 100:15`.

    Without weights, all leverages weigh the same. Raises RequestError.
    """
    parts = _plain(text, "leverages").lower().replace(" ", "").split(",")
    found = [_LEVERAGE.fullmatch(part) for part in parts]
    if not all(found):
        raise RequestError(
            f"The leverages {quoted(text)} must be whole numbers, with or without weights; try"
            f" {DEFAULT_LEVERAGES} or {WEIGHTED_LEVERAGES}."
        )
    if len(parts) > _MOST_LEVERAGES:
        raise RequestError(f"At most {_MOST_LEVERAGES} leverages are drawn, and these are {len(parts)}.")
    weights = {int(each[1]): float(each[2] or 1) for each in found if each}
    if len(weights) != len(parts):
        raise RequestError(f"The leverages {quoted(text)} have one of them twice; give each once.")
    leverages = tuple(sorted(weights))
    return leverages, tuple(weights[leverage] for leverage in leverages)


def parse_end(text: str | None, *, now: datetime) -> datetime:
    """Return the end of a window in UTC: `2023-08-01 06:00`, a date alone for its start, None for now.

    Now is floored to the minute, so that requests within one minute are equal and share one job. Raises
    RequestError.
    """
    if text is None:
        return now.replace(second=0, microsecond=0)
    found = _END.fullmatch(_plain(text, "end").lower())
    try:
        end = datetime.fromisoformat(f"{found[1]} {(found[2] or '0:00').rjust(5, '0')}") if found else None
    except ValueError:
        end = None
    if end is None:
        raise RequestError(f"The end {quoted(text)} is not a time; try 2023-08-01 06:00 (UTC).")
    if end.replace(tzinfo=UTC) > now:
        raise RequestError(f"The end {quoted(text)} lies in the future; leave it out to end now (UTC).")
    return end.replace(tzinfo=UTC)


def check_request(request: MapRequest, *, max_days: int) -> MapRequest:
    """Return `request` unchanged.

    Raises RequestError for a window that is too long, or that ends before the exchange published anything.
    """
    if request.window.length > timedelta(days=max_days):
        raise RequestError(f"The window is longer than {max_days} days, the most that is drawn here.")
    contracts = [EXCHANGES[each.exchange].contract(each.symbol) for each in request.markets]
    contract = min(contracts, key=lambda each: each.first_day)
    if request.window.end.date() < contract.first_day:
        raise RequestError(
            f"{contract.label} trades are published from {contract.first_day} on; try a later end."
        )
    return request


def _either(words: Sequence[str]) -> str:
    """Return words as a choice: binance, bybit or okx."""
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _plain(text: object, option: str) -> str:
    # Notebooks have no type checker, so a number may come where text is wanted.
    if not isinstance(text, str) or len(text) > _LONGEST_TEXT or not text.isprintable() or not text.strip():
        raise RequestError(f"The {option} {quoted(str(text))} cannot be read; see the command's examples.")
    return text.strip()


def quoted(text: str) -> str:
    """Return what was typed as a reply can repeat it: short, printable, without markup, mention or link."""
    shown = "".join(char for char in text[:30] if char.isprintable() and char not in "`*_~|<>@#[]()\\")
    shown = shown.replace("//", "")
    return f"“{shown}…”" if len(text) > 30 else f"“{shown}”"
