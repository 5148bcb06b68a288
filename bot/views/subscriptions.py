"""Lists of subscriptions, and the buttons under them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, Self, cast

import discord
from discord import ui

from bot.interaction.patience import acknowledge
from bot.interaction.permissions import CHANNEL_MANAGERS
from bot.request.due import next_post
from bot.request.ids import parse_id
from bot.request.posted import ScanSpec
from bot.store.subscriptions import PostStyle, SubscriptionState
from bot.views.press import Press, chosen_value
from bot.views.replies import COLOUR, fitting
from liqmap import EXCHANGES, Side
from liqmap.text import exchanges_text, length_text, selection_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from bot.request.posted import Posted
    from bot.store.snapshots import Snapshot
    from bot.store.subscriptions import NewSubscription, Subscription

_MOST_LISTED = 25  # Discord's limit for the options of a menu
_SIDES = {Side.BUY: "longs", Side.SELL: "shorts", None: "clusters"}


class Desk(Protocol):
    """What answers the buttons: `bot.schedule.desk.SubscriptionDesk`."""

    async def confirm(self, interaction: discord.Interaction[Any], draft_id: int) -> None:
        """Start a previewed subscription."""

    async def cancel(self, interaction: discord.Interaction[Any], draft_id: int) -> None:
        """Drop a preview."""

    async def act(self, interaction: discord.Interaction[Any], action: str, number: int) -> None:
        """Pause, resume or remove a subscription."""

    async def show_list(self, interaction: discord.Interaction[Any], channel_id: int | None) -> None:
        """Show the list."""

    async def show_one(self, interaction: discord.Interaction[Any], number: int) -> None:
        """Show one subscription."""


class DeskButton(
    Press,
    ui.DynamicItem[ui.Button[Any]],
    template=r"sub:(confirm|cancel|pause|resume|remove|list):(\d{1,9})",
    access=CHANNEL_MANAGERS,
):
    """Confirm and Cancel under a preview; Pause, Resume, Remove and Back under a subscription."""

    def __init__(
        self,
        action: str,
        number: int,
        *,
        # Of a button that is made again to answer a press, nobody sees label or style.
        label: str = "…",
        style: discord.ButtonStyle = discord.ButtonStyle.secondary,
    ) -> None:
        super().__init__(ui.Button(label=label, style=style, custom_id=f"sub:{action}:{number}"))
        self._action = action
        self._number = number

    @classmethod
    def made_of(cls, *groups: str) -> Self:
        """Return the button that was pressed."""
        action, number = groups
        return cls(action, int(number))

    async def pressed(self, interaction: discord.Interaction[Any]) -> None:
        """Do what the button says."""
        desk = _desk(interaction)
        match self._action:
            case "confirm":
                await desk.confirm(interaction, self._number)
            case "cancel":
                await desk.cancel(interaction, self._number)
            case "list":
                await acknowledge(interaction)
                await desk.show_list(interaction, None)
            case action:
                await acknowledge(interaction)
                await desk.act(interaction, action, self._number)


class DeskMenu(Press, ui.DynamicItem[ui.Select[Any]], template=r"sub:pick", access=CHANNEL_MANAGERS):
    """A menu that chooses a subscription from the list."""

    def __init__(self, options: list[discord.SelectOption] | None = None) -> None:
        # A menu needs an option, also where it is only made again to answer a press.
        options = options or [discord.SelectOption(label="…")]
        super().__init__(
            ui.Select(custom_id="sub:pick", options=options, placeholder="Choose one to change it")
        )

    @classmethod
    def made_of(cls, *groups: str) -> Self:
        """Return the menu that was used."""
        del groups
        return cls()

    async def pressed(self, interaction: discord.Interaction[Any]) -> None:
        """Show what was chosen."""
        number = parse_id(chosen_value(interaction))
        await acknowledge(interaction)
        await _desk(interaction).show_one(interaction, number)


ITEMS: Final = (DeskButton, DeskMenu)


def one_line(subscription: NewSubscription, *, mention: bool = True) -> str:
    """Return what is posted, how often and how. With `mention`, also where and which role is mentioned.

    Discord shows links to channels and roles in messages, but not in the labels of menus.
    """
    parts = [*_what(subscription.spec), str(subscription.schedule)]
    if subscription.style is PostStyle.EDIT:
        parts.append("edited in place")
    if subscription.publish:
        parts.append("published")
    if mention and subscription.role_id is not None:
        parts.append(f"mentioning <@&{subscription.role_id}>")
    return ", ".join(parts) + (f" in <#{subscription.channel_id}>" if mention else "")


def confirm_view(draft_id: int) -> ui.View:
    """Return the buttons Confirm and Cancel."""
    view = ui.View(timeout=None)
    view.add_item(DeskButton("confirm", draft_id, label="Confirm", style=discord.ButtonStyle.success))
    view.add_item(DeskButton("cancel", draft_id, label="Cancel"))
    return view


def list_reply(
    subscriptions: Sequence[Subscription],
    last: Mapping[int, Snapshot | None],
    *,
    now: datetime,
    jitter: float,
) -> dict[str, Any]:
    """Return the list, as the arguments of an edit."""
    if not subscriptions:
        text = "No subscriptions here; /subscribe adds one."
        return {"content": text, "embeds": [], "attachments": [], "view": None}
    # Numbered by place, as in the menu below; the ids of rows mean nothing to people.
    lines = [
        f"{place}. {one_line(each)}\n-# {_state(each, last.get(each.id), now=now, jitter=jitter)}"
        for place, each in enumerate(subscriptions, 1)
    ]
    text = fitting(lines, most=_MOST_LISTED, hint="; choose a channel to see fewer.")
    embed = discord.Embed(title="Subscriptions", description=text, colour=COLOUR)
    return {"content": None, "embeds": [embed], "attachments": [], "view": _choice(subscriptions)}


def _choice(subscriptions: Sequence[Subscription]) -> ui.View:
    """Return the menu to choose one of the listed subscriptions."""
    options = [
        # Discord takes labels of up to 100 characters.
        discord.SelectOption(label=f"{place}. {one_line(each, mention=False)}"[:100], value=str(each.id))
        for place, each in enumerate(subscriptions[:_MOST_LISTED], 1)
    ]
    view = ui.View(timeout=None)
    view.add_item(DeskMenu(options))
    return view


def one_reply(
    subscription: Subscription, last: Snapshot | None, *, now: datetime, jitter: float
) -> dict[str, Any]:
    """Return one subscription with its buttons, as the arguments of an edit."""
    state = _state(subscription, last, now=now, jitter=jitter)
    text = f"{one_line(subscription)}\n{state}"
    embed = discord.Embed(title=_title(subscription.spec), description=text, colour=COLOUR)
    return {"content": None, "embeds": [embed], "attachments": [], "view": _actions(subscription)}


def _actions(subscription: Subscription) -> ui.View:
    view = ui.View(timeout=None)
    if subscription.state is SubscriptionState.ACTIVE:
        view.add_item(DeskButton("pause", subscription.id, label="Pause"))
    else:
        view.add_item(
            DeskButton("resume", subscription.id, label="Resume", style=discord.ButtonStyle.success)
        )
    view.add_item(DeskButton("remove", subscription.id, label="Remove", style=discord.ButtonStyle.danger))
    view.add_item(DeskButton("list", subscription.id, label="Back"))
    return view


def _what(posted: Posted) -> list[str]:
    """Return what is posted, in parts."""
    if isinstance(posted, ScanSpec):
        request = posted.request
        where = " + ".join(row.label for each, row in EXCHANGES.items() if each in request.exchanges)
        return [f"Market scan of {where}", f"{_SIDES[request.side]} within {request.within * 100:.4g} %"]
    drawn = posted.request
    return [
        f"{drawn.market.symbol} {length_text(posted.length)} on {exchanges_text(drawn.markets)}",
        selection_text(drawn.selection),
    ]


def _title(posted: Posted) -> str:
    return "Market scan" if isinstance(posted, ScanSpec) else posted.request.market.symbol


def _state(subscription: Subscription, last: Snapshot | None, *, now: datetime, jitter: float) -> str:
    if subscription.state is SubscriptionState.PAUSED:
        state = f"⏸ paused: {subscription.reason}"
    else:
        # With this subscription's jitter: without it, the time shown would be too early.
        when = next_post(subscription.id, subscription.schedule, now=now, jitter=jitter)
        state = f"next <t:{int(when.timestamp())}:R>"
    if last is None:
        return f"{state} · nothing posted yet"
    result = f"{last.state}: {last.reason}" if last.reason else str(last.state)
    return f"{state} · last <t:{int(last.due.timestamp())}:R> {result}"


def _desk(interaction: discord.Interaction[Any]) -> Desk:
    return cast("Desk", interaction.client.get_cog("Subscriptions").desk)
