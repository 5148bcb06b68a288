"""What to suggest while somebody types an option: what they type, if it is valid, and what begins like it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from bot.request.times import COMMON_ZONES, parse_days, parse_time_of_day
from bot.request.times import time_zones as known_zones
from liqmap import DEFAULT_EXCHANGE, EXCHANGES, Mode, RequestError
from liqmap.parsing import (
    COMMON_WINDOWS,
    DEFAULT_LEVERAGES,
    DEFAULT_VALUES,
    parse_end,
    parse_exchange,
    parse_leverages,
    parse_mode,
    parse_selection,
    parse_symbol,
    parse_window,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from bot.request.defaults import GuildDefaults
    from bot.request.symbols import Symbols
    from liqmap import Exchange

Meaning = TypeVar("Meaning")
Suggest: TypeAlias = "Callable[[Typed], list[str]]"

_MOST: Final = 25  # Discord refuses more
_LONGEST: Final = 100  # characters of a suggestion, likewise
_CONTRACTS: Final = re.compile(r"(?:USD[TC]?|BUSD)?(?:PERP|SWAP)?")
_MULTIPLE: Final = re.compile(r"^(?:10+|1M)(?=[A-Z])")  # 1000SHIBUSDT is a contract of SHIB
_COMMON_VALUES: Final = {
    Mode.TOP_N: ("50", DEFAULT_VALUES[Mode.TOP_N], "250", "1000"),
    Mode.GROSS_VALUE: ("50k", DEFAULT_VALUES[Mode.GROSS_VALUE], "250k", "1m"),
    Mode.PORTION: ("0.1%", DEFAULT_VALUES[Mode.PORTION], "5%"),
}
_VALUE_ENDINGS: Final = {
    Mode.TOP_N: ("", "0", "00"),
    Mode.GROSS_VALUE: ("", "k", "0k", "00k", "m"),
    Mode.PORTION: ("", "%"),
}
_COMMON_LEVERAGES: Final = (DEFAULT_LEVERAGES, "5,10,20", "50,75,100,125", "10:35,25:30,50:20,100:15")
_DAYS_BACK: Final = 7
_FAR: Final = 4  # the rank of what does not contain what is typed


@dataclass(frozen=True, slots=True)
class Typed:
    """What is known while somebody types: the `text` so far, and the options that are `chosen` already."""

    text: str
    chosen: Mapping[str, object]
    defaults: GuildDefaults
    symbols: Symbols
    now: datetime
    max_days: int

    @property
    def exchange(self) -> Exchange:
        """The exchange that is chosen, else the server's, else the usual one."""
        words = (self.chosen.get("exchange"), self.defaults.exchange)
        return _first_meaning(parse_exchange, words, else_=DEFAULT_EXCHANGE)

    @property
    def mode(self) -> Mode:
        """The mode that is chosen, else the server's, else the usual one."""
        return _first_meaning(parse_mode, (self.chosen.get("mode"), self.defaults.mode), else_=Mode.TOP_N)


def symbols(typed: Typed) -> list[str]:
    """Return what the exchange lists and has the text in its name.

    Contracts of just that coin come first, then names that begin with the text, each in the order in which
    they are offered.
    """
    offered, word = typed.symbols.offered(typed.exchange), _letters(typed.text)
    if not word:
        return [] if typed.text.strip() else list(offered[:_MOST])
    ranks = ((_rank(_letters(symbol), word), place) for place, symbol in enumerate(offered))
    # Of equal rank, the order in which they are offered stays: the most traded first.
    found = [offered[place] for rank, place in sorted(ranks) if rank < _FAR][:_MOST]
    return found or [name for name in _spellings(typed) if name in offered]


def _spellings(typed: Typed) -> tuple[str, ...]:
    """Return what a whole symbol means that is written as the exchange itself does: BTC-USDT-SWAP."""
    try:
        return EXCHANGES[typed.exchange].listing.spellings(parse_symbol(typed.text)).names
    except RequestError:
        return ()


def windows(typed: Typed) -> list[str]:
    """Return lengths of windows that may be drawn."""

    def is_valid(text: str) -> bool:
        return parse_window(text) <= timedelta(days=typed.max_days)

    return _suggested(typed.text, COMMON_WINDOWS, endings=("", "h", "d", "m"), is_valid=is_valid)


def values(typed: Typed) -> list[str]:
    """Return values of the mode."""
    mode = typed.mode
    return _suggested(
        typed.text,
        _COMMON_VALUES[mode],
        endings=_VALUE_ENDINGS[mode],
        is_valid=lambda text: parse_selection(mode, text) is not None,
    )


def leverages(typed: Typed) -> list[str]:
    """Return lists of leverages."""
    return _suggested(typed.text, _COMMON_LEVERAGES, is_valid=lambda text: parse_leverages(text) is not None)


