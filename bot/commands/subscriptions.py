"""/subscribe, /subscriptions, /unsubscribe: posts on a schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.options import (
    EXCHANGE_CHOICES,
    EXCHANGE_HELP,
    MODE_CHOICES,
    THEME_CHOICES,
    PostTarget,
    suggestions,
    value_suggestions,
)
from bot.interaction.patience import acknowledge, patiently
from bot.request.asking import build_spec
from bot.request.due import INTERVALS, parse_interval
from bot.request.ids import parse_id
from bot.schedule.desk import fetch_channel
from bot.store.subscriptions import NewSubscription, PostStyle
from bot.views.progress import drawn
from bot.views.subscriptions import one_line
from liqmap import RequestError
from liqmap.parsing import COMMON_WINDOWS, check_request, parse_end

if TYPE_CHECKING:
    from bot.interaction.limits import Limits
    from bot.request.drawing import Draw
    from bot.request.symbols import Symbols
    from bot.schedule.desk import SubscriptionDesk
    from bot.store import Store
    from bot.store.subscriptions import Subscription
    from liqmap import Clock

_STYLES = {PostStyle.NEW_POST: "new post", PostStyle.EDIT: "edit in place"}


class Subscriptions(commands.Cog):
    """Commands about scheduled posts, and the events that change or remove them."""

    def __init__(
        self,
        store: Store,
        desk: SubscriptionDesk,
        *,
        draw: Draw,
        clock: Clock,
        limits: Limits,
        max_days: int,
        symbols: Symbols,
    ) -> None:
        self._store = store
        self.desk = desk
        self._draw = draw
        self._clock = clock
        self._limits = limits
        self._max_days = max_days
        self._symbols = symbols

    @app_commands.command(name="subscribe", description="Post a map here on a schedule")
    @app_commands.describe(
        symbol="Futures symbol, such as BTCUSDT",
        window="How far back each map goes: 6h, 90m, 7d",
        mode="Which trades count",
        every="How often to post it",
        value="The mode's number: 100, 100k or 1%",
        channel="Where to post it (default: here)",
        exchange=EXCHANGE_HELP,
        style="A new post each time, or one that is edited (default: new post)",
        role="A role to mention with each new post (default: none)",
        theme="Colours of the pictures (default: dark)",
    )
    @app_commands.choices(
        mode=MODE_CHOICES,
        every=[app_commands.Choice(name=name, value=name) for name in INTERVALS],
        exchange=EXCHANGE_CHOICES,
        style=[app_commands.Choice(name=name, value=style.value) for style, name in _STYLES.items()],
        theme=THEME_CHOICES,
    )
    @app_commands.guild_only()
    @app_commands.allowed_installs(guilds=True, users=False)
    @app_commands.default_permissions(manage_channels=True)
    async def subscribe(  # noqa: PLR0913, PLR0917 - the arguments are the command's options
        self,
        interaction: discord.Interaction,
        symbol: str,
        window: str,
        mode: str,
        every: str,
        value: str | None = None,
        channel: PostTarget | None = None,
        exchange: str | None = None,
        style: str = PostStyle.NEW_POST.value,
        role: discord.Role | None = None,
        theme: str | None = None,
    ) -> None:
        """Show a preview of the post and ask for confirmation."""
        guild_id = interaction.guild_id or 0
        spec = build_spec(
            self._store.guilds.get(guild_id),
            symbol=symbol,
            window=window,
            mode=mode,
            value=value,
            exchange=exchange,
            theme=theme,
        )
        request = check_request(spec.ending(parse_end(None, now=self._clock.now())), max_days=self._max_days)
        interval, chosen = parse_interval(every), _style(style)
        with self._limits.counted(interaction.user.id, guild_id):
            await acknowledge(interaction, ephemeral=True, thinking=True)
            target = await fetch_channel(
                interaction.client, channel.id if channel else interaction.channel_id or 0
            )
            self.desk.check_rights(interaction, target, role)
            typed, request = request.market, await self._symbols.completed(request)
            new = NewSubscription(
                *(guild_id, target.id, interaction.user.id, type(spec).of(request), interval, chosen),
                role.id if role else None,
            )
            await self.desk.check_room(new)
            result = await drawn(self._draw, interaction, request)
            draft_id = await self._store.subscriptions.draft(new, now=self._clock.now())
            await self.desk.preview(interaction, new, draft_id, result, typed=typed)

    @app_commands.command(
        name="subscriptions", description="List scheduled posts; pause, resume or remove them"
    )
    @app_commands.describe(channel="Show only the posts of this channel")
    @app_commands.guild_only()
    @app_commands.allowed_installs(guilds=True, users=False)
    @app_commands.default_permissions(manage_channels=True)
    async def subscriptions(
        self,
        interaction: discord.Interaction,
        channel: PostTarget | None = None,
    ) -> None:
        """Show the server's subscriptions, with a menu to choose one."""
        await acknowledge(interaction, ephemeral=True, thinking=True)
        await self.desk.show_list(interaction, channel.id if channel else None)

    @app_commands.command(name="unsubscribe", description="Remove a scheduled post")
    @app_commands.describe(subscription="The scheduled post to remove")
    @app_commands.guild_only()
    @app_commands.allowed_installs(guilds=True, users=False)
    @app_commands.default_permissions(manage_channels=True)
    async def unsubscribe(self, interaction: discord.Interaction, subscription: str) -> None:
        """Remove one of the server's subscriptions."""
        await acknowledge(interaction, ephemeral=True, thinking=True)
        found = await self.desk.of_guild(interaction, parse_id(subscription))
        await self.desk.remove(found.id)
        text = f"Removed: {one_line(found)}."
        await patiently(lambda: interaction.edit_original_response(content=text))

    @unsubscribe.autocomplete("subscription")
    async def suggest_subscriptions(
        self, interaction: discord.Interaction, typed: str
    ) -> list[app_commands.Choice[str]]:
        """Suggest the server's subscriptions."""
        found = await self._store.subscriptions.of_guild(interaction.guild_id or 0)
        names = [(self._name(interaction, each)[:100], str(each.id)) for each in found]
        fitting = [(name, number) for name, number in names if typed.lower() in name.lower()]
        return [app_commands.Choice(name=name, value=number) for name, number in fitting[:25]]

    @subscribe.autocomplete("symbol")
    async def suggest_symbols(
        self, interaction: discord.Interaction, typed: str
    ) -> list[app_commands.Choice[str]]:
        """Suggest symbols."""
        del interaction
        return suggestions(typed.upper().replace("/", ""), self._symbols.offered())

    @subscribe.autocomplete("window")
    async def suggest_windows(
        self, interaction: discord.Interaction, typed: str
    ) -> list[app_commands.Choice[str]]:
        """Suggest common windows."""
        del interaction
        return suggestions(typed.lower(), COMMON_WINDOWS)

    @subscribe.autocomplete("value")
    async def suggest_values(
        self, interaction: discord.Interaction, typed: str
    ) -> list[app_commands.Choice[str]]:
        """Suggest values for the mode that has been chosen."""
        return value_suggestions(typed, getattr(interaction.namespace, "mode", None))

    @commands.Cog.listener()
    async def on_guild_available(self, guild: discord.Guild) -> None:
        """Claim the rows of this server that belong to no bot yet."""
        await self.desk.claim_guild(guild.id)

    @commands.Cog.listener()
    async def on_guild_join(self, guild: discord.Guild) -> None:
        """Claim the rows of a server that the bot has just joined and that belong to no bot yet."""
        await self.desk.claim_guild(guild.id)

    @commands.Cog.listener()
    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """Erase everything about a server that the bot has left."""
        await self.desk.forget_guild(guild.id)

    @commands.Cog.listener()
    async def on_guild_channel_delete(self, channel: discord.abc.GuildChannel) -> None:
        """Remove the subscriptions and alerts of a deleted channel."""
        await self.desk.forget_channel(channel.id)

    @commands.Cog.listener()
    async def on_raw_thread_delete(self, event: discord.RawThreadDeleteEvent) -> None:
        """Remove the subscriptions and alerts of a deleted thread."""
        await self.desk.forget_channel(event.thread_id)

    def _name(self, interaction: discord.Interaction, subscription: Subscription) -> str:
        channel = (
            interaction.guild.get_channel_or_thread(subscription.channel_id) if interaction.guild else None
        )
        where = f"#{channel.name}" if channel else "a channel"
        return f"{one_line(subscription, mention=False)} in {where}"


def _style(text: str) -> PostStyle:
    try:
        return PostStyle(text)
    except ValueError:
        raise RequestError("The style is “new post” or “edit in place”; choose one.") from None
