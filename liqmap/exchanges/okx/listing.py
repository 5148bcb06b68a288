"""Which linear swaps OKX lists, how it names them, and what one contract of each is.

Source: OKX's documentation of its API v5, Get instruments; answers recorded in 2022 and in September 2026.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from liqmap.exchanges.fields import LEAST_SIZE, MOST
from liqmap.exchanges.listed import listed_symbols
from liqmap.exchanges.okx.names import symbol_of_swap
from liqmap.exchanges.okx.pages import rows_of
from liqmap.exchanges.protocol import Instrument, Spellings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_WHAT = "its symbols"
_PERPETUAL: Final = re.compile(r"(?<=.)(?:PERP|SWAP)$")
# BTCUSDT; also what is not drawn here and must not become that: inverse BTC-USD-SWAP, dated BTC-USDT-260327.
_WHOLE: Final = re.compile(r"[^\W_]+(?:USDT|USDC|USD)|[^\W_]+-USD[TC]?-\d{6}")
_MOST_LEVERAGE = 1000


class _Instruments:
    """The one page of swaps."""

    def first_urls(self, base_url: str) -> tuple[str, ...]:
        """Return the address of the list."""
        return (f"{base_url}/api/v5/public/instruments?instType=SWAP",)

    def next_url(self, url: str, answer: object) -> str | None:  # noqa: ARG002 - there is one page
        """Return None: the first page is the whole list."""
        return None


class OkxListing(_Instruments):
    """The list of linear swaps; inverse ones are left out."""

    lists_inverse = False

    def read(self, answer: object) -> frozenset[str]:
        """Return the symbols of linear swaps. Raises DataError if this is no list.

        A row::

            {"instId":"BTC-USDT-SWAP","instType":"SWAP","instFamily":"BTC-USDT","ctType":"linear",
             "ctVal":"0.01","ctMult":"1","ctValCcy":"BTC","settleCcy":"USDT","lever":"100","lotSz":"0.01",
             "minSz":"0.01","tickSz":"0.1","state":"live","listTime":"1573557408000"}
        """
        rows = [each for row in rows_of(answer, what=_WHAT) for each in _named(row)]
        return listed_symbols(rows, status="live", exchange="OKX")

    def spellings(self, word: str) -> Spellings:
        """Return what `word` may mean: itself, less separators, PERP and SWAP, a USDT contract, one coin."""
        joined = re.sub(r"[-_]", "", word)
        coin = _PERPETUAL.sub("", joined)
        names = [word, joined, f"{joined}USDT"]
        whole = next((name for name in (coin, joined, word) if _WHOLE.fullmatch(name)), None)
        default = f"{coin}USDT" if whole is None else whole
        return Spellings.of([*names, coin, default], default=default)


class OkxInstruments(_Instruments):
    """The same list, read for what a contract of each swap is."""

    def read(self, answer: object) -> Mapping[str, Instrument]:
        """Return the linear swaps by symbol, those left out whose contract cannot be understood.

        A contract is ctVal × ctMult of the base coin. Raises DataError if this is no list.
        """
        return dict(_instruments(rows_of(answer, what=_WHAT)))


def _instruments(rows: list[Any]) -> Iterator[tuple[str, Instrument]]:
    for row in rows:
        match row:
            case {"instId": str(name), "ctType": "linear", "ctVal": str(value), "ctMult": str(factor)}:
                symbol, coin = symbol_of_swap(name), row.get("ctValCcy")
                unit, leverage = _number(value) * _number(factor), _number(row.get("lever"))
                # Counted in another currency, a size would be silently wrong.
                if symbol and coin == name.partition("-")[0] and LEAST_SIZE <= unit <= MOST:
                    known = 1 <= leverage <= _MOST_LEVERAGE
                    yield symbol, Instrument(float(f"{unit:.12g}"), leverage if known else _MOST_LEVERAGE)


def _named(row: object) -> Iterator[object]:
    """Yield a row with the keys that lists of symbols have, if it is of a linear swap."""
    match row:
        case {"instId": str(name), "state": str(state)}:
            if symbol := symbol_of_swap(name):
                yield {"symbol": symbol, "status": state}
        case _:
            yield row  # which is counted as one that cannot be read


def _number(text: object) -> float:
    """Return a number, 0 for what is none."""
    try:
        return float(text) if isinstance(text, str) else 0.0
    except ValueError:
        return 0.0
