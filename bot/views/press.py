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
    """A client with the gate for presses and the list of pending answers: `bot.client.LiqmapBot`."""

    gate: Gate
    waiting: Waiting


class Press(ABC):
    """Base of dynamic items; name it before `discord.ui.DynamicItem` among the bases.

    A press reaches the bot with nothing but its `custom_id`. The item is made of the texts that the groups of
    its `template` match there. Each press is checked against `access`, because a person may have lost the
    right since the button was shown.
    """

    _template: ClassVar[re.Pattern[str]]
    _access: ClassVar[Access]

    def __init_subclass__(cls, *, template: str, access: Access) -> None:
        cls._template = re.compile(template, re.ASCII)
        cls._access = access
        # The next base is `DynamicItem`, which takes the template as well.
        cast("Any", super()).__init_subclass__(template=cls._template)

    @classmethod
    @abstractmethod
    def made_of(cls, *groups: str) -> Self:
        """Return the item that was pressed."""

    @abstractmethod
    async def pressed(self, interaction: discord.Interaction[Any]) -> None:
        """Do what the item says. The text of an error that it raises is shown to the person."""

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
        """Do what the item says, once for each press, and only for people who have the right."""
        async with funnel(interaction):
            if await _admits(interaction):
                self._access.check(interaction)
                await self.pressed(interaction)


async def answer_stale(interaction: discord.Interaction[Any], items: Iterable[type[Press]]) -> None:
    """Answer a press that none of `items` understands: it is from an earlier version, or invented."""
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
    # Discord may deliver a press twice, and to several processes; one of them answers it.
    if not await client.gate.admits(interaction):
        return False
    client.waiting.check_open()
    return True
