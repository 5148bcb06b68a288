"""The pages of Bybit's REST API: what one holds, and where the next one is.

Source: github.com/bybit-exchange/docs, v5 market endpoints.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from liqmap.errors import DataError, parser_door
from liqmap.exchanges.fields import code_text

_LONGEST_CURSOR = 1000  # characters; real ones have about 50
_ODD_CURSOR = "Bybit's answer names no next page that can be asked for; try again later."


def rows_of(answer: object, *, what: str) -> list[Any]:
    """Return the rows of a page of `what`, whatever each of them is.

    Raises DataError if Bybit refuses, or if it is no such page.

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
    """Return the address of the page after `url`, which answered this; None after the last page.

    Raises DataError for a cursor that no address can hold.
    """
    match answer:
        case {"result": {"nextPageCursor": str(cursor)}} if cursor:
            parts = urlsplit(url)
            query = [(key, value) for key, value in parse_qsl(parts.query) if key != "cursor"]
            # Cursors come with their reserved characters quoted already; they are quoted once.
            with parser_door(_ODD_CURSOR):
                quoted = quote(unquote(cursor), safe="")
            if len(quoted) > _LONGEST_CURSOR:
                raise DataError(_ODD_CURSOR)
            return parts._replace(query=f"{urlencode(query)}&cursor={quoted}").geturl()
    return None
