"""The bot's start: arguments, settings, logging, and the one place where everything is made and closed."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import discord
from yarl import URL

from bot.client import LiqmapBot
from bot.health import health_server
from bot.settings import load_bot_settings, read_token
from bot.store import open_store
from bot.symbols import listed, suggesting
from liqmap import Engine, LiqmapError, SettingsError, __version__
from liqmap.clock import SystemClock
from liqmap.listings import Listings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import SecretStr

    from bot.settings import BotSettings, DiscordSettings

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bot, or the playground, until it is told to stop; return the exit code.

    0: stopped. 1: it could not go on. 2: usage, settings or token. Reasons are one sentence on stderr.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    # The library's own INFO is about shards and sessions, hundreds of lines a day; and this bot has no voice.
    for library in ("discord", "apscheduler", "alembic"):
        logging.getLogger(library).setLevel(logging.WARNING)
    logging.getLogger("discord.client").addFilter(lambda record: "voice" not in record.getMessage())
    try:
        settings = load_bot_settings(options.config)
        if options.command == "playground":
            # The simulation makes a client without intents to look at it, of which discord.py warns.
            logging.getLogger("discord.state").setLevel(logging.ERROR)
            from bot.playground import play  # noqa: PLC0415 - needs an optional library

            asyncio.run(play(settings, port=options.port, out=options.out))
        else:
            asyncio.run(run(settings, read_token()))
    except discord.LoginFailure:
        return _failed("Discord refuses the bot's token; copy it again from the developer portal.", 2)
    except (aiohttp.ClientError, OSError, discord.DiscordException) as error:
        log.debug("stopped", exc_info=error)
        return _failed("Discord cannot be reached; check the network, and the setting discord.api_url.", 1)
    except LiqmapError as error:
        return _failed(str(error), 2 if isinstance(error, SettingsError) else 1)
    except (KeyboardInterrupt, asyncio.CancelledError):
        log.info("stopped")
    return 0


async def run(settings: BotSettings, token: SecretStr) -> None:
    """Run the bot until its task is cancelled, which SIGTERM and Ctrl-C do."""
    point_at(settings.discord)
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    clock = SystemClock()
    async with (
        open_store(settings) as store,
        Listings(settings, clock=clock) as listings,
        Engine(settings) as engine,
        LiqmapBot(
            settings,
            draw=suggesting(engine.draw, listings),
            store=store,
            clock=clock,
            symbols=lambda: listed(listings),
        ) as bot,
        health_server(settings.health.port, connected=lambda: bot.connected),
    ):
        await bot.start(token.get_secret_value())


def point_at(settings: DiscordSettings) -> None:
    """Make discord.py talk to the API and gateway of the settings.

    The library keeps both addresses as constants of its classes and has no option for them.
    """
    discord.http.Route.BASE = settings.api_url
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = URL(settings.gateway_url)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="liqmap-bot", description="A Discord bot that draws liquidation maps."
    )
    parser.add_argument("--config", metavar="FILE", type=Path, help="settings, as in config.example.toml")
    parser.add_argument("--version", action="version", version=f"liqmap {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="playground")
    playground = commands.add_parser(
        "playground", help="the bot in a simulated Discord, in the browser: no account, no internet"
    )
    playground.add_argument("--port", type=int, help="of the web page (default: any free one)")
    playground.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("out"), help="folder for the images"
    )
    return parser


def _failed(sentence: str, code: int) -> int:
    sys.stderr.write(f"{sentence}\n")
    return code
