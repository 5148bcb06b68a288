"""Send a drawn map or scan, smaller if Discord finds it too large."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import discord

from bot.interaction.patience import failure_text, patiently
from bot.interaction.refusals import TOO_LARGE, is_too_large
from bot.views.replies import Reply, map_reply
from bot.views.scan import scan_reply
from liqmap import MapResult, RequestError
from liqmap.files import half_size

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bot.request.posted import Drawn

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


async def send_drawn(
    result: Drawn,
    send: Callable[[Reply], Awaitable[Answer]],
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Answer:
    """Send the answer with all pictures, or with only the first one in half size if Discord refuses them.

    Returns what `send` returns; it must be harmless to call `send` twice. Raises RequestError if the small
    picture is too large as well, and otherwise one of `bot.interaction.patience.UNSENT`.
    """
    try:
        # Sending consumes the files, so each attempt builds the reply anew.
        return await patiently(lambda: send(_reply(result)), sleep=sleep)
    except discord.HTTPException as error:
        if not is_too_large(error):
            raise
        log.info("a picture is sent again in a smaller size: %s", failure_text(error))
    # The limit depends on the server and can change, so it is not predicted but tried.
    small = await asyncio.to_thread(_smaller, result)
    try:
        return await patiently(lambda: send(_reply(small)), sleep=sleep)
    except discord.HTTPException as error:
        if is_too_large(error):
            raise RequestError(TOO_LARGE) from error
        raise


def _reply(result: Drawn) -> Reply:
    return map_reply(result) if isinstance(result, MapResult) else scan_reply(result)


def _smaller(result: Drawn) -> Drawn:
    if not isinstance(result, MapResult):
        return replace(result, picture=half_size(result.picture))
    # The first is the map, which says most alone.
    kind, png = next(iter(result.pictures.items()))
    return replace(result, pictures={kind: half_size(png)})
