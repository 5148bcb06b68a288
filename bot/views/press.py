"""What buttons and menus that outlive a restart have in common: how they are found again, and pressed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Self, cast

from bot.interaction.errors import funnel

if TYPE_CHECKING:
    import re

    import discord
    from discord import ui


class Press(ABC):
    """Base of dynamic items, to stand before `discord.ui.DynamicItem`.

    A press reaches the bot with nothing but its `custom_id`, so the groups of the item's template are the
    texts that it is made of.
    """

    @classmethod
    @abstractmethod
    def made_of(cls, *groups: str) -> Self:
        """Return the item that was pressed."""

    @abstractmethod
    async def pressed(self, interaction: discord.Interaction[Any]) -> None:
        """Do what the item says; what is raised becomes the person's sentence."""

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """Return the item that was pressed."""
        del interaction, item
        return cls.made_of(*match.groups())

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Do what the item says."""
        async with funnel(interaction):
            await self.pressed(interaction)


def chosen_value(interaction: discord.Interaction[Any]) -> str:
    """Return what was chosen in a menu, "" if the press does not say."""
    values = (cast("Any", interaction.data) or {}).get("values") or [""]
    return str(values[0])
