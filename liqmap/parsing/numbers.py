"""Parse the options that choose and weigh trades: modes with their values, leverages, turnover."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from liqmap.errors import RequestError
from liqmap.model import (
    LEVERAGES,
    TURNOVERS,
    GrossValue,
    Mode,
    Portion,
    Selection,
    TopN,
)
from liqmap.parsing.plain import plain, quoted

DEFAULT_VALUES: Final = {Mode.TOP_N: "100", Mode.GROSS_VALUE: "100k", Mode.PORTION: "1%"}
"""A mode's value if none is given."""

DEFAULT_LEVERAGES: Final = ",".join(map(str, LEVERAGES))
"""The default leverages, as people type them."""

WEIGHTED_LEVERAGES: Final = "10:35,25:30,50:20,100:15"
"""An example of leverages with weights."""

_MODES = {
    **dict.fromkeys(("top_n", "topn", "top"), Mode.TOP_N),
    **dict.fromkeys(("gross_value", "grossvalue", "gross", "value"), Mode.GROSS_VALUE),
    **dict.fromkeys(("portion", "share", "percent"), Mode.PORTION),
}
_SCALES = {"": 0, "k": 3, "m": 6, "b": 9, "%": -2}
# Limited digits, so that a hostile number costs nothing. ASCII, because \d matches digits of every script.
_NUMBER = re.compile(r"(\d{1,15}(?:\.\d{1,15})?|\.\d{1,15})([kmb]?)(%?)", re.ASCII)
_LEVERAGE = re.compile(r"(\d{1,3})x?(?::(\d{1,6}(?:\.\d{1,6})?)%?)?", re.ASCII)
_MOST_LEVERAGES = 8


def parse_mode(text: str) -> Mode:
    """Return the mode that a word means. Raises RequestError."""
    word = plain(text, "mode").lower()
    mode = _MODES.get(word.replace("-", "_").replace(" ", "_"))
    if mode is None:
        # The usual mistake: the value without its mode.
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
    word = re.sub(r"[\s,_$]|usd[tc]?$", "", plain(text, "value").lower())
    found = _NUMBER.fullmatch(word)
    if not found or (found[3] and mode is not Mode.PORTION):
        raise RequestError(f"The value {quoted(text)} does not fit {mode}; try {DEFAULT_VALUES[mode]}.")
    # As Decimal, because a float times a million is not always the number that was typed.
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


def parse_distance(text: str, *, farthest: float = 1.0, example: str) -> float:
    """Return a distance from the price as a share: `1%` and `1` are both a hundredth. Raises RequestError."""
    # A bare number is a percentage here, other than in `portion`: nobody means a distance of the whole price.
    try:
        chosen = parse_selection(Mode.PORTION, text if "%" in text else f"{text}%")
    except RequestError:
        chosen = None
    if not isinstance(chosen, Portion) or not chosen.fraction <= farthest:
        raise RequestError(
            f"The distance is a share of the price, above 0 and up to {farthest:.0%}; try {example}."
        )
    return chosen.fraction


def parse_leverages(text: str) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return leverages, ascending, and their weights: `10,25,50,100`, or `10:35, 25:30, 50:20, 100:15`.

    Without weights, all leverages weigh the same. Raises RequestError.
    """
    parts = plain(text, "leverages").lower().replace(" ", "").split(",")
    found = [_LEVERAGE.fullmatch(part) for part in parts]
    if not all(found):
        raise _wrong_part(next(part for part, match in zip(parts, found, strict=True) if not match), text)
    if len(parts) > _MOST_LEVERAGES:
        raise RequestError(f"At most {_MOST_LEVERAGES} leverages are drawn, and these are {len(parts)}.")
    weights = {int(each[1]): float(each[2] or 1) for each in found if each}
    if len(weights) != len(parts):
        raise RequestError(f"The leverages {quoted(text)} have one of them twice; give each once.")
    leverages = tuple(sorted(weights))
    return leverages, tuple(weights[leverage] for leverage in leverages)


def _wrong_part(part: str, text: str) -> RequestError:
    """Return the error for a part of the leverages `text`: about its weight, if its leverage is right."""
    leverage, _, weight = part.partition(":")
    if weight and _LEVERAGE.fullmatch(leverage):
        return RequestError(
            f"The weight {quoted(weight)} of leverage {leverage} must be a plain number above 0;"
            f" try {WEIGHTED_LEVERAGES}."
        )
    return RequestError(
        f"The leverages {quoted(text)} must be whole numbers up to 150, with or without weights; try"
        f" {DEFAULT_LEVERAGES} or {WEIGHTED_LEVERAGES}."
    )


def parse_turnover(text: str) -> float:
    """Return the part of the offsetting volume that counts as turnover. Raises RequestError."""
    try:
        turnover = float(plain(text, "turnover"))
    except ValueError:
        turnover = -1.0
    if turnover not in TURNOVERS:
        raise RequestError(f"The turnover {quoted(text)} is not known; try 0, 0.5 or 1.")
    return turnover
