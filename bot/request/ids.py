"""Parse the ids of subscriptions and alerts that people and buttons name."""

from __future__ import annotations

import re
from typing import Final

NOTHING: Final = 0
"""The id that no row has."""

_ID = re.compile(r"[0-9]{1,9}", re.ASCII)


def parse_id(text: str) -> int:
    """Return the id that `text` names, `NOTHING` if it is not one. The text may have any length."""
    # Python refuses to read numbers of thousands of digits, with an error of its own.
    return int(text) if _ID.fullmatch(text) else NOTHING
