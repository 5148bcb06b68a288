"""`python -m bot check`: report whether everything that the bot needs is available."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import aiohttp

from bot.settings import read_token
from bot.store import open_store
from liqmap import (
    Exchange,
    LiqmapError,
    SettingsError,
    clock_problem,
    damage_warning,
    exchange_addresses,
    reach_cluster,
    reach_shared_store,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bot.settings import BotSettings

_NOT_DISCORD: Final = "What answers is not Discord; check the setting discord.api_url."
_TIMEOUT: Final = aiohttp.ClientTimeout(total=15)
_Check = Callable[[], Awaitable[str]]


async def check(settings: BotSettings, *, say: Callable[[str], object]) -> bool:
    """Report one line for each thing that the bot needs; return whether all of them are fine."""
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        outcomes = [await _outcome(name, each, say=say) for name, each in _checks(settings, session)]
    return all(outcomes)


def _checks(settings: BotSettings, session: aiohttp.ClientSession) -> Iterator[tuple[str, _Check]]:
    # From this machine outwards: if the store is missing, what follows is still worth knowing.
    yield "store", lambda: _store(settings.storage.path)
    yield "database", lambda: _database(settings)
    yield "discord", lambda: _discord(session, settings)
    if settings.storage.shared_url:
        yield "shared store", lambda: reach_shared_store(settings)
    if settings.engine.executor == "dask":
        yield "cluster", lambda: reach_cluster(settings)
    for exchange in Exchange:
        for service, url in exchange_addresses(settings, exchange).items():
            yield f"{exchange} {service}", partial(_reach, session, settings, url)
    for exchange in Exchange:
        yield f"{exchange} clock", partial(_clock, settings, exchange)


async def _outcome(name: str, look: _Check, *, say: Callable[[str], object]) -> bool:
    try:
        found = await look()
    except LiqmapError as error:
        say(f"wrong  {name}: {error}")
        return False
    say(f"ok     {name}: {found}")
    return True


async def _store(folder: Path) -> str:
    await asyncio.to_thread(_try_to_write, folder)
    damage = await asyncio.to_thread(damage_warning, folder)
    return f"writable. {damage}" if damage else "writable"


def _try_to_write(folder: Path) -> None:
    # Rights alone do not tell: the disk may be mounted read-only.
    probe = folder / f".{uuid4().hex}.probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SettingsError(
            f"Setting storage.path: that folder cannot be written ({error.strerror})."
        ) from error


async def _database(settings: BotSettings) -> str:
    async with open_store(settings) as store:
        return f"open, {len(await store.subscriptions.every_one())} subscriptions"


async def _discord(session: aiohttp.ClientSession, settings: BotSettings) -> str:
    token = read_token().get_secret_value()
    url = f"{settings.discord.api_url}/users/@me"
    try:
        async with session.get(
            url,
            headers={"Authorization": f"Bot {token}"},
            proxy=settings.network.proxy_for(url),
            # A redirect would carry the token to another host.
            allow_redirects=False,
        ) as response:
            if response.status == 401:
                raise SettingsError("The token is refused; copy it again from the developer portal.")
            if response.status != 200:
                raise SettingsError(f"Discord answers with HTTP {response.status}; try again later.")
            user = await response.json()
    # Before the network errors, because ContentTypeError is a ClientError as well.
    except (aiohttp.ContentTypeError, ValueError) as error:
        raise SettingsError(_NOT_DISCORD) from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise SettingsError("Discord cannot be reached; check the network, and discord.api_url.") from error
    if not isinstance(user, dict) or "username" not in user:
        raise SettingsError(_NOT_DISCORD)
    return f"the token belongs to {user['username']}"


async def _clock(settings: BotSettings, exchange: Exchange) -> str:
    """Compare this machine's clock with the exchange's."""
    if problem := await clock_problem(settings, exchange):
        raise SettingsError(problem)
    return "agrees with this machine's"


async def _reach(session: aiohttp.ClientSession, settings: BotSettings, url: str) -> str:
    proxy = settings.network.proxy_for(url)
    try:
        async with session.get(url, proxy=proxy, allow_redirects=False) as response:
            status = response.status
    except (aiohttp.ClientError, TimeoutError) as error:
        raise SettingsError(
            f"{url} cannot be reached; check the network, and its address in the settings."
        ) from error
    # Other answers, such as 404 for an address without a path, show that the exchange is reached.
    if status >= 500 or status in {403, 451}:
        raise SettingsError(f"{url} answers with HTTP {status}; the exchange may refuse this country.")
    return "reached"
