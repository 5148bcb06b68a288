"""The Discord client: sets up commands and schedule, and notes which shards are connected."""

from __future__ import annotations

import asyncio
import logging
from contextvars import copy_context
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import discord
from discord.ext import commands

from bot.commands.accuracy import Accuracy
from bot.commands.alerts import Alerts
from bot.commands.help import Help
from bot.commands.maps import Maps
from bot.commands.scan import Scans
from bot.commands.server import Server
from bot.commands.status import Status
from bot.commands.subscriptions import Subscriptions
from bot.interaction.announce import announce
from bot.interaction.gate import Gate
from bot.interaction.limits import Limits, Places
from bot.interaction.tree import ErrorFunnel
from bot.interaction.waiting import Waiting
from bot.ops.metrics import Metrics
from bot.request.completing import Typed
from bot.request.drawing import EngineFacts
from bot.request.pending import TOKENS_LIVE
from bot.request.symbols import Symbols
from bot.schedule.alerts import EVERY, AlertWatch
from bot.schedule.desk import SubscriptionDesk
from bot.schedule.draws import SharedDraws, drawing
from bot.schedule.posts import Posts
from bot.schedule.scheduler import Scheduler
from bot.schedule.set_back import NOTICED
from bot.schedule.snapshots import SnapshotJob
from bot.store.owner import Shards
from bot.views import map as buttons
from bot.views import scan as scan_buttons
from bot.views import subscriptions as panels
from bot.views.press import answer_stale
from liqmap import damage_warning

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from contextvars import Context

    from bot.request.drawing import Draw
    from bot.settings import BotSettings
    from bot.store import Store
    from liqmap import SteadyClock

log = logging.getLogger(__name__)

_ITEMS: Final = (*buttons.ITEMS, *scan_buttons.ITEMS, *panels.ITEMS)


