"""Announce the commands to Discord, unless it already has exactly these."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from bot.interaction.patience import UNSENT, failure_text, patiently

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import discord
    from discord import app_commands

log = logging.getLogger(__name__)

_COMMAND: Final = ("name", "description", "nsfw", "contexts", "integration_types")
_OPTION: Final = (
    *("type", "name", "description", "required", "autocomplete", "channel_types"),
    *("min_value", "max_value", "min_length", "max_length"),
)
_CHAT_INPUT: Final = 1


async def announce(tree: app_commands.CommandTree[discord.Client]) -> None:
    """Fetch the commands that Discord has, and announce those of `tree` if they differ.

    Restarts are more frequent than changes, and Discord limits how often commands are created. If Discord
    cannot be reached, the commands announced earlier keep working.
    """
    client, commands = tree.client, [command.to_dict(tree) for command in tree.get_commands()]
    try:
        known = await patiently(partial(client.http.get_global_commands, client.application_id or 0))
        if are_same(commands, known):
            return
        await patiently(tree.sync)
    except UNSENT as error:
        log.warning(
            "the commands could not be announced (%s); the next start tries again", failure_text(error)
        )
        return
    log.info("announced %d commands", len(commands))


def are_same(ours: Iterable[Mapping[str, Any]], known: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether people see the same commands. Fields that only Discord adds are ignored."""
    try:
        return _by_name(ours) == _by_name(known)
    except (AttributeError, KeyError, TypeError, ValueError):  # an unknown shape cannot be equal to ours
        return False


def _by_name(commands: Iterable[Mapping[str, Any]]) -> dict[tuple[int, str], dict[str, Any]]:
    return {(each.get("type", _CHAT_INPUT), each["name"]): _command(each) for each in commands}


def _command(command: Mapping[str, Any]) -> dict[str, Any]:
    seen = _chosen(command, _COMMAND)
    rights = command.get("default_member_permissions")
    # 0 means administrators only; a missing value means everybody.
    seen["default_member_permissions"] = None if rights is None else int(rights)
    seen["options"] = _options(command.get("options"))
    return seen


def _options(options: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    found = []
    for option in options or ():
        choices = [(choice["name"], choice["value"]) for choice in option.get("choices") or ()]
        nested = _options(option.get("options"))
        found.append(_chosen(option, _OPTION) | {"choices": choices, "options": nested})
    return found


def _chosen(content: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the values that differ from the default. Lists are sorted: Discord returns them in any order."""
    values = {name: content.get(name) for name in names}
    return {
        name: sorted(value) if isinstance(value, list) else value
        for name, value in values.items()
        if value is not None and value is not False and value != []
    }
