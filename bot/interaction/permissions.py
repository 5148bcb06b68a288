"""What the bot, and whoever asks it, may do in a channel; and how to say what is missing."""

from __future__ import annotations

import discord

from liqmap import RequestError

Postable = discord.TextChannel | discord.Thread

_NAMES = {
    "view_channel": "View Channel",
    "send_messages": "Send Messages",
    "send_messages_in_threads": "Send Messages in Threads",
    "embed_links": "Embed Links",
    "attach_files": "Attach Files",
    "mention_everyone": "Mention All Roles",
}


def check_bot(channel: Postable, role: discord.Role | None = None) -> None:
    """Raise RequestError, naming what is missing, unless the bot can post in `channel`, mentioning `role`."""
    granted = channel.permissions_for(channel.guild.me)
    needed = ["view_channel", _sending(channel), "embed_links", "attach_files"]
    if role is not None and not role.mentionable:
        needed.append("mention_everyone")
    missing = [_NAMES[name] for name in needed if not getattr(granted, name)]
    if missing:
        rights = " and ".join((", ".join(missing[:-1]), missing[-1])) if len(missing) > 1 else missing[0]
        raise RequestError(
            f"I lack the right {rights} in {channel.mention}: grant it to my role under"
            " Edit Channel → Permissions, and try again."
        )


def check_member(channel: Postable, member: discord.Member, role: discord.Role | None = None) -> None:
    """Raise RequestError unless `member` could post there, and mention `role`, without the bot."""
    granted = channel.permissions_for(member)
    if not (granted.view_channel and getattr(granted, _sending(channel))):
        raise RequestError(f"You cannot post in {channel.mention} yourself; choose another channel.")
    if role is not None and not (role.mentionable or granted.mention_everyone):
        raise RequestError(f"You cannot mention {role.mention} yourself; choose another role, or none.")


def _sending(channel: Postable) -> str:
    return "send_messages_in_threads" if isinstance(channel, discord.Thread) else "send_messages"