class LiqmapBot(commands.AutoShardedBot):
    """The bot. It needs no privileged intent and mentions nobody by default."""

    def __init__(
        self,
        settings: BotSettings,
        *,
        draw: Draw,
        store: Store,
        clock: SteadyClock,
        symbols: Symbols | None = None,
        metrics: Metrics | None = None,
        schedule_in: Context | None = None,
        facts: EngineFacts | None = None,
    ) -> None:
        ids = settings.discord.shard_ids
        own_shards: dict[str, Any] = {"shard_ids": list(ids)} if ids else {}
        super().__init__(
            # discord.py requires a prefix; without message intents it never matches.
            command_prefix=commands.when_mentioned,
            help_command=None,
            intents=discord.Intents(guilds=True),
            allowed_mentions=discord.AllowedMentions.none(),
            tree_cls=ErrorFunnel,
            shard_count=settings.discord.shards or None,
            **own_shards,
            heartbeat_timeout=settings.discord.heartbeat_timeout,
            # The library has one proxy for the API and the gateway, which belong to one service.
            proxy=settings.network.proxy_for(settings.discord.api_url),
        )
        # Whether it has ever been connected: before that, no shard is noted as away.
        self._greeted = False
        self._shards_away: set[int] = set()
        self._settings = settings
        self.metrics = metrics or Metrics()
        self._draw = self.metrics.measured(draw)
        self._store = store
        self._clock = clock
        self._process = settings.discord.process
        self.waiting = Waiting(store.pending, now=clock.now, process=self._process)
        self._symbols = symbols or Symbols()
        self._schedule_in = schedule_in
        self._facts = facts or EngineFacts()
        self._scheduler: Scheduler | None = None
        self.gate = Gate(self._take)

    async def setup_hook(self) -> None:
        """Add the commands, start the schedule, and register the commands if Discord has other ones.

        discord.py calls this once, after the login and before the connection to the gateway.
        """
        self.add_dynamic_items(*_ITEMS)
        discord_settings = self._settings.discord
        ids, count = discord_settings.shard_ids, discord_settings.shards
        # The application's id is known by the login.
        self._store = await self._store.of(
            cast("int", self.application_id), Shards(ids, count) if ids else None
        )
        posts = Posts(
            self,
            per_second=self._settings.subscriptions.posts_per_second,
            sleep=self._clock.sleep,
        )
        scheduler = self._scheduler = self._new_scheduler(posts)
        await self._add_cogs(scheduler)
        watch = AlertWatch(
            self._store,
            posts,
            self._draw,
            clock=self._clock,
            positions=self._settings.alerts.positions,
            symbols=self._symbols,
            scan=self._facts.scan,
        )
        scheduler.every(EVERY, watch.check, name="alerts")
        scheduler.every(TOKENS_LIVE, self._forget_dead_tokens, name="tokens")
        # Before the first new command: someone may have been waiting since before the restart.
        await self._answer_left()
        if self._settings.discord.sync_commands:
            await announce(self.tree)
        await self._rewind(await self._store.snapshots.ahead(now=self._clock.now()))
        scheduler.start(await self._store.subscriptions.active())

    async def close(self) -> None:
        """Answer everybody who waits, stop the schedule, then close the connection."""
        # While the connection is open: a closed client can send no answers.
        await asyncio.gather(self.waiting.close(), *([self._scheduler.close()] if self._scheduler else []))
        await super().close()

    async def follow(self) -> None:
        """Take over what another process has changed in the database."""
        if self._scheduler is not None:  # else the start reads all of it
            await self._store.guilds.load()
            self._scheduler.follow(await self._store.subscriptions.active())

    async def _answer_left(self) -> None:
        """Answer the people whom a killed process left waiting."""
        application = self.application_id or 0
        if not await self._store.processes.take(application, process=self._process):
            log.warning(
                "another process runs this bot on the same database; stop one of them, or give each its own"
                " discord.shard_ids"
            )
            return
        await self._forget_dead_tokens()
        await self._store.under_way.forget(application, process=self._process)
        owed = await self._store.pending.of(application, process=self._process)
        self.waiting.answer_left(self, owed)

    async def _forget_dead_tokens(self) -> None:
        await self._store.pending.remove_old(now=self._clock.now())

    async def _rewind(self, back: timedelta) -> None:
        if back >= NOTICED:
            log.warning("the newest posts are dated %s in the future: the clock was set back", back)
            await self._store.rewind(now=self._clock.now(), back=back)

    def _new_scheduler(self, posts: Posts) -> Scheduler:
        settings = self._settings.subscriptions
        # Equal requests that are due together arrive within the jitter, or a little later on a busy machine.
        keep = timedelta(seconds=settings.jitter + 300)
        job = SnapshotJob(
            self._store,
            posts,
            SharedDraws(drawing(self._draw, self._facts.scan), clock=self._clock, keep=keep),
            clock=self._clock,
            settings=settings,
            on_outcome=self.metrics.count_snapshot,
        )
        # Not `or`: an empty context is falsy.
        context = copy_context() if self._schedule_in is None else self._schedule_in
        return Scheduler(job, clock=self._clock, jitter=settings.jitter, context=context, rewind=self._rewind)

    async def _add_cogs(self, scheduler: Scheduler) -> None:
        limits = Limits(self._settings.limits, clock=self._clock, places=self._places())
        max_days = self._settings.engine.max_window_days
        draw = self.waiting.until_stopped(self._draw)
        await self.add_cog(
            Maps(
                draw,
                now=self._clock.now,
                max_days=max_days,
                limits=limits,
                defaults=self._store.guilds.get,
                symbols=self._symbols,
            )
        )
        await self.add_cog(
            Scans(self._facts.scan, now=self._clock.now, limits=limits, defaults=self._store.guilds.get)
        )
        desk = SubscriptionDesk(
            self._store, scheduler, clock=self._clock, settings=self._settings.subscriptions
        )
        await self.add_cog(
            Subscriptions(
                self._store,
                desk,
                draw=draw,
                scan=self._facts.scan,
                clock=self._clock,
                limits=limits,
                max_days=max_days,
                symbols=self._symbols,
            )
        )
        await self.add_cog(Server(self._store.guilds))
        await self.add_cog(Help())
        await self.add_cog(Accuracy(self._facts.report))
        await self.add_cog(
            Status(
                self._store,
                self._facts,
                damaged=partial(damage_warning, self._settings.storage.path),
                most_under_way=self._settings.engine.queue_size,
                started=self._clock.now(),
            )
        )
        await self.add_cog(
            Alerts(
                self._store,
                draw=draw,
                clock=self._clock,
                limits=limits,
                settings=self._settings.alerts,
                symbols=self._symbols,
            )
        )
        scheduler.every(timedelta(hours=1), partial(desk.tidy, self), name="tidy")

    def _places(self) -> Places | None:
        """Return what counts a person's maps at all processes, None if this one is the only one."""
        if not self._settings.discord.shard_ids:
            return None
        application, limits = self.application_id or 0, self._settings.limits

        def counted(user_id: int) -> AbstractAsyncContextManager[None]:
            return self._store.under_way.counted(
                application,
                user_id,
                most=limits.maps_per_user,
                a_minute=limits.maps_per_user_a_minute,
                process=self._process,
                now=self._clock.now(),
            )

        return counted

    def typed(self, interaction: discord.Interaction, text: str) -> Typed:
        """Return what is known while somebody types `text` into an option."""
        return Typed(
            text,
            vars(interaction.namespace),
            defaults=self._store.guilds.get(interaction.guild_id),
            symbols=self._symbols,
            now=self._clock.now(),
            max_days=self._settings.engine.max_window_days,
        )

    @property
    def connected(self) -> bool:
        """Whether the gateway is connected, for every shard."""
        return self._greeted and not self._shards_away

    async def on_connect(self) -> None:
        """Note that the gateway is connected."""
        self._greeted = True
        log.info("connected as %s", self.user)

    async def on_shard_connect(self, shard_id: int) -> None:
        """Note that a shard is connected, with a new session."""
        self._shards_away.discard(shard_id)

    async def on_shard_resumed(self, shard_id: int) -> None:
        """Note that a shard has resumed its session."""
        self._shards_away.discard(shard_id)

    async def on_shard_disconnect(self, shard_id: int) -> None:
        """Note that a shard is disconnected; discord.py reconnects it."""
        self._shards_away.add(shard_id)

    async def on_interaction(self, interaction: discord.Interaction[LiqmapBot]) -> None:
        """Count presses, and answer those of buttons that this version does not know."""
        if interaction.type is discord.InteractionType.component:
            self.metrics.count_press()
        if interaction.type in {discord.InteractionType.component, discord.InteractionType.modal_submit}:
            await answer_stale(interaction, _ITEMS)

    async def on_app_command_completion(
        self, interaction: discord.Interaction[LiqmapBot], command: object
    ) -> None:
        """Count a command that was answered."""
        del command
        self.metrics.count_command(interaction, "answered")

    async def _take(self, interaction_id: int, application_id: int) -> bool:
        return await self._store.interactions.take(
            interaction_id, application_id=application_id, now=self._clock.now()
        )
