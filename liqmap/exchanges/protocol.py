"""What an exchange publishes: the Protocols of its formats, and the values that they return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from liqmap.exchanges.thousands import other_counts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from datetime import date, timedelta
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from liqmap.exchanges.messages import Liquidation, RiskTier
    from liqmap.model import Hole, Trades
    from liqmap.model.series import Series
    from liqmap.model.window import TimeWindow


@dataclass(frozen=True, slots=True)
class Contract:
    """A kind of futures.

    `label` names it in titles, such as `Binance USD-M`. `first_day` is the first day that the exchange
    publishes for any symbol of the kind. Sizes of inverse contracts count contracts of `dollars` each.
    `has_brackets` is False if no leverage brackets of the kind are published.
    """

    label: str
    first_day: date
    inverse: bool = False
    dollars: float = 1.0
    has_brackets: bool = True


class Instrument(NamedTuple):
    """What a contract of an exchange that counts contracts is worth, and its highest leverage.

    `unit` is the base currency of one contract.
    """

    unit: float
    max_leverage: float


@dataclass(frozen=True, slots=True)
class DayFile:
    """Where one day's trades are published.

    Where there is no file at `url`, one at `instead` may hold the trades of all symbols.
    """

    url: str
    checksum_url: str | None
    instead: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class NumberedTrades:
    """Trades in the order of their ids, and those ids. If they `are_fills`, none are put together yet."""

    trades: Trades
    ids: NDArray[np.int64]
    are_fills: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class DayTrades:
    """The trades of one day out of an exchange's file, in time order, each once.

    `first_id` and `last_id` are the exchange's aggregate ids where it has such (Binance), `lost_ids`
    how many ids in between the file skips, `duplicates` how many repeated rows were dropped, `zero_sizes`
    how many rows of size 0. `holes` are the longest stretches in which ids are skipped. `outside` are trades
    of the neighbouring days that the file also has, if ids can show whether those days lack them.
    """

    trades: Trades
    first_id: int | None = None
    last_id: int | None = None
    lost_ids: int = 0
    duplicates: int = 0
    zero_sizes: int = 0
    holes: tuple[Hole, ...] = ()
    outside: NumberedTrades | None = None


class ExchangeFormat(Protocol):
    """The files in which an exchange publishes its trades day by day."""

    def day_file(self, base_url: str, symbol: str, day: date) -> DayFile:
        """Return where `symbol`'s trades of `day` are published below `base_url`."""

    def span(self, day: date) -> TimeWindow:
        """Return the 24 hours that the file of `day` covers: an exchange's day need not be that of UTC."""

    def read_day(self, path: Path, symbol: str, day: date, *, max_unpacked_size: int) -> DayTrades:
        """Parse a downloaded day file.

        Raises DataError naming the file and what was found, if it is not that market's day.
        """


class LiquidationFiles(Protocol):
    """The files in which an exchange publishes liquidations day by day.

    `complete` says whether they have every liquidation or only a sample.
    """

    complete: bool

    def day_file(self, base_url: str, symbol: str, day: date) -> DayFile | None:
        """Return where `symbol`'s liquidations of `day` are published, None if those of its kind are not."""

    def read_day(
        self, path: Path, symbol: str, day: date, *, max_unpacked_size: int
    ) -> tuple[Liquidation, ...]:
        """Return a day file's liquidations in time order, each once. Raises DataError naming the file."""


class Paged(Protocol):
    """An answer of an exchange's REST API that comes in pages."""

    def first_urls(self, base_url: str) -> tuple[str, ...]:
        """Return the addresses of the first page of each part below `base_url`."""

    def next_url(self, url: str, answer: object) -> str | None:
        """Return the address of the page after `url`, whose answer this is; None after the last page."""


class Spellings(NamedTuple):
    """The symbols that a word may mean at an exchange.

    `names` begins with the word as it stands; the likeliest follow first. `default` is the usual meaning,
    for when it is not known which of them exist. `counts` are symbols that count the same coin otherwise,
    such as by the thousand: they are meant if all symbols are known, and none of `names` is among them.
    """

    names: tuple[str, ...]
    default: str
    counts: tuple[str, ...] = ()

    @classmethod
    def of(cls, names: Iterable[str], *, default: str) -> Self:
        """Return spellings with each name once."""
        return cls(tuple(dict.fromkeys(names)), default, other_counts(default))


