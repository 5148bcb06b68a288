"""Do what commands and buttons request of subscriptions, from the preview to the removal."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import discord
from sqlalchemy.exc import SQLAlchemyError
from tenacity import AsyncRetrying, retry_if_exception_type, wait_exponential

from bot.interaction.patience import acknowledge, may_pass, patiently
from bot.interaction.permissions import Postable, check_bot, check_member, check_publishable
from bot.request.due import next_post
from bot.store.subscriptions import SubscriptionState
from bot.views.replies import below_completion
from bot.views.sending import send_drawn
from bot.views.subscriptions import confirm_view, list_reply, one_line, one_reply
from liqmap import RequestError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tenacity import RetryCallState

    from bot.request.posted import Drawn
    from bot.schedule.scheduler import Scheduler
    from bot.settings import SubscriptionsSettings
    from bot.store import Store
    from bot.store.subscriptions import NewSubscription, Subscription
    from bot.views.replies import Reply
    from liqmap import Clock, Market

log = logging.getLogger(__name__)

_DRAFTS_LIVE = timedelta(days=1)
_FIRST_WAIT, _LONGEST_WAIT = 30.0, 600.0
_GONE = "That subscription no longer exists; /subscriptions shows the others."


class SubscriptionDesk:
    """Changes subscriptions, and keeps their table and schedule consistent."""

    def __init__(
        self, store: Store, scheduler: Scheduler, *, clock: Clock, settings: SubscriptionsSettings
    ) -> None:
        self._store = store
        self._scheduler = scheduler
        self._clock = clock
        self._settings = settings

    async def confirm(self, interaction: discord.Interaction, draft_id: int) -> None:
        """Let a previewed subscription run."""
        await acknowledge(interaction)
        draft = await self._previewed(interaction, draft_id)
        # A second press of Confirm finds it active already, and is answered like the first.
        if draft.state is SubscriptionState.DRAFT:
            # Asked again, because rights may have changed since the preview.
            await self._check_posting(interaction, draft)
            await self._activate(draft)
        now = self._clock.now()
        when = int(next_post(draft.id, draft.schedule, now=now, jitter=self._settings.jitter).timestamp())
        text = f"Saved: {one_line(draft)}. The next post comes <t:{when}:R>, at <t:{when}:f>."
        await patiently(lambda: interaction.edit_original_response(content=text, view=None))

    async def cancel(self, interaction: discord.Interaction, draft_id: int) -> None:
        """Drop a preview."""
        await acknowledge(interaction)
        draft = await self._previewed(interaction, draft_id)
        if not await self._store.subscriptions.remove_draft(draft.id):
            raise RequestError("It is already saved; /subscriptions shows it and can remove it.")
        await patiently(
            lambda: interaction.edit_original_response(
                content="Not saved.", embeds=[], attachments=[], view=None
            )
        )

    async def show_list(self, interaction: discord.Interaction, channel_id: int | None) -> None:
        """Replace the reply with the list."""
        found = await self._store.subscriptions.of_guild(interaction.guild_id or 0)
        chosen = [each for each in found if channel_id in {None, each.channel_id}]
        last = {each.id: await self._store.snapshots.newest(each.id) for each in chosen}
        reply = list_reply(chosen, last, now=self._clock.now(), jitter=self._settings.jitter)
        await patiently(lambda: interaction.edit_original_response(**reply))

    async def show_one(self, interaction: discord.Interaction, number: int) -> None:
        """Show one subscription with its buttons."""
        found = await self.of_guild(interaction, number)
        last = await self._store.snapshots.newest(number)
        reply = one_reply(found, last, now=self._clock.now(), jitter=self._settings.jitter)
        await patiently(lambda: interaction.edit_original_response(**reply))

    async def act(self, interaction: discord.Interaction, action: str, number: int) -> None:
        """Pause, resume or remove a subscription, and show the result."""
        found = await self.of_guild(interaction, number)
        match action:
            case "pause":
                # Stored first: while the database is locked, nothing changes.
                await self._store.subscriptions.pause(number, reason=f"paused by <@{interaction.user.id}>")
                self._scheduler.remove(number)
            case "resume":
                await self._check_posting(interaction, found)
                await self._activate(found)
            case _:
                # Nothing is left to show of it, so the list takes its place.
                await self.remove(found.id)
                await self.show_list(interaction, None)
                return
        await self.show_one(interaction, number)

    async def preview(
        self,
        interaction: discord.Interaction,
        new: NewSubscription,
        result: Drawn,
        *,
        typed: Sequence[Market] = (),
    ) -> None:
        """Show what would be posted, and what the `typed` symbol means, with Confirm and Cancel."""
        # Stored before it is confirmed: a `custom_id` has no room for it, and buttons outlive a restart.
        draft_id = await self._store.subscriptions.draft(new, now=self._clock.now())
        text = below_completion(
            f"**Preview.** {one_line(new)}. Post it like this?", typed=typed, drawn=result.request.markets
        )

        async def send(reply: Reply) -> None:
            await interaction.edit_original_response(
                content=text, embeds=reply.embeds, attachments=reply.files, view=confirm_view(draft_id)
            )

        await send_drawn(result, send)

    def check_rights(
        self, interaction: discord.Interaction, target: Postable, role: discord.Role | None
    ) -> None:
        """Raise RequestError unless both the bot and the person who uses the command may post there."""
        if target.guild.id != interaction.guild_id or not isinstance(interaction.user, discord.Member):
            raise RequestError("That channel belongs to another server; choose one of this server.")
        check_member(target, interaction.user, role)
        check_bot(target, role)

    async def check_room(self, new: NewSubscription) -> None:
        """Raise RequestError if the server has too many subscriptions, or an equal one."""
        await self._store.subscriptions.check_room(new, most=self._settings.per_guild)

    async def of_guild(self, interaction: discord.Interaction, number: int) -> Subscription:
        """Return one of this server's subscriptions, drafts left out. Raises RequestError."""
        found = await self._in_guild(interaction, number)
        if found.state is SubscriptionState.DRAFT:
            raise RequestError(_GONE)
        return found

    async def _in_guild(self, interaction: discord.Interaction, number: int) -> Subscription:
        found = await self._store.subscriptions.get(number)
        if found is None or found.guild_id != interaction.guild_id:
            raise RequestError(_GONE)
        return found

    async def _previewed(self, interaction: discord.Interaction, number: int) -> Subscription:
        """Return the draft of a preview. Raises RequestError for anybody but the person who requested it."""
        found = await self._in_guild(interaction, number)
        if found.creator_id != interaction.user.id:
            raise RequestError("Only the person who requested this preview can confirm or cancel it.")
        return found

    async def _check_posting(self, interaction: discord.Interaction, subscription: Subscription) -> None:
        """Raise RequestError unless the subscription may post in its channel and mention its role."""
        target = await fetch_channel(interaction.client, subscription.channel_id)
        role = target.guild.get_role(subscription.role_id) if subscription.role_id else None
        if subscription.role_id and role is None:
            raise RequestError(
                "The role to mention no longer exists; use /subscribe with another role, or none."
            )
        self.check_rights(interaction, target, role)
        if subscription.publish:
            check_publishable(target)

    async def _activate(self, subscription: Subscription) -> None:
        most = self._settings.per_guild
        if not await self._store.subscriptions.activate(subscription.id, now=self._clock.now(), most=most):
            raise RequestError(_GONE)
        self._scheduler.add(subscription)

    async def remove(self, number: int) -> None:
        """Remove a subscription."""
        await self._store.subscriptions.remove(number)
        self._scheduler.remove(number)

    async def outlast(self, change: Callable[[], Awaitable[None]]) -> None:
        """Make a change that Discord reports only once, however long the database is locked or away."""
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(SQLAlchemyError),
            wait=wait_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT),
            sleep=self._clock.sleep,
            before_sleep=_note_waiting,
        ):
            with attempt:
                await change()

    async def claim_guild(self, guild_id: int) -> None:
        """Claim a server's rows that belong to no bot, and schedule its subscriptions."""
        claimed = await self._store.claims.claim(guild_id)
        if claimed is None:
            return
        log.warning(
            "claimed in guild %d, where they belonged to no bot: %d subscriptions, %d alerts, %s",
            *(guild_id, len(claimed.subscriptions), len(claimed.alerts)),
            "its settings" if claimed.defaults else "no settings",
        )
        await self._store.guilds.load()
        await self._schedule_missing()

    async def forget_guild(self, guild_id: int) -> None:
        """Erase everything about a server that the bot has left."""
        for number in await self._store.subscriptions.remove_guild(guild_id):
            self._scheduler.remove(number)
        await self._store.alerts.remove_guild(guild_id)
        await self._store.guilds.remove(guild_id)

    async def forget_channel(self, channel_id: int) -> None:
        """Erase a deleted channel's subscriptions and alerts, and take it off the allowed channels."""
        for number in await self._store.subscriptions.remove_channel(channel_id):
            self._scheduler.remove(number)
        await self._store.alerts.remove_channel(channel_id)
        await self._store.guilds.remove_channel(channel_id)

    async def tidy(self, client: discord.Client) -> None:
        """Remove unconfirmed drafts, old snapshots, and the rows of servers that removed the bot."""
        now = self._clock.now()
        await self._store.subscriptions.remove_drafts(before=now - _DRAFTS_LIVE)
        # They only serve to show the last result and to find a post again; older ones serve neither.
        await self._store.snapshots.remove_old(before=now - timedelta(days=30))
        await self._store.interactions.forget_old(now=now)
        await self._store.under_way.forget_old(now=now)
        await self._schedule_missing()
        # Before that, the list of servers is not complete, and servers that are there would be erased.
        if client.is_ready():
            await self._claim_left(client)
            await self._forget_left(client)

    async def _schedule_missing(self) -> None:
        """Schedule subscriptions that another process or a claim has activated."""
        for subscription in await self._store.subscriptions.active():
            self._scheduler.ensure(subscription)

    async def _claim_left(self, client: discord.Client) -> None:
        """Claim rows that were imported since the start."""
        await self._store.claims.load()
        for guild in client.guilds:
            await self.claim_guild(guild.id)

    async def _forget_left(self, client: discord.Client) -> None:
        """Erase the servers that removed the bot while it was offline, for which Discord sends no event."""
        known = set(self._store.guilds.all())
        known.update(each.guild_id for each in await self._store.subscriptions.every_one())
        known.update(each.guild_id for each in await self._store.alerts.all())
        for guild_id in known - {guild.id for guild in client.guilds}:
            try:
                await patiently(partial(client.fetch_guild, guild_id))
            except (discord.Forbidden, discord.NotFound) as error:
                # A refusal from a proxy or during an outage must not erase a server.
                if not may_pass(error):
                    log.info("the bot is no longer in guild %d", guild_id)
                    await self.forget_guild(guild_id)


def _note_waiting(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning("a change that Discord reported waits for the database: %s", type(error).__name__)


async def fetch_channel(client: discord.Client, channel_id: int) -> Postable:
    """Return a channel that takes posts. Raises RequestError."""
    try:
        channel = client.get_channel(channel_id) or await patiently(lambda: client.fetch_channel(channel_id))
    except (discord.Forbidden, discord.NotFound) as error:
        raise RequestError(
            f"I cannot see <#{channel_id}>: grant my role the permission View Channel there, and try again."
        ) from error
    if not isinstance(channel, discord.TextChannel | discord.Thread):
        raise RequestError(f"<#{channel_id}> cannot take posts; choose a text channel or a thread.")
    return channel
