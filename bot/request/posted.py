"""What a subscription posts: a map or a scan of the market, whenever it ends, and its short code."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from bot.request.spec import (
    ANY_END,
    EXCHANGES_BY_LETTER,
    THEMES_BY_LETTER,
    MapSpec,
    decode_spec,
    encode_spec,
    letter_of,
)
from liqmap import EXCHANGES, MapRequest, MapResult, RequestError, ScanRequest, ScanResult, Side

if TYPE_CHECKING:
    from datetime import datetime

Asked: TypeAlias = MapRequest | ScanRequest
"""What is requested for one post."""

Drawn: TypeAlias = MapResult | ScanResult
"""What was drawn for one post."""

_STALE: Final = "This button is too old; run /scan again, please."

# These letters and the form of the code are in the database and in the buttons of old messages: add to them,
# never change them. No map's code begins like this one, because no exchange's letter is a dot.
_SIDES: Final = {"l": Side.BUY, "s": Side.SELL, "e": None}
_CODE: Final = re.compile(r"\.scan~([a-z]{1,8})~([a-z])([a-z])~([0-9.e-]{1,20})~([0-9]{1,2})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ScanSpec:
    """A `ScanRequest` of recorded markets whenever its day ends, so that the same scan can be made again.

    Only the exchanges, the side, the distance, the number of markets and the theme of `request` count.
    """

    request: ScanRequest

    def __post_init__(self) -> None:
        own = self.request
        # Named one by one, so that "all" and a list of all are equal, and a subscription does not change with
        # an exchange that is added later.
        exchanges = own.exchanges or frozenset(EXCHANGES)
        kept = ScanRequest(
            ANY_END, exchanges=exchanges, side=own.side, within=own.within, top=own.top, theme=own.theme
        )
        object.__setattr__(self, "request", kept)

    def ending(self, end: datetime) -> ScanRequest:
        """Return the request for the day that ends at `end`."""
        return replace(self.request, end=end)


Posted: TypeAlias = MapSpec | ScanSpec
"""What a subscription posts again and again."""


def subject(posted: Posted) -> str:
    """Return what the posts are about, for a sentence."""
    return posted.request.market.symbol if isinstance(posted, MapSpec) else "the market scan"


def encode_posted(posted: Posted) -> str:
    """Return `posted` as a short text of printable characters, at most 300."""
    return encode_spec(posted) if isinstance(posted, MapSpec) else encode_scan(posted)


def decode_posted(code: str) -> Posted:
    """Return what `encode_posted` has written. Raises RequestError for anything else."""
    return decode_scan(code) if code.startswith(".") else decode_spec(code)


def encode_scan(spec: ScanSpec) -> str:
    """Return `spec` as a text of about 20 characters, such as `.scan~byo~ed~0.05~10`."""
    request = spec.request
    letters = "".join(letter for letter, each in EXCHANGES_BY_LETTER.items() if each in request.exchanges)
    flags = letter_of(_SIDES, request.side) + letter_of(THEMES_BY_LETTER, request.theme)
    return f".scan~{letters}~{flags}~{request.within:.12g}~{request.top}"


def decode_scan(code: str) -> ScanSpec:
    """Return the spec that `encode_scan` has written. Raises RequestError for anything else."""
    found = _CODE.fullmatch(code)
    try:
        if not found:
            raise KeyError(code)  # noqa: TRY301 - reported below, with everything else that does not fit
        letters, side, theme, within, top = found.groups()
        return ScanSpec(
            ScanRequest(
                ANY_END,
                exchanges=frozenset(EXCHANGES_BY_LETTER[letter] for letter in letters),
                side=_SIDES[side],
                within=float(within),
                top=int(top),
                theme=THEMES_BY_LETTER[theme],
            )
        )
    except (KeyError, ValueError) as error:
        raise RequestError(_STALE) from error
