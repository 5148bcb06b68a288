"""Start the bot: read arguments and settings, and make and close everything in one place."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import discord
from sqlalchemy.exc import SQLAlchemyError
from yarl import URL

from bot.client import LiqmapBot
from bot.ops.cluster import cluster_draws, trouble_text, watch_cluster
from bot.ops.health import DrawingHealth, health_server
from bot.ops.login import login_error
from bot.ops.logs import set_up_logging
from bot.ops.metrics import Metrics
from bot.ops.secrecy import secrets_of, withhold_secrets
from bot.request.drawing import EngineFacts
from bot.request.symbols import Symbols
from bot.settings import load_bot_settings, read_token
from bot.store import open_store
from bot.store.changes import Changes
from bot.store.erase import erase_guild, erase_user
from liqmap import Engine, LiqmapError, SettingsError, SystemClock, __version__
from liqmap.collect.listings import Listings
from liqmap.console import call_at_signals, write_any_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import SecretStr

    from bot.settings import BotSettings, DiscordSettings
    from bot.store import Store

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bot, the playground or a subcommand, and return the exit code.

    0: it was stopped, or is done. 1: it could not continue. 2: wrong usage, settings or token. The reason is
    one sentence on stderr.
    """
    write_any_text()
    options = _parser().parse_args(arguments)
    # Files written from here on can be read by their owner only.
    os.umask(0o077)
    try:
        settings = load_bot_settings(options.config)
        set_up_logging(settings.logging, secrets=secrets_of(settings))
        return asyncio.run(_command(options, settings))
    except (LiqmapError, SQLAlchemyError, OSError) as error:
        log.debug("stopped", exc_info=error)
        sys.stderr.write(f"{_why_stopped(error)}\n")
        return 2 if isinstance(error, SettingsError) else 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        log.info("stopped")
        return 0


def _why_stopped(error: LiqmapError | SQLAlchemyError | OSError) -> str:
    if isinstance(error, SQLAlchemyError):
        return "The database no longer answers; check that it runs, and start again."
    if isinstance(error, OSError):
        reason = error.strerror or type(error).__name__
        return f"The operating system refused something that the bot needs: {reason}."
    return str(error)


async def _command(options: argparse.Namespace, settings: BotSettings) -> int:
    match options.command:
        case "playground":
            # The simulation looks at Discord through a client without intents, about which discord.py warns.
            logging.getLogger("discord.state").setLevel(logging.ERROR)
            from bot.playground import play  # noqa: PLC0415 - needs an optional library

            withhold_secrets(settings)
            await play(settings, port=options.port, out=options.out, stay=options.stay)
        case "check":
            from bot.ops.check import check  # noqa: PLC0415 - a bot that runs need not load it

            return 0 if await check(settings, say=_say) else 1
        case "export" | "import" | "forget":
            async with open_store(settings) as store:
                _say(await _done_with(store, options))
        case _:
            token = read_token()
            # Only now: the token is read from the environment, which processes that start later inherit.
            withhold_secrets(settings)
            await run(settings, token)
    return 0


async def _done_with(store: Store, options: argparse.Namespace) -> str:
    """Carry out a subcommand that works on the database alone; return what it has done."""
    if options.command == "export":
        from bot.ops.backup import export_to  # noqa: PLC0415 - a bot that runs need not load it

        return f"exported {await export_to(store, options.file)} subscriptions"
    if options.command == "import":
        from bot.ops.backup import import_from  # noqa: PLC0415 - as above

        added = await import_from(store, options.file, now=SystemClock().now())
        return f"added {added} subscriptions; a bot takes over those of its servers within an hour"
    if options.guild is None:
        named = await erase_user(store.engine, options.user)
    else:
        named = await erase_guild(store.engine, options.guild)
    return f"erased from {named} rows; a running bot forgets them within seconds"


