"""Turn a command's options into a spec, with the server's defaults for options left out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypedDict, Unpack

from bot.request.spec import MapSpec
from liqmap import (
    DEFAULT_EXCHANGE,
    PICTURES,
    LevelFilter,
    MarginModel,
    Market,
    Mode,
    Picture,
    Selection,
    Theme,
)
from liqmap.parsing import (
    DEFAULT_LEVERAGES,
    parse_exchange,
    parse_leverages,
    parse_mode,
    parse_selection,
    parse_symbol,
    parse_theme,
    parse_window,
)

if TYPE_CHECKING:
    from bot.request.defaults import GuildDefaults


class Words(TypedDict, total=False):
    """Options as they are typed; what is left out is the server's default, else the bot's."""

    symbol: str
    window: str
    mode: str
    value: str | None
    exchange: str | None
    leverages: str | None
    theme: str | None


def build_spec(
    defaults: GuildDefaults,
    *,
    model: MarginModel = MarginModel.EXCHANGE,
    levels: LevelFilter = LevelFilter.STANDING,
    pictures: frozenset[Picture] = PICTURES,
    **words: Unpack[Words],
) -> MapSpec:
    """Return what is asked for. Raises RequestError that names the option."""
    leverages, weights = parse_leverages(words.get("leverages") or defaults.leverages or DEFAULT_LEVERAGES)
    exchange = parse_exchange(words.get("exchange") or defaults.exchange or DEFAULT_EXCHANGE)
    symbol, length = parse_symbol(words["symbol"]), parse_window(words["window"])
    return MapSpec(
        markets=(Market(exchange, symbol),),
        length=length,
        selection=_selection(words["mode"], words.get("value"), defaults),
        leverages=leverages,
        weights=weights,
        model=model,
        levels=levels,
        theme=parse_theme(words.get("theme") or defaults.theme or Theme.DARK),
        pictures=pictures,
    )


def check_defaults(defaults: GuildDefaults) -> None:
    """Raise RequestError that names the option unless maps can be drawn with a server's defaults."""
    mode = defaults.mode or Mode.TOP_N
    spec = build_spec(defaults, symbol="BTCUSDT", window="1d", mode=mode, value=defaults.value)
    # A request checks what it is made of, whenever its window ends.
    spec.ending(datetime(2026, 1, 1, tzinfo=UTC))


def _selection(mode: str, value: str | None, defaults: GuildDefaults) -> Selection:
    chosen = parse_mode(mode)
    if value is None and defaults.mode == chosen:
        value = defaults.value
    return parse_selection(Mode(chosen), value)
