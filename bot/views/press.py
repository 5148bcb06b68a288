"""The base of buttons and menus that outlive a restart."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, cast

from bot.interaction.errors import funnel
from bot.request.spec import STALE
from liqmap import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import discord
    from discord import ui

    from bot.interaction.gate import Gate
    from bot.interaction.permissions import Access
    from bot.interaction.waiting import Waiting


class Gated(Protocol):
    """A client with the gate that every press passes, and with those who wait: `bot.client.LiqmapBot`."""

    gate: Gate
    waiting: Waiting


class Press(ABC):
    """Base of dynamic items, to stand before `discord.ui.DynamicItem`.

    A press reaches the bot with nothing but its `custom_id`, so the groups of the item's `template` are the
    texts that it is made of. Each press is checked against `access` anew: who was shown a button may have
    lost the right to press it since.
    """

    _template: ClassVar[re.Pattern[str]]
    _access: ClassVar[Access]

    def __init_subclass__(cls, *, template: str, access: Access) -> None:
        cls._template = re.compile(template, re.ASCII)
        cls._access = access
        # The rest of it is `DynamicItem`, which takes the template.
        cast("Any", super()).__init_subclass__(template=cls._template)

    @classmethod
    @abstractmethod
    def made_of(cls, *groups: str) -> Self:
        """Return the item that was pressed."""

    @abstractmethod
    async def pressed(self, interaction: discord.Interaction[Any]) -> None:
        """Do what the item says; what is raised becomes the person's sentence."""

    @classmethod
    def understands(cls, custom_id: str) -> bool:
        """Return whether a press with this `custom_id` is one of these items."""
        return cls._template.fullmatch(custom_id) is not None

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """Return the item that was pressed."""
        del interaction, item
        return cls.made_of(*match.groups())

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Do what the item says, once, for those who may."""
        async with funnel(interaction):
            if await _admits(interaction):
                self._access.check(interaction)
                await self.pressed(interaction)


async def answer_stale(interaction: discord.Interaction[Any], items: Iterable[type[Press]]) -> None:
    """Answer a press that none of `items` understands: of an earlier version, or made up."""
    pressed = str((cast("Any", interaction.data) or {}).get("custom_id", ""))
    if any(item.understands(pressed) for item in items):
        return
    async with funnel(interaction):
        if await _admits(interaction):
            raise RequestError(STALE)


def chosen_value(interaction: discord.Interaction[Any]) -> str:
    """Return what was chosen in a menu, "" if the press does not say."""
    values = (cast("Any", interaction.data) or {}).get("values") or [""]
    return str(values[0])


async def _admits(interaction: discord.Interaction[Any]) -> bool:
    client = cast("Gated", interaction.client)
    client.waiting.begin(interaction)
    if not await client.gate.admits(interaction):
        return False
    client.waiting.check_open()
    return True