class ListingFormat(Paged, Protocol):
    """How an exchange names its symbols, and the pages on which it lists them.

    `lists_inverse` is False if inverse contracts are listed at another address, which is not read.
    """

    lists_inverse: bool

    def read(self, answer: object) -> frozenset[str]:
        """Return the symbols of a page that trade now. Raises DataError if it is not such a page."""

    def spellings(self, word: str) -> Spellings:
        """Return what `word` may mean here, such as BTC, BTC-USDT, BTCUSDTPERP or BTCUSD_PERP."""


class VolumeFormat(Protocol):
    """The answer of an exchange's REST API about the volume that its contracts traded within the last day.

    `weight` is the weight of the request.
    """

    weight: int

    def url(self, base_url: str) -> str:
        """Return the address of the volumes below `base_url`."""

    def read(self, answer: object) -> Mapping[str, float]:
        """Return the notional [quote currency] that each symbol traded, as far as rows can be read.

        Raises DataError if it is not such an answer.
        """


class RiskLimitFormat(Protocol):
    """The pages on which an exchange publishes its symbols' leverage brackets without an account.

    `weight` is the weight of a request.
    """

    weight: int

    def first_urls(self, base_url: str, symbols: Collection[str]) -> tuple[str, ...]:
        """Return the addresses of the first page of each part, which together have all `symbols`."""

    def next_url(self, url: str, answer: object) -> str | None:
        """Return the address of the page after `url`, which answered this; None after the last page."""

    def symbol_url(self, base_url: str, symbol: str) -> str:
        """Return the address of the brackets of `symbol` alone."""

    def read(self, answer: object) -> Mapping[str, tuple[RiskTier, ...] | None]:
        """Return the tiers of each symbol of a page, None where they cannot be read.

        Raises DataError if it is not such a page.
        """


class InstrumentFormat(Paged, Protocol):
    """The pages on which an exchange that counts contracts says what one of each symbol is."""

    def read(self, answer: object) -> Mapping[str, Instrument]:
        """Return the instruments of a page by symbol. Raises DataError if it is no such page."""


class SeriesFiles(Protocol):
    """The files in which an exchange publishes a series day by day."""

    def day_file(self, base_url: str, symbol: str, day: date) -> DayFile:
        """Return where the series of a day is published below `base_url`."""

    def read_day(self, path: Path, symbol: str, day: date, *, max_unpacked_size: int) -> Series:
        """Parse a downloaded file: the rows of that day, each once.

        Raises DataError naming the file and what was found, if it is not that market's day.
        """


class SeriesPages(Protocol):
    """The pages of a series in an exchange's REST API.

    `reach` is how far back they go, None if there is no limit. `page_rows` is the most rows of a page.
    """

    reach: timedelta | None
    page_rows: int

    def weight(self, rows: int) -> int:
        """Return the request weight of a page of so many rows."""

    def page_url(self, base_url: str, symbol: str, window: TimeWindow) -> str:
        """Return the address of the rows of `window`, which has at most `page_rows` steps."""

    def read_page(self, answer: object, symbol: str) -> Series:
        """Return the rows of a page, perhaps outside the window. Raises DataError if it cannot be read."""


@dataclass(frozen=True, slots=True)
class SeriesFormat:
    """How an exchange publishes one kind of series: by files, by REST, or both.

    `pages_of` says whether REST has the series of a symbol.
    """

    files: SeriesFiles | None
    pages: SeriesPages | None
    pages_of: Callable[[str], bool] = lambda _: True


class TimeFormat(Protocol):
    """The answer of an exchange's REST API about its own time."""

    def url(self, base_url: str) -> str:
        """Return the address of the time below `base_url`."""

    def read(self, answer: object) -> int:
        """Return the time [ms since 1970]. Raises DataError if there is none."""