def ends(typed: Typed) -> list[str]:
    """Return past times in UTC: the hour, midnights, and the months, days or hours that the text begins."""
    now, text = typed.now, typed.text.strip().lower().replace("t", " ")
    hour = now.replace(minute=0, second=0, microsecond=0)
    midnight = hour.replace(hour=0)
    common = [hour, *(midnight - timedelta(days=back) for back in range(_DAYS_BACK))]
    known = [f"{moment:%Y-%m-%d %H:%M}" for moment in common] + _times_within(text)
    return _suggested(text, known, is_valid=lambda each: parse_end(each, now=now) <= now)


def time_zones(typed: Typed) -> list[str]:
    """Return time zones with the text in their names; common ones before anything is typed."""
    word = "_".join(typed.text.lower().split())
    if not word:
        return list(COMMON_ZONES)
    named = [(key, name) for key, name in known_zones().items() if word in key]
    # A city that begins with the text comes first; of equals, the common ones.
    named.sort(key=lambda each: not each[0].rpartition("/")[2].startswith(word))
    return [name for _, name in named[:_MOST]]


def times_of_day(typed: Typed) -> list[str]:
    """Return times of day: what is typed, and the hours and halves that begin like it."""
    hours = [f"{hour:02d}:{minute}" for minute in ("00", "30") for hour in (*range(7, 24), *range(7))]
    return _suggested(typed.text, hours, is_valid=lambda text: parse_time_of_day(text) is not None)


def weekdays(typed: Typed) -> list[str]:
    """Return sets of weekdays: what is typed, and common ones."""
    common = ("mon-fri", "sat,sun", "daily", "mon", "tue", "wed", "thu", "fri", "sat", "sun", "mon,wed,fri")
    return _suggested(typed.text, common, is_valid=lambda text: bool(parse_days(text)))


def suggested_lengths(common: tuple[str, ...], *, shortest: timedelta, longest: timedelta) -> Suggest:
    """Return what suggests lengths of time between two."""

    def suggest(typed: Typed) -> list[str]:
        return _suggested(
            typed.text,
            common,
            endings=("", "m", "h", "d"),
            is_valid=lambda text: shortest <= parse_window(text) <= longest,
        )

    return suggest


def suggested_values(mode: Mode, common: tuple[str, ...], *, endings: tuple[str, ...]) -> Suggest:
    """Return what suggests `common` values of a mode, and what is typed with each of the `endings`."""

    def is_valid(text: str) -> bool:
        return text.endswith(endings) and parse_selection(mode, text) is not None

    return lambda typed: _suggested(typed.text, common, endings=endings, is_valid=is_valid)


def _rank(letters: str, word: str) -> int:
    """Return how near a symbol is to what is typed, 0 if it is the same, `_FAR` if it does not contain it."""
    coin = _MULTIPLE.sub("", letters)
    if letters == word:
        return 0
    if any(name.startswith(word) and _CONTRACTS.fullmatch(name[len(word) :]) for name in (letters, coin)):
        return 1
    if letters.startswith(word) or coin.startswith(word):
        return 2
    return 3 if word in letters else _FAR


def _letters(text: str) -> str:
    # Whole symbols may be written as other programs do: BTCUSDT.P, BTC/USDT:USDT.
    word = _first_meaning(parse_symbol, (text,), else_=text.upper())
    return "".join(filter(str.isalnum, word))


def _times_within(text: str) -> list[str]:
    """Return the first days of a year's months, a month's days at midnight, or a day's hours."""
    found = re.match(r"(\d{4})-?(\d\d)?(-\d\d)?", text, re.ASCII)
    if found is None:
        return []
    year, month, day = found.groups()
    if month is None:
        return [f"{year}-{each:02d}-01 00:00" for each in range(1, 13)]
    if day is None:
        return [f"{year}-{month}-{each:02d} 00:00" for each in range(1, 32)]
    return [f"{year}-{month}{day} {each:02d}:00" for each in range(24)]


def _suggested(
    text: str, common: Iterable[str], *, is_valid: Callable[[str], bool], endings: tuple[str, ...] = ()
) -> list[str]:
    """Return what is valid of the text, of the text with `endings`, and of `common` that begins like it."""
    word = text.strip().lower()
    typed = [f"{word}{ending}" for ending in ("", *endings)] if word else []
    known = [*typed, *(each for each in common if each.lower().startswith(word))]
    return [each for each in dict.fromkeys(known) if len(each) <= _LONGEST and _holds(is_valid, each)][:_MOST]


def _holds(is_valid: Callable[[str], bool], text: str) -> bool:
    try:
        return is_valid(text)
    except RequestError:
        return False


def _first_meaning(parse: Callable[[str], Meaning], words: Iterable[object], *, else_: Meaning) -> Meaning:
    for word in words:
        try:
            if isinstance(word, str):
                return parse(word)
        except RequestError:
            continue
    return else_
