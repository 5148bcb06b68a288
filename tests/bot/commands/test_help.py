from __future__ import annotations

import discord
import pytest

from bot.commands.help import EXPLANATIONS
from liqmap import ALL_PICTURES
from tests.bot.commands.test_maps import shown
from tests.bot.conftest import Floor


async def test_help_explains_each_picture_below_it_and_every_command(floor: Floor):
    message = shown(await floor.member.slash(floor.channel, "help"))
    *pictures, listed = message.embeds
    assert set(EXPLANATIONS) == ALL_PICTURES
    for kind, embed, attachment in zip(EXPLANATIONS, pictures, message.attachments, strict=True):
        assert embed.title == EXPLANATIONS[kind].title
        assert (embed.image.url or "").endswith(f"{kind}.png")
        assert (await attachment.read()).startswith(b"\x89PNG")
        assert attachment.description
    lines = (listed.description or "").splitlines()
    for command in floor.bot.tree.walk_commands():
        if isinstance(command, discord.app_commands.Command):
            assert any(
                line.startswith(f"`/{command.qualified_name}` {command.description}") for line in lines
            )
    assert any(line.startswith("`/subscribe`") and line.endswith("(needs Manage Channels)") for line in lines)
    assert sum(map(len, message.embeds)) < 6000  # Discord's limit


@pytest.mark.parametrize(
    "word", ["wedge", "bracket", "outline", "colours", "band", "ticks", "dots", "gaps", "square root"]
)
def test_help_names_what_the_pictures_show(word: str):
    assert word in " ".join(each.text for each in EXPLANATIONS.values()).lower()


async def test_help_explains_the_pictures_of_scan_and_accuracy(floor: Floor):
    message = shown(await floor.member.slash(floor.channel, "help"))
    text = message.embeds[-1].description or ""
    assert "`/scan` draws" in text
    assert "`/accuracy` draws" in text


async def test_help_is_there_outside_of_servers(floor: Floor):
    assert (await floor.env.create_user("bob").slash("help")).response is not None
