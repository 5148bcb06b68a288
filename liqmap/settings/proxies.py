"""Find the proxies that the environment names."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.request import getproxies_environment

from liqmap.errors import SettingsError

PROXY_SCHEMES = ("http://", "https://")


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
            if not found[scheme].startswith(PROXY_SCHEMES):
                name = f"{scheme.upper()}_PROXY"
                raise SettingsError(f"{name} must start with http:// or https://; SOCKS is not supported.")
    return found
