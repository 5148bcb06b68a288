"""What subscriptions and buttons keep of a request: what to draw, without when, and its short code."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, assert_never

from liqmap import (
    EXCHANGES,
    LEVERAGES,
    PICTURES,
    GrossValue,
    LevelFilter,
    MapRequest,
    MarginModel,
    Market,
    Mode,
    Picture,
    Portion,
    PositionModel,
    RequestError,
    Selection,
    Theme,
    TimeWindow,
    TopN,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

STALE: Final = "This button is too old; run /liqmap again, please."

# Any whole second would do. It is fixed, because specs are keys: those of one map have to be equal.
ANY_END: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""Where the windows of all specs end; it means nothing."""

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
# These letters and the form of the code are in the buttons of old messages: add to them, never change them.
_MODES = {"t": Mode.TOP_N, "g": Mode.GROSS_VALUE, "p": Mode.PORTION}
EXCHANGES_BY_LETTER: Final = {row.letter: exchange for exchange, row in EXCHANGES.items()}
_MODELS = {row.letter: row.margin.model for row in EXCHANGES.values()} | {"s": MarginModel.SIMPLE}
_MODELS |= {"e": MarginModel.EXCHANGE}  # of several exchanges, each its own
_LEVELS = {"s": LevelFilter.STANDING, "a": LevelFilter.ALL}
THEMES_BY_LETTER: Final = {"d": Theme.DARK, "l": Theme.LIGHT}
_CHARTS = {"h": Picture.HEATMAP}
_NO_CHART = "-"
_CODE = re.compile(
    # Each part has a longest length, so that a forged id costs no time and makes no huge number.
    r"([a-z]{1,8})~([^~]{1,130})~([0-9a-z]{1,7})~([a-z])([0-9.e+-]{1,20})~([a-z])([a-z])([a-z])([a-z-])(o?)"
    r"~([0-9x.,e+-]{0,160})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class MapSpec:
    """A `MapRequest` whenever its window ends, so that the same map can be drawn again and again.

    The window of `request` only has the right length. It ends at the same time in all specs, so that those of
    the same map are equal.
    """

    request: MapRequest

    def __post_init__(self) -> None:
        object.__setattr__(self, "request", replace(self.ending(ANY_END), tables=False))

    @property
    def length(self) -> timedelta:
        """The length of the window."""
        return self.request.window.length

    def ending(self, end: datetime, *, levels_csv: bool = False) -> MapRequest:
        """Return the request for the window that ends at `end`."""
        return replace(self.request, window=TimeWindow.ending(end, self.length), levels_csv=levels_csv)

    def lasting(self, length: timedelta) -> MapSpec:
        """Return the spec with a window of another length."""
        return MapSpec(replace(self.request, window=TimeWindow.ending(ANY_END, length)))

    def on(self, markets: tuple[Market, ...], *, model: MarginModel) -> MapSpec:
        """Return the spec for other markets; what depends on their number is as usual for them."""
        return MapSpec(replace(self.request, markets=markets, model=model, merge=None, stack=None))


def encode_spec(spec: MapSpec) -> str:
    """Return `spec` as a short text of printable characters, usually about 30."""
    request = spec.request
    return "~".join(
        (
            "".join(letter_of(EXCHANGES_BY_LETTER, each.exchange) for each in request.markets),
            _encode_symbols(request),
            encode_number(int(spec.length.total_seconds())),
            f"{letter_of(_MODES, request.selection.mode)}{request.selection.value:.12g}",
            _encode_flags(request),
            _encode_leverages(request),
        )
    )


def decode_spec(code: str) -> MapSpec:
    """Return the spec that `encode_spec` has written. Raises RequestError for anything else."""
    found = _CODE.fullmatch(code)
    try:
        if not found:
            raise KeyError(code)  # noqa: TRY301 - reported below, with everything else that does not fit
        letters, symbols, length, mode, value, *flags, leverages = found.groups()
        model, levels, theme, chart, positions = flags
        chosen, weights = _decode_leverages(leverages)
        return MapSpec(
            MapRequest(
                markets=_markets(letters, symbols.split(",")),
                window=TimeWindow.ending(ANY_END, timedelta(seconds=decode_number(length))),
                selection=_selection(_MODES[mode], value),
                leverages=chosen,
                weights=weights,
                model=_MODELS[model],
                levels=_LEVELS[levels],
                theme=THEMES_BY_LETTER[theme],
                pictures=PICTURES if chart == _NO_CHART else PICTURES | {_CHARTS[chart]},
                positions=PositionModel.OPEN_INTEREST if positions else PositionModel.TRADES,
            )
        )
    except (KeyError, ValueError, OverflowError) as error:
        raise RequestError(STALE) from error


def encode_number(number: int) -> str:
    """Return a number of at least 0 in base 36."""
    text = ""
    while number >= 36:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return _DIGITS[number] + text


def decode_number(text: str) -> int:
    """Return the number that `encode_number` has written. Raises ValueError."""
    return int(text, 36)


def _encode_flags(request: MapRequest) -> str:
    return (
        letter_of(_MODELS, request.model)
        + letter_of(_LEVELS, request.levels)
        + letter_of(THEMES_BY_LETTER, request.theme)
        + next((letter for letter, chart in _CHARTS.items() if chart in request.pictures), _NO_CHART)
        + ("o" if request.positions is PositionModel.OPEN_INTEREST else "")
    )


def _encode_symbols(request: MapRequest) -> str:
    """Return the symbol of all markets, or that of each where they differ."""
    symbols = [each.symbol for each in request.markets]
    return symbols[0] if len(set(symbols)) == 1 else ",".join(symbols)


def _markets(letters: str, symbols: list[str]) -> tuple[Market, ...]:
    every = symbols * len(letters) if len(symbols) == 1 else symbols
    pairs = zip(letters, every, strict=True)
    return tuple(Market(EXCHANGES_BY_LETTER[letter], symbol) for letter, symbol in pairs)


def _selection(mode: Mode, value: str) -> Selection:
    match mode:
        case Mode.TOP_N:
            return TopN(int(float(value)))
        case Mode.GROSS_VALUE:
            return GrossValue(float(value))
        case Mode.PORTION:
            return Portion(float(value))
        case _:  # pragma: no cover - the type checker proves that every mode is handled
            assert_never(mode)


def _encode_leverages(request: MapRequest) -> str:
    equal = set(request.weights) == {1.0}
    # Nothing stands for the usual ones: an id has only 100 characters, and the code shares them.
    if equal and request.leverages == LEVERAGES:
        return ""
    if equal:
        return ",".join(map(str, request.leverages))
    pairs = zip(request.leverages, request.weights, strict=True)
    return ",".join(f"{leverage}x{weight:.9g}" for leverage, weight in pairs)


def _decode_leverages(text: str) -> tuple[tuple[int, ...], tuple[float, ...]]:
    if not text:
        return LEVERAGES, ()
    pairs = [part.partition("x") for part in text.split(",")]
    leverages = tuple(int(leverage) for leverage, _, _ in pairs)
    return leverages, tuple(float(weight or 1) for _, _, weight in pairs)


def letter_of(letters: Mapping[str, object], value: object) -> str:
    """Return the letter that stands for `value`."""
    return next(letter for letter, each in letters.items() if each == value)
