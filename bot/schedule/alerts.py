"""Check once a minute whether the price is near a large cluster or has swept one."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol

import discord
from sqlalchemy.exc import SQLAlchemyError

from bot.interaction.patience import UNSENT, failure_text, is_refused, may_pass
from bot.request.asking import usual_selection
from bot.request.spec import encode_number
from bot.schedule.anywhere import sentences
from liqmap import Cluster, LiqmapError, MapRequest, Market, PositionModel, TimeWindow
from liqmap.parsing import parse_end
from liqmap.text import cluster_price, exchanges_text, money, percent, price, price_step

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence
    from datetime import datetime

    from bot.request.drawing import Scan
    from bot.request.symbols import Symbols
    from bot.store import Store
    from bot.store.alerts import Alert
    from liqmap import Clock, MapResult, MapSummary, Selection

log = logging.getLogger(__name__)

WINDOW: Final = timedelta(days=1)
"""The window whose clusters are watched, up to now."""

EVERY: Final = timedelta(minutes=1)
SHORTEST_COOLDOWN: Final = timedelta(minutes=5)
CLOSED: Final = "your private messages were closed to me; open them, and set the alert again"
"""Why an alert is paused that goes to a person."""

LONGEST_COOLDOWN: Final = timedelta(days=7)
_NEWS_FOR = timedelta(minutes=15)
_DRAWN_AT_ONCE = 2
_Key = tuple[tuple[Market, ...], "Selection", PositionModel]


class Speaker(Protocol):
    """How an alert reaches its channel: `bot.schedule.posts.Posts`."""

    async def write(self, channel_id: int, guild_id: int, content: str, *, nonce: str) -> None:
        """Write a sentence into a channel."""
        ...

    async def write_to(self, user_id: int, content: str, *, nonce: str) -> None:
        """Write a private message to a person."""
        ...

    async def inform(self, user_id: int, sentence: str) -> bool:
        """Write to a person, as far as that is possible."""
        ...


@dataclass(frozen=True, slots=True)
class Sight:
    """What the last check saw of a symbol, in a window that ended a minute ago."""

    summary: MapSummary
    ended: datetime


class AlertWatch:
    """Draws each watched symbol once for all its alerts, and scans for those of any market."""

    def __init__(
        self,
        store: Store,
        speaker: Speaker,
        draw: Callable[[MapRequest], Coroutine[Any, Any, MapResult]],
        *,
        clock: Clock,
        positions: PositionModel,
        symbols: Symbols,
        scan: Scan,
    ) -> None:
        self._store = store
        self._positions = positions
        self._symbols = symbols
        self._scan = scan
        self._speaker = speaker
        self._draw = draw
        self._clock = clock
        self._seen: dict[_Key, Sight] = {}
        self._unposted: dict[int, tuple[datetime, str]] = {}
        self._slots = asyncio.Semaphore(_DRAWN_AT_ONCE)
        self._alerts: Sequence[Alert] = ()
        self._fired: dict[int, datetime] = {}
        self._logged: set[str] = set()

    async def check(self) -> None:
        """Draw what is watched, and post the alerts whose condition holds."""
        alerts = await self._known()
        watched = self._by_map(each for each in alerts if not each.is_of_all)
        self._seen = {key: sight for key, sight in self._seen.items() if key in watched}
        known = {alert.id for same in watched.values() for alert in same}
        self._unposted = {number: what for number, what in self._unposted.items() if number in known}
        looks = [self._look(key, same) for key, same in watched.items()]
        looks.append(self._look_everywhere([each for each in alerts if each.is_of_all]))
        # Together, so that one that fails or waits for its trades holds up no other.
        outcomes = await asyncio.gather(*looks, return_exceptions=True)
        self._log_faults([each for each in outcomes if each is not None])

    def _by_map(self, alerts: Iterable[Alert]) -> dict[_Key, list[Alert]]:
        """Return the alerts by the map that shows whether they fire; several alerts may share one."""
        watched: dict[_Key, list[Alert]] = {}
        for alert in alerts:
            try:
                selection = usual_selection(self._store.guilds.get(alert.guild_id))
                key = alert.markets, selection, alert.positions or self._positions
            except LiqmapError as error:
                log.info("alert %d waits: %s", alert.id, error)
                continue
            watched.setdefault(key, []).append(alert)
        return watched

    def _log_faults(self, faults: Sequence[BaseException]) -> None:
        for fault in faults:
            if isinstance(fault, SQLAlchemyError):  # the next check, in a minute, will do
                log.warning("alerts wait for the database: %s", type(fault).__name__)
                continue
            # Logged once: the same fault would recur every minute.
            if repr(fault) not in self._logged:
                log.error("an alert could not be checked because of a fault in the bot", exc_info=fault)
        self._logged = {repr(fault) for fault in faults}

    async def _known(self) -> Sequence[Alert]:
        """Return the stored alerts, or the last known ones while the database is away."""
        try:
            self._alerts = await self._store.alerts.all()
        except SQLAlchemyError as error:
            log.warning("alerts could not be read, so the last known ones are used: %s", type(error).__name__)
        fired = {each.id: self._fired[each.id] for each in self._alerts if each.id in self._fired}
        self._fired = fired
        watched = [each for each in self._alerts if not each.reason]
        return [replace(each, fired_at=fired.get(each.id, each.fired_at)) for each in watched]

    async def _look(self, key: _Key, alerts: list[Alert]) -> None:
        now = self._clock.now()
        window = TimeWindow.ending(parse_end(None, now=now), WINDOW)
        summary = await self._summary(key, window)
        if summary is None:
            return
        before = self._seen.get(key)
        if before is not None and before.ended > window.end:
            before = None  # the clock has been set back since
        self._seen[key] = Sight(summary, window.end)
        for alert in alerts:
            # A sweep is seen only once, so an alert that could not be posted is tried again.
            since, unposted = self._unposted.pop(alert.id, (now, ""))
            sentence = alert_text(alert, summary, before) or (
                unposted if abs(now - since) < _NEWS_FOR else ""
            )
            if sentence and not _is_resting(alert, now):
                await self._post(alert, sentence, now)

    async def _summary(self, key: _Key, window: TimeWindow) -> MapSummary | None:
        markets, selection, positions = key
        try:
            request = MapRequest(markets, window, selection, positions=positions)
            # An alert has the first exchange's symbol, which may have another name on the others.
            request = await self._symbols.completed(request)
            async with self._slots:
                return (await self._draw(request)).summary
        except LiqmapError as error:
            log.info("alerts of %s on %s wait: %s", markets[0].symbol, exchanges_text(markets), error)
            return None

    async def _look_everywhere(self, alerts: Sequence[Alert]) -> None:
        now = self._clock.now()
        awake = [alert for alert in alerts if not _is_resting(alert, now)]
        for alert, sentence in await sentences(awake, self._scan, end=parse_end(None, now=now)):
            await self._post(alert, sentence, now)

    async def _post(self, alert: Alert, sentence: str, now: datetime) -> None:
        if not await self._is_watched(alert):
            return
        # The nonce stays the same until the post is noted, so Discord recognises a repeated one.
        last = 0 if alert.fired_at is None else int(alert.fired_at.timestamp())
        nonce = f"a{encode_number(alert.id)}-{encode_number(last)}"
        try:
            if alert.is_private:
                await self._speaker.write_to(alert.creator_id, sentence, nonce=nonce)
            else:
                await self._speaker.write(alert.channel_id, alert.guild_id, sentence, nonce=nonce)
        except UNSENT as error:
            log.warning("alert %d could not be posted: %s", alert.id, failure_text(error))
            if not await self._is_given_up(alert, error):
                self._unposted[alert.id] = now, sentence
        else:
            log.info("alerted alert=%d symbol=%s", alert.id, alert.symbol)
            await self._note_fired(alert, now)

    async def _is_watched(self, alert: Alert) -> bool:
        """Return whether an alert is still there: it may have been removed while its map was drawn."""
        try:
            return await self._store.alerts.is_watched(alert.id)
        except SQLAlchemyError as error:
            trouble = type(error).__name__
            log.warning("alert %d is posted, though it may have been removed by now: %s", alert.id, trouble)
            return True

    async def _is_given_up(self, alert: Alert, error: Exception) -> bool:
        """Pause or remove an alert that Discord refuses for good; return whether that was done."""
        try:
            if alert.is_private and is_refused(error):
                # There is nobody to inform: /alert list says it, and setting the alert again resumes it.
                await self._store.alerts.pause(alert.id, reason=CLOSED)
                return True
            if isinstance(error, (discord.Forbidden, discord.NotFound)) and not may_pass(error):
                await self._remove(alert)
                return True
        except SQLAlchemyError as trouble:
            # Not raised: it would cost the other alerts of the same map their news.
            log.warning("alert %d could not be given up: %s", alert.id, type(trouble).__name__)
        return False

    async def _note_fired(self, alert: Alert, now: datetime) -> None:
        # Remembered here too: without the database the alert would be posted again every minute.
        self._fired[alert.id] = now
        try:
            await self._store.alerts.fired(alert.id, now=now)
        except SQLAlchemyError as error:
            trouble = type(error).__name__
            log.warning("alert %d was posted, but that could not be stored: %s", alert.id, trouble)
        else:
            del self._fired[alert.id]

    async def _remove(self, alert: Alert) -> None:
        if not await self._store.alerts.remove(alert.id):
            return  # somebody has removed it meanwhile, or its channel is gone
        name, command = ("any market", "any") if alert.is_of_all else (alert.symbol, "near")
        await self._speaker.inform(
            alert.creator_id,
            f"I have removed the alert of {name} in <#{alert.channel_id}>:"
            f" I can no longer post there. Set it again with /alert {command}.",
        )


def alert_text(alert: Alert, summary: MapSummary, before: Sight | None) -> str | None:
    """Return an alert's sentence, None if its condition does not hold.

    Only clusters that are large enough count. A cluster has been swept if it stood a minute ago and the price
    has touched it since, however briefly. Otherwise it is near if the price is within the alert's distance.
    """
    last, swept = summary.last_price, []
    if before is not None:
        swept = [each for each in _large(before.summary, alert) if _is_touched(each, before, summary)]
    if swept:
        return _sentence(alert, max(swept, key=lambda each: each.notional), "has swept", summary)
    near = [each for each in _large(summary, alert) if _distance(each, last) <= alert.distance]
    if near:
        return _sentence(alert, min(near, key=lambda each: _distance(each, last)), "is near", summary)
    return None


def _large(summary: MapSummary, alert: Alert) -> list[Cluster]:
    return [each for each in summary.clusters if each.notional >= alert.notional]


def _distance(cluster: Cluster, last: float) -> float:
    """Return the relative distance of the price from a cluster's nearer end, 0 inside the cluster."""
    return max(cluster.low / last - 1, 1 - cluster.high / last, 0.0)


