"""Run one APScheduler job for each active subscription, rebuilt from the database at the start."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy.exc import SQLAlchemyError

from bot.interaction.patience import UNSENT, failure_text
from bot.request.due import EPOCH, drawn_after
from bot.schedule.set_back import ClockWatch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from contextvars import Context

    from bot.request.due import Schedule
    from bot.store.subscriptions import Subscription
    from liqmap import SteadyClock

log = logging.getLogger(__name__)

GRACE: Final = 5.0
"""Seconds that posts under way get to finish when the bot stops."""

_RESOLUTION = timedelta(milliseconds=1)
_LOOK_SECONDS: Final = 60.0


class ClockTrigger(IntervalTrigger):  # type: ignore[misc] # the library has no types
    """Fires at multiples of its interval, no matter when it fired last.

    APScheduler counts from the last run, so an extra run, as at the start, would shift all later ones.
    """

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """Return the first due time after `now`, or `now` itself if it is one and has not fired yet."""
        found: datetime | None = super().get_next_fire_time(None, _after(previous_fire_time, now))
        return found


class DueTrigger(BaseTrigger):  # type: ignore[misc] # the library has no types
    """Fires at the due times of a schedule, each `shift` later, no matter when it fired last."""

    def __init__(self, schedule: Schedule, *, shift: timedelta) -> None:
        self._schedule = schedule
        self._shift = shift

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """Return the first due time after `now`, or `now` itself if it is one and has not fired yet."""
        return self._schedule.due_from(_after(previous_fire_time, now) - self._shift) + self._shift


class Scheduler:
    """Runs a job for each subscription when it is due. Use `start` and `close`.

    All timers run in `context`, whichever task starts them. When the clock is set back, `rewind` is called
    with the difference and all jobs are scheduled anew, because they would wait for their old times.
    """

    def __init__(
        self,
        job: Callable[[int], Awaitable[bool]],
        *,
        clock: SteadyClock,
        jitter: float,
        context: Context,
        rewind: Callable[[timedelta], Awaitable[None]],
    ) -> None:
        self._job = job
        self._rewind = rewind
        self._watch = ClockWatch(clock)
        self._look: asyncio.TimerHandle | None = None
        self._clock = clock
        self._jitter = jitter
        self._scheduler = AsyncIOScheduler(
            timezone=UTC,
            # Missed runs become one, however late: the job itself looks up what is due.
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._context = context
        self._running: set[asyncio.Future[Any]] = set()

    def start(self, subscriptions: Iterable[Subscription]) -> None:
        """Start. Posts that were missed while the bot was down run at once."""
        self._within(self._scheduler.start)
        for subscription in subscriptions:
            self.ensure(subscription)
        self._look_soon()

    async def close(self) -> None:
        """Stop. Jobs that outlast the grace time are cancelled, and the next start resumes them."""
        if self._look is not None:
            self._look.cancel()
        if self._scheduler.running:
            self._scheduler.pause()  # shutting down would cancel the jobs under way
        if self._running:
            await asyncio.wait(self._running, timeout=GRACE)
        for task in tuple(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def add(self, subscription: Subscription) -> None:
        """Run a subscription from its next due time on."""
        self._add(subscription)

    def ensure(self, subscription: Subscription) -> None:
        """Schedule a subscription unless it already is, beginning with what it has missed."""
        if self._scheduler.get_job(str(subscription.id)) is None:
            self._add(subscription, first=self._clock.now())

    def follow(self, subscriptions: Iterable[Subscription]) -> None:
        """Schedule exactly these, which another process may have added, paused or removed."""
        active = {str(each.id): each for each in subscriptions}
        for job in self._scheduler.get_jobs():
            if job.id.isdecimal() and job.id not in active:
                self.remove(int(job.id))
        for subscription in active.values():
            self.ensure(subscription)

    def remove(self, subscription_id: int) -> None:
        """Take a subscription off the schedule."""
        try:
            self._within(self._scheduler.remove_job, str(subscription_id))
        except JobLookupError:
            log.debug("subscription %d was not scheduled", subscription_id)

    def every(self, interval: timedelta, job: Callable[[], Awaitable[None]], *, name: str) -> None:
        """Run `job` at the multiples of `interval`, skipping a time if it is still running."""
        self._within(
            self._scheduler.add_job,
            self._noted,
            ClockTrigger(seconds=int(interval.total_seconds()), start_date=EPOCH, timezone=UTC),
            id=name,
            args=[job],
        )

    def _add(self, subscription: Subscription, *, first: datetime | None = None) -> None:
        # APScheduler runs at once if this argument is given, and otherwise when the trigger says.
        at_once = {} if first is None else {"next_run_time": first}
        self._within(
            self._scheduler.add_job,
            self._noted,
            DueTrigger(subscription.schedule, shift=drawn_after(subscription.id, self._jitter)),
            id=str(subscription.id),
            args=[partial(self._run, subscription.id)],
            replace_existing=True,
            **at_once,
        )

    def _within(self, call: Callable[..., Any], *arguments: object, **options: object) -> None:
        # A copy: a context that is already entered cannot be entered again.
        self._context.copy().run(call, *arguments, **options)

    def _look_soon(self) -> None:
        # The event loop's clock is monotonic, so setting the system clock does not delay this.
        loop = asyncio.get_running_loop()
        self._look = self._context.copy().run(loop.call_later, _LOOK_SECONDS, self._look_at_clock)

    def _look_at_clock(self) -> None:
        self._look_soon()
        back = self._watch.set_back()
        if not back:
            return
        log.warning("the clock was set back by %s: all jobs are timed anew", back)
        for job in self._scheduler.get_jobs():
            job.modify(next_run_time=job.trigger.get_next_fire_time(None, self._clock.now()))
        task = asyncio.ensure_future(self._rewind(back))
        self._running.add(task)
        task.add_done_callback(self._rewound)

    def _rewound(self, task: asyncio.Future[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the clock was set back, and some posts may not come until it is there", exc_info=error)

    async def _noted(self, job: Callable[[], Awaitable[None]]) -> None:
        """Run a job for whose end `close` waits."""
        task = asyncio.current_task()
        if task is not None:
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        try:
            await job()
        except (SQLAlchemyError, *UNSENT) as error:  # the database or Discord is away; the next time will do
            log.warning("upkeep broke off, and is tried again at its next time: %s", failure_text(error))
        except asyncio.CancelledError:  # by `close`; APScheduler would log it as a failure
            log.info("a job was stopped before its end; it is resumed after the next start")

    async def _run(self, subscription_id: int) -> None:
        if not await self._job(subscription_id):
            self.remove(subscription_id)


def _after(previous: datetime | None, now: datetime) -> datetime:
    """Return the moment from which on a trigger that fired last at `previous` fires next."""
    # A last time in the future means that the clock was set back since.
    return now if previous is None or previous > now else max(now, previous + _RESOLUTION)
