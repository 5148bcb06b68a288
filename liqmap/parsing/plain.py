"""Read what was typed as plain text, and quote it in a reply."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TypeVar

from liqmap.errors import RequestError
from liqmap.text import list_text

Choice = TypeVar("Choice", bound=StrEnum)

_LONGEST_TEXT = 60
_MARKUP_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")


def plain(text: object, option: str) -> str:
    """Return what was typed for an option, without the spaces around it. Raises RequestError."""
    # Notebooks have no type checker, so a number may arrive where text is expected.
    if not isinstance(text, str) or len(text) > _LONGEST_TEXT or not text.isprintable() or not text.strip():
        raise RequestError(f"The {option} {quoted(str(text))} cannot be read; see the command's examples.")
    return text.strip()


def quoted(text: str) -> str:
    """Return what was typed in a form that is safe in a reply: short, without markup, mention or link."""
    shown = "".join(char for char in text[:30] if char.isprintable() and char not in "`*~|<>@#[]()\\")
    # A single underscore inside a word is no markup, and symbols and modes have it: BTCUSD_PERP, top_n.
    shown = _MARKUP_UNDERSCORE.sub("", shown.replace("//", ""))
    return f"“{shown}…”" if len(text) > 30 else f"“{shown}”"


def one_of(choices: type[Choice], text: str, option: str) -> Choice:
    """Return the choice that was typed for an option. Raises RequestError that lists the choices."""
    try:
        return choices(plain(text, option).lower())
    except ValueError:
        verb = "are" if option.endswith("s") else "is"
        names = list_text([*choices], "or")
        raise RequestError(f"The {option} {quoted(text)} {verb} not known; try {names}.") from None
