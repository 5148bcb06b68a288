"""Buttons and menus under a map. They outlive a restart, because a `custom_id` has all that a press needs."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, cast

import discord
from discord import ui

from bot.interaction.patience import acknowledge, patiently
from bot.interaction.permissions import ANYONE, USERS_OF_COMMANDS
from bot.request.spec import STALE, MapSpec, decode_number, decode_spec, encode_number, encode_spec
from bot.views.press import Press, chosen_value
from liqmap import EXCHANGES, Exchange, MarginModel, Market, Mode, RequestError
from liqmap.parsing import ALL_EXCHANGES, exchanges_word, parse_exchanges, parse_selection
from liqmap.text import length_text

if TYPE_CHECKING:
    from liqmap import MapResult

CUSTOM_ID_LENGTH: Final = 100  # Discord's limit
_LABEL_LENGTH = 80  # Discord's limit
MODE_NAMES: Final = {
    Mode.TOP_N: "top_n: the largest trades of each side",
    Mode.GROSS_VALUE: "gross_value: all trades of at least this notional",
    Mode.PORTION: "portion: the largest share of each side's trades",
}
_WINDOWS = {"1h": 1, "6h": 6, "24h": 24, "7d": 168}


class Presses(Protocol):
    """What answers presses: `bot.commands.maps.Maps`."""

    async def redraw(
        self, interaction: discord.Interaction[Any], spec: MapSpec, end: datetime | None
    ) -> None:
        """Draw `spec` in place of what is shown, up to `end` or now."""

    async def open_beside(self, interaction: discord.Interaction[Any], spec: MapSpec, end: datetime) -> None:
        """Draw `spec` up to `end` beside what is shown, visible only to the person who asked."""

    async def send_csv(self, interaction: discord.Interaction[Any], spec: MapSpec, end: datetime) -> None:
        """Send the table of levels."""


class MapButton(
    Press,
    ui.DynamicItem[ui.Button[Any]],
    template=r"map:(r|c|e|o|w\d{1,3}):(.+)",
    access=USERS_OF_COMMANDS,
):
    """A button that draws again: Refresh, CSV, another end, beside the message, or another window.

    The actions are r, c, e, o, and w with a number of hours.
    """

    def __init__(
        self, action: str, code: str, *, label: str = "…", row: int | None = None, now: bool = False
    ) -> None:
        style = discord.ButtonStyle.primary if now else discord.ButtonStyle.secondary
        super().__init__(ui.Button(label=label, style=style, custom_id=f"map:{action}:{code}", row=row))
        self._action = action
        self._code = code

    @classmethod
    def made_of(cls, *groups: str) -> Self:
        """Return the button that was pressed."""
        action, code = groups
        return cls(action, code)

    async def pressed(self, interaction: discord.Interaction[Any]) -> None:
        """Do what the button says."""
        spec, end = _decode(self._code)
        presses = _presses(interaction)
        match self._action:
            case "r":
                await presses.redraw(interaction, spec, None)
            case "c":
                await presses.send_csv(interaction, spec, end)
            case "e":
                await presses.redraw(interaction, spec, end)
            case "o":
                await presses.open_beside(interaction, spec, end)
            case window:
                length = timedelta(hours=int(window[1:]))
                await presses.redraw(interaction, spec.lasting(length), end)


class MapMenu(Press, ui.DynamicItem[ui.Select[Any]], template=r"map:(m|x):(.+)", access=USERS_OF_COMMANDS):
    """A menu that draws again with another mode (m) or exchange (x)."""

    def __init__(
        self,
        action: str,
        code: str,
        *,
        options: list[discord.SelectOption] | None = None,
        row: int | None = None,
    ) -> None:
        options = options or [discord.SelectOption(label="…")]
        super().__init__(ui.Select(custom_id=f"map:{action}:{code}", options=options, row=row))
        self._action = action
        self._code = code

    @classmethod
    def made_of(cls, *groups: str) -> Self:
        """Return the menu that was used."""
        action, code = groups
        return cls(action, code)

    async def pressed(self, interaction: discord.Interaction[Any]) -> None:
        """Draw with what was chosen."""
        spec, end = _decode(self._code)
        chosen = _chosen(spec, self._action, chosen_value(interaction))
        await _presses(interaction).redraw(interaction, chosen, end)


class DeleteButton(Press, ui.DynamicItem[ui.Button[Any]], template=r"delete:([0-9a-z]{1,13})", access=ANYONE):
    """Deletes the message, for the person who asked for it and for moderators."""

    def __init__(self, author_id: int, *, row: int | None = None) -> None:
        custom_id = f"delete:{encode_number(author_id)}"
        style = discord.ButtonStyle.danger
        super().__init__(ui.Button(label="Delete", style=style, custom_id=custom_id, row=row))
        self._author_id = author_id

    @classmethod
    def made_of(cls, *groups: str) -> Self:
        """Return the button that was pressed."""
        (author,) = groups
        return cls(decode_number(author))

    async def pressed(self, interaction: discord.Interaction[Any]) -> None:
        """Delete the message."""
        moderates = interaction.guild_id is not None and interaction.permissions.manage_messages
        if interaction.user.id != self._author_id and not moderates:
            raise RequestError("Only the person who asked for this map, or a moderator, can delete it.")
        # Acknowledged first, because deleting may take several attempts.
        await acknowledge(interaction)
        with suppress(discord.NotFound):  # an earlier attempt arrived after all, or somebody else deleted it
            await patiently(interaction.delete_original_response)


ITEMS: Final = (MapButton, MapMenu, DeleteButton)


def whole_view(spec: MapSpec, whole_end: datetime, *, author_id: int) -> ui.View:
    """Return the buttons under a refusal of an uncovered window: the newest covered one, and Delete."""
    view = ui.View(timeout=None)
    _add_whole(view, spec, whole_end, row=0)
    view.add_item(DeleteButton(author_id, row=0))
    return view


def author_of(interaction: discord.Interaction[Any]) -> int:
    """Return the id of the person whose command is answered, no matter who presses a button under it."""
    # After a press, only the message knows whose command it answered.
    asked = interaction.message and interaction.message.interaction_metadata
    return (asked or interaction).user.id


def answer_view(interaction: discord.Interaction[Any], result: MapResult) -> ui.View:
    """Return the buttons under an answer."""
    return map_view(
        MapSpec(result.request),
        result.request.window.end,
        author_id=author_of(interaction),
        whole_end=result.coverage.whole_end,
    )


def map_view(spec: MapSpec, end: datetime, *, author_id: int, whole_end: datetime | None = None) -> ui.View:
    """Return the buttons under a map, or only Delete if the spec is too long for the others.

    With `whole_end`, there is a button for the window that ends there, too.
    """
    # Without a timeout: the buttons last as long as their message.
    view = ui.View(timeout=None)
    code = _code(spec, end)
    # The window button has the longest prefix: if it fits, all the others do.
    if len(code) + len("map:w168:") <= CUSTOM_ID_LENGTH:
        _add_redrawing(view, spec, code)
        view.add_item(MapButton("c", code, label="CSV", row=3))
        if whole_end is not None:
            _add_whole(view, spec, whole_end, row=3)
    view.add_item(DeleteButton(author_id, row=3))
    return view


def _add_redrawing(view: ui.View, spec: MapSpec, code: str) -> None:
    """Add the buttons and menus that draw the map again, with one thing changed."""
    view.add_item(MapButton("r", code, label="Refresh", row=0))
    for label, hours in _WINDOWS.items():
        shown = spec.length == timedelta(hours=hours)
        view.add_item(MapButton(f"w{hours}", code, label=label, row=0, now=shown))
    # Discord gives each menu a row of its own.
    view.add_item(MapMenu("m", code, options=_modes(spec), row=1))
    view.add_item(MapMenu("x", code, options=_exchanges(spec), row=2))


def open_button(spec: MapSpec, end: datetime, *, label: str, row: int) -> MapButton | None:
    """Return a button that draws a map beside the message; None if the spec is too long for one."""
    code = _code(spec, end)
    if len(code) + len("map:o:") > CUSTOM_ID_LENGTH:
        return None
    return MapButton("o", code, label=label[:_LABEL_LENGTH], row=row)


def _add_whole(view: ui.View, spec: MapSpec, whole_end: datetime, *, row: int) -> None:
    code = _code(spec, whole_end)
    if len(code) + len("map:e:") <= CUSTOM_ID_LENGTH:
        label = f"The whole {length_text(spec.length)} until {whole_end:%b %d %H:%M} UTC"
        view.add_item(MapButton("e", code, label=label, row=row, now=True))


def _code(spec: MapSpec, end: datetime) -> str:
    return f"{encode_spec(spec)}:{encode_number(int(end.timestamp()))}"


def _decode(code: str) -> tuple[MapSpec, datetime]:
    spec, _, end = code.rpartition(":")
    try:
        return decode_spec(spec), datetime.fromtimestamp(decode_number(end), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise RequestError(STALE) from error


def _chosen(spec: MapSpec, action: str, value: str) -> MapSpec:
    if action == "m" and value in set(Mode):
        mode = Mode(value)
        if mode is spec.request.selection.mode:
            return spec  # keeps its value; another mode begins with its default
        return MapSpec(replace(spec.request, selection=parse_selection(mode)))
    if action == "x" and value in {ALL_EXCHANGES, *Exchange}:
        exchanges = parse_exchanges(value)
        # The model follows the exchange, unless another model was chosen.
        own = spec.request.model in {
            MarginModel.EXCHANGE,
            EXCHANGES[spec.request.market.exchange].margin.model,
        }
        model = EXCHANGES[exchanges[0]].margin.model if len(exchanges) == 1 else MarginModel.EXCHANGE
        markets = tuple(Market(each, spec.request.market.symbol) for each in exchanges)
        return spec.on(markets, model=model if own else spec.request.model)
    raise RequestError(STALE)


def _modes(spec: MapSpec) -> list[discord.SelectOption]:
    return [
        discord.SelectOption(label=name, value=mode.value, default=mode is spec.request.selection.mode)
        for mode, name in MODE_NAMES.items()
    ]


def _exchanges(spec: MapSpec) -> list[discord.SelectOption]:
    chosen = exchanges_word([each.exchange for each in spec.request.markets])
    names = {ALL_EXCHANGES: "All exchanges"} | {each.value: row.label for each, row in EXCHANGES.items()}
    return [
        discord.SelectOption(label=label, value=value, default=value == chosen)
        for value, label in names.items()
    ]


def _presses(interaction: discord.Interaction[Any]) -> Presses:
    # The only way from a press to the cog: Discord sends the `custom_id`, and discord.py adds its client.
    return cast("Presses", interaction.client.get_cog("Maps"))
