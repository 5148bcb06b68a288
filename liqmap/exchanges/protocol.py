"""The Protocol that an exchange module satisfies, and the values it hands over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from liqmap.model import Trades


@dataclass(frozen=True, slots=True)
class Contract:
    """What kind of future a symbol is.

    `label` names its market in titles, such as `Binance USD-M`; `first_day` is the first that the exchange
    publishes for any symbol of that market. Sizes of inverse contracts count contracts of `dollars` each.
    """

    label: str
    first_day: date
    inverse: bool = False
    dollars: float = 1.0


@dataclass(frozen=True, slots=True)
class DayFile:
    """Where one day's trades are published."""

    url: str
    checksum_url: str | None


@dataclass(frozen=True, slots=True, eq=False)
class DayTrades:
    """The trades of one UTC day out of an exchange's file, in time order, each once.

    `first_id` and `last_id` are the exchange's aggregate ids where it has such (Binance), `lost_ids`
    how many ids in between the file skips, `duplicates` how many repeated rows were dropped.
    """

    trades: Trades
    first_id: int | None = None
    last_id: int | None = None
    lost_ids: int = 0
    duplicates: int = 0


class ExchangeFormat(Protocol):
    """Facts and parsers of one exchange; opens no socket."""

    def contract(self, symbol: str) -> Contract:
        """Return what kind of future `symbol` is, as its name tells."""

    def spelled(self, symbol: str) -> str:
        """Return `symbol` as this exchange spells it: BTCUSD_PERP and BTCUSD are the same contract."""

    def day_file(self, base_url: str, symbol: str, day: date) -> DayFile:
        """Return where `symbol`'s trades of `day` are published below `base_url`."""

    def read_day(self, path: Path, symbol: str, day: date, *, max_unpacked_size: int) -> DayTrades:
        """Parse a downloaded day file.

        Raises DataError naming the file and what was found, if it is not that market's day.
        """
