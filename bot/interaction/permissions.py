"""What the bot and its users may do in a channel, and the sentence for a missing permission."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import discord

from liqmap import RequestError
from liqmap.text import list_text

if TYPE_CHECKING:
    from discord import app_commands

Postable = discord.TextChannel | discord.Thread

_NAMES = {
    "manage_guild": "Manage Server",
    "manage_channels": "Manage Channels",
    "use_application_commands": "Use Application Commands",
    "view_channel": "View Channel",
    "send_messages": "Send Messages",
    "send_messages_in_threads": "Send Messages in Threads",
    "embed_links": "Embed Links",
    "attach_files": "Attach Files",
    "mention_everyone": "Mention All Roles",
}


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use a command or a button: whoever has `rights` in the channel, on servers only or anywhere."""

    rights: discord.Permissions
    servers_only: bool

    @classmethod
    def of(cls, command: app_commands.Command[Any, ..., Any] | app_commands.ContextMenu) -> Self:
        """Return who may use a command, as it is announced to Discord."""
        root = getattr(command, "root_parent", None) or command
        return cls(root.default_permissions or discord.Permissions.none(), root.guild_only)

    @property
    def names(self) -> str:
        """The names of the rights, as Discord shows them; "" if none are needed."""
        return _listed([name for name, needed in self.rights if needed])

    def check(self, interaction: discord.Interaction[Any]) -> None:
        """Raise RequestError unless the user has the rights now, in the channel of the interaction."""
        # A command installed for a person also comes from servers that the bot is not in.
        known = interaction.guild_id is not None and interaction.client.get_guild(interaction.guild_id)
        if self.servers_only and not known:
            raise RequestError("This works only in servers that the bot is in; use it there, please.")
        if interaction.guild_id is None or self.admits(interaction):
            return
        # Discord sends these with each interaction, so they need no cache and are never old.
        granted = interaction.permissions
        missing = [name for name, needed in self.rights if needed and not getattr(granted, name)]
        raise RequestError(
            f"You need the permission {_listed(missing)} in this channel for that; ask a moderator for it."
        )

    def admits(self, interaction: discord.Interaction[Any]) -> bool:
        """Return whether the user has the rights now, in the channel of the interaction."""
        # An administrator has all rights, and Discord need not list them.
        return interaction.permissions.administrator or self.rights <= interaction.permissions


ANYONE: Final = Access(discord.Permissions.none(), servers_only=False)
USERS_OF_COMMANDS: Final = Access(discord.Permissions(use_application_commands=True), servers_only=False)
CHANNEL_MANAGERS: Final = Access(discord.Permissions(manage_channels=True), servers_only=True)


def check_bot(channel: Postable, role: discord.Role | None = None) -> None:
    """Raise RequestError, naming what is missing, unless the bot can post in `channel`, mentioning `role`."""
    granted = channel.permissions_for(channel.guild.me)
    needed = ["view_channel", _sending(channel), "embed_links", "attach_files"]
    # Whoever may mention all roles may also mention one that others may not.
    if role is not None and not role.mentionable:
        needed.append("mention_everyone")
    missing = [name for name in needed if not getattr(granted, name)]
    if missing:
        raise RequestError(
            f"I lack the permission {_listed(missing)} in {channel.mention}: grant it to my role under"
            " Edit Channel → Permissions, and try again."
        )


def check_member(channel: Postable, member: discord.Member, role: discord.Role | None = None) -> None:
    """Raise RequestError unless `member` could post there, and mention `role`, without the bot."""
    granted = channel.permissions_for(member)
    if not (granted.view_channel and getattr(granted, _sending(channel))):
        raise RequestError(f"You cannot post in {channel.mention} yourself; choose another channel.")
    # Else the bot would let people notify a role that Discord keeps from them.
    if role is not None and not (role.mentionable or granted.mention_everyone):
        raise RequestError(f"You cannot mention {role.mention} yourself; choose another role, or none.")


def check_publishable(channel: Postable) -> None:
    """Raise RequestError unless posts in `channel` can be published to other servers."""
    if not isinstance(channel, discord.TextChannel) or not channel.is_news():
        raise RequestError(
            f"{channel.mention} is not an announcement channel, so its posts cannot be published; choose one,"
            " or leave publish out."
        )


def _sending(channel: Postable) -> str:
    return "send_messages_in_threads" if isinstance(channel, discord.Thread) else "send_messages"


def _listed(rights: list[str]) -> str:
    return list_text([_NAMES[name] for name in rights])
