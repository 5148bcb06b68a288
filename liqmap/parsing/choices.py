"""Parse choices: side, theme, margin model, levels, positions, sweeping price, pictures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from liqmap.errors import RequestError
from liqmap.model import (
    CHARTS,
    PICTURES,
    LevelFilter,
    MarginModel,
    Picture,
    PositionModel,
    Side,
    Stack,
    SweepPrice,
    Theme,
)
from liqmap.parsing.plain import one_of, plain, quoted

_SIDES: Final = {"long": Side.BUY, "short": Side.SELL}


def parse_side(text: str | None) -> Side | None:
    """Return the side whose trades open `long` or `short` positions; None means both. Raises RequestError."""
    if text is None:
        return None
    side = _SIDES.get(plain(text, "side").lower())
    if side is None:
        raise RequestError("The side is “long” or “short”; leave it out for both.")
    return side


def parse_stack(text: str) -> Stack:
    """Return what bars are stacked by. Raises RequestError."""
    return one_of(Stack, text, "stack")


def parse_theme(text: str) -> Theme:
    """Return the theme of that name. Raises RequestError."""
    return one_of(Theme, text, "theme")


def parse_model(text: str) -> MarginModel:
    """Return the margin model of that name. Raises RequestError."""
    return one_of(MarginModel, text, "model")


def parse_levels(text: str) -> LevelFilter:
    """Return which levels a map shows. Raises RequestError."""
    return one_of(LevelFilter, text, "levels")


def parse_positions(text: str) -> PositionModel:
    """Return the position model of that name. Raises RequestError."""
    # The name has a hyphen; people write an underscore as well, as in gross_value.
    return one_of(PositionModel, plain(text, "positions").replace("_", "-"), "positions")


def parse_sweep(text: str) -> SweepPrice:
    """Return which price sweeps levels. Raises RequestError."""
    return one_of(SweepPrice, text, "sweep")


def parse_chart(text: str | None) -> frozenset[Picture]:
    """Return the pictures to draw; a chart is drawn in addition to the usual ones. Raises RequestError."""
    if text is None:
        return PICTURES
    # Map and depth are always drawn, so they are not among the charts to choose.
    word = plain(text, "chart").lower()
    chart = next((each for each in CHARTS if each == word), None)
    if chart is None:
        raise RequestError(
            f"The chart {quoted(text)} is not known; try {' or '.join(CHARTS)}, or leave it out."
        )
    return PICTURES | {chart}


def parse_pictures(pictures: object) -> frozenset[Picture]:
    """Return the pictures of a list such as `map,heatmap`, or of several names, at least one.

    Raises RequestError.
    """
    if isinstance(pictures, Iterable) and not isinstance(pictures, str):
        names = [plain(name, "picture") for name in pictures]
    else:
        names = plain(pictures, "pictures").lower().split(",")
    if not names:
        raise RequestError(f"A map needs a picture at least; choose among {', '.join(Picture)}.")
    found = [next((each for each in Picture if each == name.strip()), None) for name in names]
    if None in found:
        unknown = names[found.index(None)]
        raise RequestError(f"The picture {quoted(unknown)} is not known; choose among {', '.join(Picture)}.")
    return frozenset(each for each in found if each is not None)
