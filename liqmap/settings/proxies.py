"""Find the proxies that the environment names."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

from liqmap.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

NOT_A_PROXY: Final = "must start with http:// or https:// and name a host; SOCKS is not supported"

_SCHEMES: Final = ("http", "https")


def is_address(url: str, schemes: Iterable[str]) -> bool:
    """Return whether `url` has one of the schemes, a host, and no port that is none."""
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except ValueError:  # a bracket that is not closed, or a port beyond 65535
        return False


def is_proxy(url: str) -> bool:
    """Return whether `url` can be the address of a proxy."""
    return is_address(url, _SCHEMES)


def is_this_machine(host: str) -> bool:
    """Return whether a host is this machine, which no proxy is asked for."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def environment_proxies() -> dict[str, str]:
    """Return the addresses of the proxies in HTTP_PROXY and HTTPS_PROXY, by scheme.

    Raises SettingsError for an unsupported proxy, without repeating its address.
    """
    found = {}
    for scheme, address in getproxies_environment().items():
        if scheme in {"http", "https"}:
            # Like curl, read "proxy:3128" as the address of an HTTP proxy.
            found[scheme] = address if "://" in address else f"http://{address}"
            if not is_proxy(found[scheme]):
                raise SettingsError(f"{scheme.upper()}_PROXY {NOT_A_PROXY}.")
    return found
