"""The command tree: checks whether a command may run, and turns every command's error into a reply."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import discord
from discord import app_commands

from bot.interaction.errors import answer_error
from bot.interaction.permissions import Access
from bot.interaction.state import set_state, state_of
from liqmap import LiqmapError

if TYPE_CHECKING:
    from bot.interaction.gate import Gate
    from bot.interaction.waiting import Waiting


class CommandCounts(Protocol):
    """What counts commands: `bot.ops.metrics.Metrics`."""

    def count_command(self, interaction: discord.Interaction[Any], outcome: str) -> None:
        """Count a command by its outcome."""


class Owner(Protocol):
    """A client whose commands these are: `bot.client.LiqmapBot`."""

    metrics: CommandCounts
    waiting: Waiting
    gate: Gate


class ErrorFunnel(app_commands.CommandTree[Any]):
    """The command tree, which turns every error of a command into one sentence."""

    @property
    def _owner(self) -> Owner:
        owner: Owner = self.client
        return owner

    async def on_error(
        self, interaction: discord.Interaction[Any], error: app_commands.AppCommandError, /
    ) -> None:
        """Answer an error with one sentence."""
        cause = error.original if isinstance(error, app_commands.CommandInvokeError) else error
        outcome = "refused" if isinstance(cause, LiqmapError) else "failed"
        self._owner.metrics.count_command(interaction, outcome)
        await answer_error(interaction, cause)

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        """Return whether a command may run: once, and for people who may use it. Note when it began."""
        set_state(interaction, replace(state_of(interaction), began=time.perf_counter()))
        # Nobody waits for suggestions after a restart, so they are neither taken, tracked nor counted.
        typing = interaction.type is discord.InteractionType.autocomplete
        if not typing:
            self._owner.waiting.begin(interaction)
            if not await self._owner.gate.admits(interaction):
                return False
        try:
            if not typing:
                self._owner.waiting.check_open()
            if interaction.command is not None:
                Access.of(interaction.command).check(interaction)
        except LiqmapError as error:
            if not typing:
                self._owner.metrics.count_command(interaction, "refused")
                await answer_error(interaction, error)
            return False
        return True
