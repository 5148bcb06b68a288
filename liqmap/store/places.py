"""Where a shared store lies: a folder, or a bucket that is reached as the settings say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa

from liqmap.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyarrow import fs

NOT_A_STORE: Final = "Setting storage.shared_url: must be a folder or s3://bucket/prefix that can be used."
_OPTIONS: Final = frozenset({"region", "scheme", "endpoint_override"})
_CONNECT_SECONDS: Final = 5.0
_ATTEMPTS: Final = 3


def open_place(url: str, *, proxy_for: Callable[[str], str | None]) -> tuple[fs.FileSystem, str]:
    """Return the file system of `url` and the path in it: `s3://bucket/prefix`, `file:///folder` or a path.

    `proxy_for` returns the proxy for an address. Raises SettingsError for any other URL, and OSError if
    the region of a bucket at AWS cannot be found.
    """
    # Only who shares a store waits for this import.
    from pyarrow import fs  # noqa: PLC0415

    try:
        if urlsplit(url).scheme == "s3":
            return _bucket(url, proxy_for)
        files, root = fs.FileSystem.from_uri(url if "://" in url else Path(url).absolute().as_uri())
    except (pa.ArrowInvalid, ValueError) as error:
        raise SettingsError(NOT_A_STORE) from error
    if not isinstance(files, fs.LocalFileSystem):
        raise SettingsError(NOT_A_STORE)
    return files, root


def check_place(url: str) -> None:
    """Raise SettingsError for a URL that is of no store, without reaching for it."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise SettingsError(NOT_A_STORE) from error
    if not url.isprintable():
        raise SettingsError(NOT_A_STORE)
    if parts.scheme == "s3":
        if not parts.netloc.rpartition("@")[2] or parse_qs(parts.query).keys() - _OPTIONS:
            raise SettingsError(NOT_A_STORE)
    elif "://" in url and parts.scheme != "file":
        raise SettingsError(NOT_A_STORE)


def _bucket(url: str, proxy_for: Callable[[str], str | None]) -> tuple[fs.FileSystem, str]:
    from pyarrow import fs  # noqa: PLC0415

    parts = urlsplit(url)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    login, _, bucket = parts.netloc.rpartition("@")
    key, _, secret = map(unquote, login.partition(":"))
    endpoint, scheme = options.get("endpoint_override"), options.get("scheme", "https")
    proxy = proxy_for(f"{scheme}://{endpoint or 's3.amazonaws.com'}")
    region = options.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region is None and endpoint is None:
        if proxy is not None:
            raise SettingsError(
                "Setting storage.shared_url: through a proxy, the bucket's region has to be named, as in"
                " s3://bucket/prefix?region=eu-central-1."
            )
        region = fs.resolve_s3_region(bucket)
    files = fs.S3FileSystem(
        access_key=key or None,
        secret_key=secret or None,
        region=region,
        scheme=scheme,
        endpoint_override=endpoint,
        proxy_options=proxy,
        connect_timeout=_CONNECT_SECONDS,
        # One request stores a small object; without it there are three.
        allow_delayed_open=True,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
    )
    return files, f"{bucket}{parts.path}"
