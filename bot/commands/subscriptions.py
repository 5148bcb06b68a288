"""/subscribe, /subscriptions, /unsubscribe: posts on a schedule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.options import ONE_EXCHANGE, SCAN_DISTANCE, PostTarget, found_choices, options
from bot.interaction.patience import acknowledge, patiently
from bot.interaction.permissions import check_publishable
from bot.request.asking import build_scan, build_schedule, build_spec
from bot.request.ids import parse_id
from bot.request.spec import MapSpec
from bot.schedule.desk import fetch_channel
from bot.store.subscriptions import NewSubscription, PostStyle
from bot.views.progress import drawn
from bot.views.subscriptions import one_line
from liqmap import RequestError
from liqmap.parsing import check_request, parse_end

if TYPE_CHECKING:
    from bot.interaction.limits import Limits
    from bot.interaction.permissions import Postable
    from bot.request.drawing import Draw, Scan
    from bot.request.due import Schedule
    from bot.request.posted import Posted
    from bot.request.symbols import Symbols
    from bot.schedule.desk import SubscriptionDesk
    from bot.store import Store
    from bot.store.subscriptions import Subscription
    from liqmap import Clock


@dataclass(frozen=True, slots=True)
class _Place:
    """Where and how posts come, as the options say; without a channel, where the command is used."""

    channel: PostTarget | None
    style: PostStyle
    role: discord.Role | None
    publish: bool

    def subscription(
        self, interaction: discord.Interaction, target: Postable, posted: Posted, schedule: Schedule
    ) -> NewSubscription:
        """Return what is subscribed to."""
        return NewSubscription(
            *(interaction.guild_id or 0, target.id, interaction.user.id, posted, schedule, self.style),
            role_id=self.role.id if self.role else None,
            publish=self.publish,
        )


class Subscriptions(commands.Cog):
    """Commands about scheduled posts, and the events that change or remove them."""

    def __init__(
        self,
        store: Store,
        desk: SubscriptionDesk,
        *,
        draw: Draw,
        scan: Scan,
        clock: Clock,
        limits: Limits,
        max_days: int,
        symbols: Symbols,
    ) -> None:
        self._store = store
        self.desk = desk
        self._draw = draw
        self._scan = scan
        self._clock = clock
        self._limits = limits
        self._max_days = max_days
        self._symbols = symbols

    @app_commands.command(name="subscribe", description="Post a map here on a schedule")
    @options(
        *("symbol", "every", "mode", "value", "at", "days", "timezone", "channel", "exchange", "style"),
        *("publish", "role", "theme"),
        window="How far back each map goes: 6h, 90m, 7d",
    )
    @app_commands.guild_only()
    @app_commands.allowed_installs(guilds=True, users=False)
    @app_commands.default_permissions(manage_channels=True)
    async def subscribe(  # noqa: PLR0913, PLR0917 - the arguments are the command's options
        self,
        interaction: discord.Interaction,
        symbol: str,
        window: str,
        every: str,
        mode: str | None = None,
        value: str | None = None,
        at: str | None = None,
        days: str | None = None,
        timezone: str | None = None,
        channel: PostTarget | None = None,
        exchange: str | None = None,
        style: str = PostStyle.NEW_POST.value,
        publish: bool = False,
        role: discord.Role | None = None,
        theme: str | None = None,
    ) -> None:
        """Show a preview of the post and ask for confirmation."""
        guild_id = interaction.guild_id or 0
        # Before the acknowledgement, so that a mistake is answered at once.
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
        place = _Place(channel, _style(style), role, publish)
        schedule = build_schedule(
            self._store.guilds.get(guild_id), every=every, at=at, days=days, timezone=timezone
        )
        async with self._limits.counted(interaction.user.id, guild_id):
            await acknowledge(interaction, ephemeral=True, thinking=True)
            target = await self._target(interaction, place)
            meant = await self._symbols.completed(request)
            new = place.subscription(interaction, target, MapSpec(meant), schedule)
            # Before it is drawn: nobody should wait for a preview that cannot be confirmed.
            await self.desk.check_room(new)
            # Drawn before it is saved, so that nobody subscribes to a map that cannot be drawn.
            async with self._symbols.explaining(meant, typed=symbol):
                result = await drawn(self._draw, interaction, meant)
            await self.desk.preview(interaction, new, result, typed=request.markets)

    @app_commands.command(
        name="subscribe-scan", description="Post the market scan here on a schedule, as /scan shows it"
    )
    @options(
        *("every", "side", "at", "days", "timezone", "channel", "style", "publish", "role", "theme"),
        exchange=ONE_EXCHANGE,
        distance=SCAN_DISTANCE,
    )
    @app_commands.guild_only()
    @app_commands.allowed_installs(guilds=True, users=False)
    @app_commands.default_permissions(manage_channels=True)
    async def subscribe_scan(  # noqa: PLR0913, PLR0917 - the arguments are the command's options
        self,
        interaction: discord.Interaction,
        every: str,
        exchange: str | None = None,
        side: str | None = None,
        distance: str = "5%",
        at: str | None = None,
        days: str | None = None,
        timezone: str | None = None,
        channel: PostTarget | None = None,
        style: str = PostStyle.NEW_POST.value,
        publish: bool = False,
        role: discord.Role | None = None,
        theme: str | None = None,
    ) -> None:
        """Show a preview of the scan and ask for confirmation."""
        guild_id = interaction.guild_id or 0
        defaults = self._store.guilds.get(guild_id)
        spec = build_scan(defaults, exchange=exchange, side=side, distance=distance, theme=theme)
        place = _Place(channel, _style(style), role, publish)
        schedule = build_schedule(defaults, every=every, at=at, days=days, timezone=timezone)
        async with self._limits.counted(interaction.user.id, guild_id):
            await acknowledge(interaction, ephemeral=True, thinking=True)
            target = await self._target(interaction, place)
            new = place.subscription(interaction, target, spec, schedule)
            await self.desk.check_room(new)
            result = await self._scan(spec.ending(parse_end(None, now=self._clock.now())))
            await self.desk.preview(interaction, new, result)

    @app_commands.command(
        name="subscriptions", description="List scheduled posts; pause, resume or remove them"
    )
    @options(channel="Show only the posts of this channel")
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
    @options("subscription")
    @app_commands.guild_only()
    @app_commands.allowed_installs(guilds=True, users=False)
    @app_commands.default_permissions(manage_channels=True)
    async def unsubscribe(self, interaction: discord.Interaction, subscription: str) -> None:
        """Remove one of the server's subscriptions."""
        await acknowledge(interaction, ephemeral=True, thinking=True)
        # Any number can be typed, so it is looked up among this server's.
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
        return found_choices({str(each.id): self._name(interaction, each) for each in found}, typed)

    # Servers arrive one by one after the start, each as soon as Discord reports it.
    @commands.Cog.listener()
    async def on_guild_available(self, guild: discord.Guild) -> None:
        """Claim the rows of this server that belong to no bot yet."""
        await self.desk.outlast(lambda: self.desk.claim_guild(guild.id))

    @commands.Cog.listener()
    async def on_guild_join(self, guild: discord.Guild) -> None:
        """Claim the rows of a server that the bot has just joined and that belong to no bot yet."""
        await self.desk.outlast(lambda: self.desk.claim_guild(guild.id))

    @commands.Cog.listener()
    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """Erase everything about a server that the bot has left."""
        await self.desk.outlast(lambda: self.desk.forget_guild(guild.id))

    @commands.Cog.listener()
    async def on_guild_channel_delete(self, channel: discord.abc.GuildChannel) -> None:
        """Remove the subscriptions and alerts of a deleted channel."""
        await self.desk.outlast(lambda: self.desk.forget_channel(channel.id))

    @commands.Cog.listener()
    async def on_raw_thread_delete(self, event: discord.RawThreadDeleteEvent) -> None:
        """Remove the subscriptions and alerts of a deleted thread."""
        await self.desk.outlast(lambda: self.desk.forget_channel(event.thread_id))

    async def _target(self, interaction: discord.Interaction, place: _Place) -> Postable:
        """Return the channel to post in. Raises RequestError unless all that is wanted may be done there."""
        number = place.channel.id if place.channel else interaction.channel_id or 0
        target = await fetch_channel(interaction.client, number)
        # The target may be another channel than this one, for which Discord has checked no permission.
        self.desk.check_rights(interaction, target, place.role)
        if place.publish:
            check_publishable(target)
        return target

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
