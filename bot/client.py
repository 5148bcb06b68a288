"""The Discord client: commands, when they are announced, and the one place where errors become replies."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from typing import TYPE_CHECKING
from uuid import uuid4

import discord
from discord import app_commands
from discord.ext import commands

from bot.cogs.maps import Draw, Maps
from liqmap import LiqmapError
from liqmap.files import write_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from bot.settings import BotSettings

log = logging.getLogger(__name__)


class LiqmapBot(commands.Bot):
    """The bot. It asks for no privileged intent and mentions nobody.

    `connected` tells whether the gateway is there.
    """

    def __init__(self, settings: BotSettings, *, draw: Draw, now: Callable[[], datetime]) -> None:
        super().__init__(
            command_prefix=commands.when_mentioned,
            help_command=None,
            intents=discord.Intents(guilds=True),
            allowed_mentions=discord.AllowedMentions.none(),
            tree_cls=ErrorFunnel,
        )
        self.connected = False
        self._settings = settings
        self._draw = draw
        self._now = now

    async def setup_hook(self) -> None:
        """Add the commands, and announce them if they have changed since the last time."""
        await self.add_cog(
            Maps(
                self._draw,
                now=self._now,
                max_days=self._settings.engine.max_window_days,
                maps_per_user=self._settings.limits.maps_per_user,
            )
        )
        if self._settings.discord.sync_commands:
            await self._sync_if_changed(
                self._settings.storage.path / f"commands-{self.application_id}.sha256"
            )

    async def on_connect(self) -> None:
        """Note that the gateway is there."""
        self.connected = True
        log.info("connected as %s", self.user)

    async def on_resumed(self) -> None:
        """Note that the gateway is there again."""
        self.connected = True

    async def on_disconnect(self) -> None:
        """Note that the gateway is gone; the library connects again by itself."""
        self.connected = False

    async def _sync_if_changed(self, record: Path) -> None:
        # Discord limits announcements to a few hundred a day, and restarts are more frequent than changes.
        payload = [command.to_dict(self.tree) for command in self.tree.get_commands()]
        digest = hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()
        if await asyncio.to_thread(_read, record) == digest:
            return
        await self.tree.sync()
        await asyncio.to_thread(write_file, record, digest.encode())
        log.info("announced %d commands", len(payload))


def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


class ErrorFunnel(app_commands.CommandTree[LiqmapBot]):
    """The command tree, in which every error of every command ends as one sentence."""

    async def on_error(
        self, interaction: discord.Interaction[LiqmapBot], error: app_commands.AppCommandError, /
    ) -> None:
        """Answer with the error's own sentence, or with a number under which the log has it."""
        cause = error.original if isinstance(error, app_commands.CommandInvokeError) else error
        if isinstance(cause, LiqmapError):
            sentence = str(cause)
        else:
            number = uuid4().hex[:8]
            log.error("command failed, told as %s", number, exc_info=cause)
            sentence = (
                f"Something went wrong on the bot's side; please tell its operator the number {number}."
            )
        try:
            await _answer(interaction, sentence)
        except discord.HTTPException as failure:
            log.warning("an error could not be told: HTTP %s, code %s", failure.status, failure.code)


async def _answer(interaction: discord.Interaction[LiqmapBot], sentence: str) -> None:
    """Send `sentence` to the person alone, whatever has been sent before."""
    if not interaction.response.is_done():
        await interaction.response.send_message(sentence, ephemeral=True)
        return
    # A reply that was announced as public stays public, so it gives way to a private one. It is edited
    # first, because what has only been announced is not a message that can be deleted yet, and because
    # whatever fails after that, the sentence has been told.
    await interaction.edit_original_response(content=sentence)
    await interaction.followup.send(sentence, ephemeral=True)
    await interaction.delete_original_response()
