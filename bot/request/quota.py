"""The refusals for who requests more maps than the limits allow."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from liqmap import RequestError

if TYPE_CHECKING:
    from datetime import datetime

MINUTE: Final = timedelta(minutes=1)


def too_many_under_way(most: int) -> RequestError:
    """Return the refusal for a person who has `most` maps under way."""
    return RequestError(f"You already have {most} maps under way; wait until one is done, please.")


def too_many_a_minute(who: str, most: int, *, oldest: datetime) -> RequestError:
    """Return the refusal for `who`, "You have" or "This server has"; the minute began at `oldest`."""
    again = int((oldest + MINUTE).timestamp()) + 1
    return RequestError(f"{who} asked for {most} maps within a minute; try again <t:{again}:R>.")