def _is_touched(cluster: Cluster, before: Sight, now: MapSummary) -> bool:
    then, prices = before.summary, [before.summary.last_price, now.last_price]
    # A bin that had begun by then counts only as far as it has grown since.
    is_new = now.newest_since >= before.ended
    if is_new or now.newest_low < then.newest_low:
        prices.append(now.newest_low)
    if is_new or now.newest_high > then.newest_high:
        prices.append(now.newest_high)
    return min(prices) <= cluster.price <= max(prices)


def _sentence(alert: Alert, cluster: Cluster, what: str, summary: MapSummary) -> str:
    side = "longs" if cluster.distance < 0 else "shorts"
    away = percent(cluster.price / summary.last_price - 1)
    step = price_step(summary.last_price, bucket_size=summary.bucket_size)
    where, last = cluster_price(cluster, step=step), price(summary.last_price, step=step)
    label = exchanges_text(alert.markets)
    made_of = "trades" if summary.margin.positions is None else "trades and open interest"
    return (
        f"🔔 **{alert.symbol}** on {label} {what} {money(cluster.notional)} of {side} at"
        f" {where} ({away} from {last}), as estimated from {made_of}."
    )


def _is_resting(alert: Alert, now: datetime) -> bool:
    # If the clock is set back, the alert still rests for at most twice the cooldown.
    return alert.fired_at is not None and abs(now - alert.fired_at) < alert.cooldown
