"""Read the pages of Bybit's REST API, and find the next one.

Source: github.com/bybit-exchange/docs, v5 market endpoints.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from liqmap.errors import DataError, parser_door
from liqmap.exchanges.fields import code_text

_LONGEST_CURSOR = 1000  # characters; real ones have about 50
_ODD_CURSOR = "Bybit's answer names no valid next page; try again later."


def rows_of(answer: object, *, what: str) -> list[Any]:
    """Return the rows of a page of `what`, unchecked.

    Raises DataError if Bybit refuses, or if it is not such a page.

    ::

        {"retCode":0,"retMsg":"OK","result":{"category":"linear","list":[{"symbol":"BTCUSDT"}],
         "nextPageCursor":"first%3DBIOUSDT%26last%3DBIOUSDT"},"retExtInfo":{},"time":1735810114435}
    """
    match answer:
        case {"retCode": 0, "result": {"list": list(rows)}}:
            return rows
        case {"retCode": int(code)} if code:
            raise DataError(f"Bybit refuses to answer about {what} ({code_text(code)}); try again later.")
    raise DataError(f"Bybit's answer about {what} cannot be read; try again later.")


def next_page(url: str, answer: object) -> str | None:
    """Return the address of the page after `url`, whose answer this is; None after the last page.

    Raises DataError for a cursor that no address can hold.
    """
    match answer:
        case {"result": {"nextPageCursor": str(cursor)}} if cursor:
            parts = urlsplit(url)
            query = [(key, value) for key, value in parse_qsl(parts.query) if key != "cursor"]
            # Bybit already quotes a cursor's reserved characters; they must not be quoted twice.
            with parser_door(_ODD_CURSOR):
                quoted = quote(unquote(cursor), safe="")
            if len(quoted) > _LONGEST_CURSOR:
                raise DataError(_ODD_CURSOR)
            return parts._replace(query=f"{urlencode(query)}&cursor={quoted}").geturl()
    return None
