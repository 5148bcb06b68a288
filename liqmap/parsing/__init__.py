"""Turn the words that people type into values of the model, the same words in all commands."""

from liqmap.parsing.choices import (
    parse_chart,
    parse_levels,
    parse_model,
    parse_pictures,
    parse_positions,
    parse_side,
    parse_stack,
    parse_sweep,
    parse_theme,
)
from liqmap.parsing.markets import (
    ALL_EXCHANGES,
    POPULAR_SYMBOLS,
    complete_symbol,
    exchanges_word,
    parse_exchange,
    parse_exchanges,
    parse_symbol,
)
from liqmap.parsing.numbers import (
    DEFAULT_LEVERAGES,
    DEFAULT_VALUES,
    WEIGHTED_LEVERAGES,
    parse_distance,
    parse_leverages,
    parse_mode,
    parse_selection,
    parse_turnover,
)
from liqmap.parsing.plain import quoted
from liqmap.parsing.times import COMMON_WINDOWS, check_request, parse_end, parse_window

__all__ = [
    "ALL_EXCHANGES",
    "COMMON_WINDOWS",
    "DEFAULT_LEVERAGES",
    "DEFAULT_VALUES",
    "POPULAR_SYMBOLS",
    "WEIGHTED_LEVERAGES",
    "check_request",
    "complete_symbol",
    "exchanges_word",
    "parse_chart",
    "parse_distance",
    "parse_end",
    "parse_exchange",
    "parse_exchanges",
    "parse_levels",
    "parse_leverages",
    "parse_mode",
    "parse_model",
    "parse_pictures",
    "parse_positions",
    "parse_selection",
    "parse_side",
    "parse_stack",
    "parse_sweep",
    "parse_symbol",
    "parse_theme",
    "parse_turnover",
    "parse_window",
    "quoted",
]
