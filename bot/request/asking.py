"""Turn a command's options into a spec, with the server's defaults for options left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, Unpack

from bot.request.due import Schedule, parse_interval
from bot.request.posted import ScanSpec
from bot.request.spec import ANY_END, MapSpec
from bot.request.times import (
    EVERY_DAY,
    MIDNIGHT,
    UTC_NAME,
    parse_days,
    parse_time_of_day,
    parse_time_zone,
)
from liqmap import (
    DEFAULT_EXCHANGE,
    EXCHANGES,
    PICTURES,
    LevelFilter,
    MapRequest,
    MarginModel,
    Market,
    Mode,
    Picture,
    PositionModel,
    ScanRequest,
    Selection,
    Theme,
    TimeWindow,
)
from liqmap.parsing import (
    DEFAULT_LEVERAGES,
    parse_distance,
    parse_exchanges,
    parse_leverages,
    parse_mode,
    parse_selection,
    parse_side,
    parse_symbol,
    parse_theme,
    parse_window,
)

if TYPE_CHECKING:
    from bot.request.defaults import GuildDefaults


class Words(TypedDict, total=False):
    """Options as they are typed. Those left out take the server's default, or else the bot's."""

    symbol: str
    window: str
    mode: str | None
    value: str | None
    exchange: str | None
    leverages: str | None
    theme: str | None


def build_spec(
    defaults: GuildDefaults,
    *,
    model: MarginModel = MarginModel.EXCHANGE,
    levels: LevelFilter = LevelFilter.STANDING,
    positions: PositionModel = PositionModel.TRADES,
    pictures: frozenset[Picture] = PICTURES,
    **words: Unpack[Words],
) -> MapSpec:
    """Return the spec that the options mean. Raises a RequestError that names the option."""
    leverages, weights = parse_leverages(words.get("leverages") or defaults.leverages or DEFAULT_LEVERAGES)
    exchanges = parse_exchanges(words.get("exchange") or defaults.exchange or DEFAULT_EXCHANGE)
    symbol, length = parse_symbol(words["symbol"]), parse_window(words["window"])
    return MapSpec(
        MapRequest(
            markets=tuple(Market(exchange, symbol) for exchange in exchanges),
            window=TimeWindow.ending(ANY_END, length),
            selection=_selection(words.get("mode"), words.get("value"), defaults),
            leverages=leverages,
            weights=weights,
            model=model,
            levels=levels,
            theme=parse_theme(words.get("theme") or defaults.theme or Theme.DARK),
            pictures=pictures,
            positions=positions,
        )
    )


def build_scan(
    defaults: GuildDefaults, *, exchange: str | None, side: str | None, distance: str, theme: str | None
) -> ScanSpec:
    """Return the scan that the options mean, of all exchanges unless one is named. Raises RequestError."""
    return ScanSpec(
        ScanRequest(
            ANY_END,
            # A map is of one exchange by default. A scan compares markets, so it begins with all.
            exchanges=frozenset(parse_exchanges(exchange) if exchange else EXCHANGES),
            side=parse_side(side),
            within=parse_distance(distance, example="5%"),
            theme=parse_theme(theme or defaults.theme or Theme.DARK),
        )
    )


def build_schedule(
    defaults: GuildDefaults, *, every: str, at: str | None, days: str | None, timezone: str | None
) -> Schedule:
    """Return when to post, in the server's time zone unless another is named. Raises RequestError."""
    return Schedule(
        parse_interval(every),
        MIDNIGHT if at is None else parse_time_of_day(at),
        EVERY_DAY if days is None else parse_days(days),
        # A stored zone was parsed when it was set, so only a typed one is parsed here.
        (defaults.timezone or UTC_NAME) if timezone is None else parse_time_zone(timezone),
    )


def check_defaults(defaults: GuildDefaults) -> None:
    """Raise a RequestError that names the option unless maps can be drawn with a server's defaults."""
    build_spec(defaults, symbol="BTCUSDT", window="1d", value=defaults.value)


def usual_selection(defaults: GuildDefaults) -> Selection:
    """Return which trades count where a server's commands do not say: those of its mode, else top_n 100.

    Raises RequestError that names the option.
    """
    return parse_selection(parse_mode(defaults.mode or Mode.TOP_N), defaults.value)


def _selection(mode: str | None, value: str | None, defaults: GuildDefaults) -> Selection:
    usual = parse_mode(defaults.mode or Mode.TOP_N)
    chosen = usual if mode is None else parse_mode(mode)
    # A server's value belongs to its mode.
    return usual_selection(defaults) if value is None and chosen is usual else parse_selection(chosen, value)
