"""Markets, and the trades on them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from liqmap.errors import RequestError
from liqmap.model.exact import rounded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


# Exchanges list non-ASCII symbols too. Characters with a meaning in paths or URLs must never pass.
_SYMBOL = re.compile(r"[^\W_]+(?:[_-][^\W_]+)*")


class Exchange(StrEnum):
    """A futures exchange whose trades can be drawn."""

    # In the order in which they are shown; in a map of all exchanges, the first is the reference.
    BINANCE = "binance"
    BYBIT = "bybit"
    OKX = "okx"


DEFAULT_EXCHANGE: Final = Exchange.BINANCE
"""The exchange of a request that names none."""


class Side(StrEnum):
    """The taker's side of a trade: `BUY` opens a long, `SELL` a short."""

    BUY = "buy"
    SELL = "sell"


@dataclass(frozen=True, slots=True)
class Market:
    """One contract at one exchange."""

    exchange: Exchange
    symbol: str

    def __post_init__(self) -> None:
        # The text "binance" equals the member but is not identical to it, so `is` would miss it later.
        if type(self.exchange) is not Exchange:
            raise RequestError(
                f"{self.exchange!r:.40} is not an Exchange; use Exchange.BINANCE, for example."
            )
        symbol = str(self.symbol)
        if not _SYMBOL.fullmatch(symbol) or len(symbol) > 40 or symbol != symbol.upper():
            raise RequestError("A symbol is letters and digits, such as BTCUSDT.")


# Without `==`: arrays compare by element, which is no answer to whether two values are equal.
@dataclass(frozen=True, slots=True, eq=False)
class Trades:
    """Trades as arrays of one length: time int64 [ms since 1970], price and size float64, is_buy bool.

    Sizes are in base currency or, of inverse contracts, in US dollars.
    """

    time: NDArray[np.int64]
    price: NDArray[np.float64]
    size: NDArray[np.float64]
    is_buy: NDArray[np.bool_]
    inverse: bool = False

    def __post_init__(self) -> None:
        if not len(self.time) == len(self.price) == len(self.size) == len(self.is_buy):
            raise ValueError("the arrays of Trades differ in length")

    def __len__(self) -> int:
        return len(self.time)

    @property
    def notional(self) -> NDArray[np.float64]:
        """What the trades are worth in quote currency, from `notional_of`."""
        return notional_of(self.price, self.size, inverse=self.inverse)


def notional_of(
    price: NDArray[np.float64], size: NDArray[np.float64], *, inverse: bool
) -> NDArray[np.float64]:
    """Return what trades are worth in quote currency: price × size, or the size of inverse contracts.

    Rounded to twelve digits, because it is compared with a typed threshold: 0.57 × 100 must be 57.
    """
    return size if inverse else rounded(price * size)
