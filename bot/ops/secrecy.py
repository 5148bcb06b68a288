"""Keep secrets out of the log and out of the processes that this one starts."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, SecretStr

from bot.settings import TOKEN_VARIABLE, read_token
from bot.store.database import parse_url
from liqmap import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bot.settings import BotSettings

HIDDEN: Final = "[hidden]"
_VARIABLES: Final = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PGPASSWORD")
# Each level of escaping doubles the backslashes. The limit and the possessive + keep a line of nothing but
# backslashes from taking forever.
_BACKSLASHES: Final = r"\\{0,64}+"


def secrets_of(settings: BotSettings) -> list[str]:
    """Return the token, and each password and secret address of the settings and the environment."""
    texts = [value for _, value in _values(settings)]
    found = [text.get_secret_value() for text in texts if isinstance(text, SecretStr)]
    found += [os.environ.get(name, "") for name in (TOKEN_VARIABLE, *_VARIABLES)]
    addresses = [text.get_secret_value() if isinstance(text, SecretStr) else text for text in texts]
    addresses += [value for name, value in os.environ.items() if name.lower().endswith("_proxy")]
    found += [_password(text) for text in addresses]
    with suppress(SettingsError):  # a missing token is reported where it is needed
        found.append(read_token().get_secret_value())
    return [each for each in dict.fromkeys(found) if each]


def withhold_secrets(settings: BotSettings) -> None:
    """Remove the token and the secret settings from the environment, which started processes inherit."""
    names = {f"LIQMAP__{path}" for path, value in _values(settings) if isinstance(value, SecretStr)}
    for name in list(os.environ):
        if name.upper() in names | {TOKEN_VARIABLE}:
            del os.environ[name]


def pattern_of(secrets: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern that finds `secrets` in a text, even escaped by JSON, repr or a URL, or several times.

    Longer secrets come first, because one may contain another.
    """
    longest_first = sorted(filter(None, secrets), key=len, reverse=True)
    # Without secrets, a pattern that matches nothing: an empty one would match everywhere.
    return re.compile("|".join(map(_forms, longest_first)) or r"(?!)")


def _values(section: BaseModel, path: str = "") -> Iterator[tuple[str, str | SecretStr]]:
    for name in type(section).model_fields:
        value, place = getattr(section, name), f"{path}__{name.upper()}" if path else name.upper()
        if isinstance(value, BaseModel):
            yield from _values(value, place)
        elif isinstance(value, (str, SecretStr)):
            yield place, value


def _password(text: str) -> str:
    address = parse_url(text) if "@" in text else None
    return (address and address.password) or ""


def _forms(secret: str) -> str:
    return "".join(_run(part) for part in re.findall(r"\\+|[^\\]", secret, re.DOTALL))


def _run(part: str) -> str:
    if part[0] == "\\":
        return rf"(?:(?<!\\)\\{{{len(part)},}}+|(?:%(?:25)*5(?i:c)){{{len(part)}}})"
    octets = part.encode("utf-8", "surrogatepass")
    units = part.encode("utf-16-be", "surrogatepass").hex(" ", 2).split()
    escapes = [
        re.escape(part),
        _BACKSLASHES.join(f"u(?i:{unit})" for unit in units),
        _BACKSLASHES.join(f"x(?i:{octet:02x})" for octet in octets),
        f"U(?i:{ord(part):08x})",
        f"x(?i:{ord(part):02x})",
        re.escape(repr(part)[1:-1].lstrip("\\")),  # the n, t or r of an escaped line end or tab
    ]
    in_url = "".join(f"%(?:25)*(?i:{octet:02x})" for octet in octets)
    return rf"(?:{_BACKSLASHES}(?:{'|'.join(escapes)})|{in_url}{'|[+]' if part == ' ' else ''})"
