"""Answer requests faultily, as planned, one request at a time."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from aiohttp.web_response import StreamResponse


class Fault(Enum):
    """What goes wrong with a response."""

    STALL = auto()  # half of the body, then silence until the client gives up
    ENDLESS = auto()  # the body again and again, for as long as somebody reads
    TRUNCATE = auto()  # half of the body, then a proper close
    CUT = auto()  # half of the body, then a reset
    NOT_FOUND = auto()
    TOO_MANY = auto()  # 429 with Retry-After: 0
    BANNED = auto()  # 429 with Retry-After: 3600
    UNAVAILABLE = auto()  # 503
    FORBIDDEN = auto()  # 403
    WRONG_CHECKSUM = auto()
    CORRUPT = auto()  # bytes in the middle are flipped
    EMPTY = auto()  # a gzip file of nothing
    HTML = auto()  # a page instead of data, with status 200
    IP_BAN = auto()  # 418 with Retry-After: 120
    SKIP_ROWS = auto()  # a page of the REST API lacks rows in its middle
    DUPLICATE_ROWS = auto()  # a page of the REST API repeats rows in its middle


@dataclass(slots=True)
class PlannedFault:
    """A fault for the next `times` requests with a path that matches the regular expression `pattern`."""

    pattern: str
    fault: Fault
    times: int

    def matches(self, path: str) -> bool:
        """Return whether this fault is due for `path`."""
        return self.times > 0 and re.search(self.pattern, path) is not None


_STATUS = {
    Fault.NOT_FOUND: (404, {}),
    Fault.TOO_MANY: (429, {"Retry-After": "0"}),
    Fault.BANNED: (429, {"Retry-After": "3600"}),
    Fault.UNAVAILABLE: (503, {}),
    Fault.FORBIDDEN: (403, {}),
    Fault.IP_BAN: (418, {"Retry-After": "120"}),
}
_EMPTY_GZIP = bytes.fromhex("1f8b08000000000000ff0300") + bytes(8)
_PAGE = b"<!DOCTYPE html><html><body>Service maintenance</body></html>"


async def respond_faulty(request: web.Request, fault: Fault, body: bytes) -> StreamResponse:
    """Answer `request` with `body`, spoilt by `fault`."""
    if fault in _STATUS:
        status, headers = _STATUS[fault]
        return web.Response(status=status, headers=headers)
    if fault in {Fault.STALL, Fault.TRUNCATE, Fault.CUT}:
        return await _respond_half(request, fault, body)
    if fault is Fault.ENDLESS:
        return await _respond_endlessly(request, body)
    return _respond_spoilt(fault, body)


def _respond_spoilt(fault: Fault, body: bytes) -> web.Response:
    match fault:
        case Fault.WRONG_CHECKSUM:
            return web.Response(body=b"0" * 64 + body[64:])
        case Fault.CORRUPT:
            middle = len(body) // 2
            return web.Response(
                body=body[:middle] + bytes(b ^ 0xFF for b in body[middle : middle + 64]) + body[middle + 64 :]
            )
        case Fault.SKIP_ROWS | Fault.DUPLICATE_ROWS:
            copies = 0 if fault is Fault.SKIP_ROWS else 2
            return web.json_response(_with_middle(json.loads(body), copies))
        case Fault.EMPTY:
            return web.Response(body=_EMPTY_GZIP)
        case _:
            return web.Response(body=_PAGE, content_type="text/html")


async def _respond_half(request: web.Request, fault: Fault, body: bytes) -> StreamResponse:
    response = web.StreamResponse()
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    transport = request.transport
    if transport is not None and fault is Fault.CUT:
        transport.abort()
    elif transport is not None and fault is Fault.TRUNCATE:
        transport.close()
    else:
        await asyncio.Event().wait()  # until the server cancels it, because the client has gone
    return response


async def _respond_endlessly(request: web.Request, body: bytes) -> StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    with suppress(ConnectionError):
        while True:
            await response.write(body or b" ")
            await asyncio.sleep(0)  # with a fast reader, write() never yields, and other tasks would starve
    return response


def _with_middle(page: Any, copies: int) -> Any:  # noqa: ANN401 - JSON
    """Return a page whose middle third of rows comes `copies` times."""
    rows = page if isinstance(page, list) else page.get("data") or page.get("result", {}).get("list", [])
    third = len(rows) // 3
    rows[third:-third] = rows[third:-third] * copies
    return page