async def run(settings: BotSettings, token: SecretStr) -> None:
    """Run the bot until SIGTERM, or until its task is cancelled, which Ctrl-C does."""
    point_at(settings.discord)
    clock = SystemClock()
    metrics, drawing = Metrics(), DrawingHealth()
    # With it this machine draws what the cluster cannot, so a lost cluster breaks nothing.
    falls_back = settings.engine.fallback == "local"
    async with (
        open_store(settings) as store,
        Listings(settings, clock=clock, daily=True) as listings,
        Engine(
            settings,
            record=settings.recorder.enabled,
            resident=True,
            traces=[metrics.downloads()],
            observe_shared=metrics.count_shared,
        ) as engine,
        LiqmapBot(
            settings,
            draw=drawing.watched(engine.draw),
            store=store,
            clock=clock,
            symbols=Symbols.of(listings),
            metrics=metrics,
            facts=EngineFacts.of(engine),
        ) as bot,
        Changes(store.engine, bot.follow),
        health_server(
            settings.health,
            connected=lambda: bot.connected,
            drawing=lambda: drawing.works and (falls_back or cluster_draws(engine)),
            metrics=metrics.page,
            trouble=lambda: trouble_text(engine),
        ),
    ):
        metrics.watch("connected", "Whether Discord is connected", lambda: float(bot.connected))
        metrics.watch("drawing", "Whether maps can be drawn", lambda: float(drawing.works))
        metrics.watch("queue", "Maps under way or waiting", lambda: engine.jobs_under_way)
        metrics.watch("recorder_lag_seconds", "Lag of the slowest recorded stream", engine.lag)
        watch_cluster(metrics, engine)
        metrics.watch("cached", "Maps answered from memory", lambda: engine.answered_from_memory)
        await stay(bot, token.get_secret_value())


async def stay(bot: LiqmapBot, token: str) -> None:
    """Keep the bot connected until SIGTERM. Raises LiqmapError with the reason why it cannot continue."""
    stop = asyncio.Event()
    call_at_signals(stop.set, signal.SIGTERM)
    # While discord.py reconnects, it swallows a cancellation. So the cancelled task is not awaited here.
    ends = [asyncio.create_task(bot.start(token)), asyncio.create_task(stop.wait())]
    try:
        for ended in (await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED))[0]:
            await ended  # raises the error that ended it, if any
    except (aiohttp.ClientError, ConnectionError, TimeoutError, discord.DiscordException) as error:
        raise login_error(error) from error
    finally:
        for task in ends:
            task.cancel()


def point_at(settings: DiscordSettings) -> None:
    """Point discord.py to the API and gateway of the settings."""
    # The library has both addresses as constants of its classes, and no option for them.
    discord.http.Route.BASE = settings.api_url
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = URL(settings.gateway_url)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="liqmap-bot", description="A Discord bot that draws liquidation maps."
    )
    parser.add_argument("--config", metavar="FILE", type=Path, help="settings, as in config.example.toml")
    parser.add_argument("--version", action="version", version=f"liqmap {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    playground = commands.add_parser(
        "playground", help="the bot in a simulated Discord, in the browser: no account, no internet"
    )
    playground.add_argument("--port", type=int, help="port of the web page (default: any free one)")
    playground.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("out"), help="folder for the images"
    )
    playground.add_argument("--stay", action="store_true", help="stay open even without a terminal")
    commands.add_parser("check", help="report whether everything that the bot needs is there")
    _add_database_commands(commands)
    return parser


def _add_database_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for name, text in (
        ("export", "write subscriptions, defaults and alerts to"),
        ("import", "add those from"),
    ):
        backup = commands.add_parser(name, help=f"{text} a JSON file")
        backup.add_argument("file", metavar="FILE", type=Path)
    forget = commands.add_parser("forget", help="erase a server or a person from the database")
    whom = forget.add_mutually_exclusive_group(required=True)
    whom.add_argument(
        "--guild", metavar="ID", type=_discord_id, help="erase all its subscriptions, alerts and settings"
    )
    whom.add_argument(
        "--user",
        metavar="ID",
        type=_discord_id,
        help="erase the person; a server keeps its rows without them",
    )


def _discord_id(text: str) -> int:
    # An id has up to 64 bits, of which the database's signed columns hold 63.
    if text.isascii() and text.isdecimal() and len(text) < 20 and 0 < int(text) < 2**63:
        return int(text)
    raise argparse.ArgumentTypeError("an id is a number; copy it in Discord with Developer Mode on")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
