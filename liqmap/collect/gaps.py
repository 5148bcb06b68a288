"""Find out why a part of a window has no trades."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from liqmap.errors import NotPublished
from liqmap.exchanges import EXCHANGES
from liqmap.model import Gap, GapKind
from liqmap.model.window import DAY
from liqmap.store.damaged import damaged_windows
from liqmap.store.segments import may_be_unread, segment_windows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from liqmap.clock import Clock
    from liqmap.collect.recent import RecentTrades
    from liqmap.errors import LiqmapError
    from liqmap.model import Exchange, Market
    from liqmap.model.window import TimeWindow

PUBLISHED_WITHIN: Final = timedelta(days=3)
"""Exchanges publish a day within this time. A day that is missing longer will not be published any more."""

_OPEN_MINUTES = timedelta(minutes=3)  # the newest, which a recorder may not have stored yet

_SHARED_WITHIN = timedelta(minutes=5)  # by then another machine's recorder has put it into the shared store


class GapReasons:
    """Finds the reasons of gaps. `is_recorded` returns whether a symbol's stream is being recorded.

    With `shares`, another machine may record it and put it into the shared store.
    """

    def __init__(
        self,
        root: Path,
        *,
        recent: Mapping[Exchange, RecentTrades],
        clock: Clock,
        is_recorded: Callable[[Exchange, str], bool],
        shares: bool,
    ) -> None:
        self._root = root
        self._recent = recent
        self._clock = clock
        self._is_recorded = is_recorded
        self._shares = shares

    def recent_of(self, market: Market) -> RecentTrades | None:
        """Return what fetches a market's last hours, None if the exchange does not serve them."""
        is_recordable = EXCHANGES[market.exchange].live.records(market.symbol)
        return self._recent.get(market.exchange) if is_recordable else None

    def gap(
        self,
        market: Market,
        window: TimeWindow,
        part: TimeWindow,
        *,
        problems: Sequence[tuple[TimeWindow, LiqmapError]],
    ) -> Gap:
        """Return the gap of `part` of `window`. `problems` are the errors of fetching, and where they arose.

        The order of the questions matters: a failure is the reason even where trades are also too new, and
        damage even where the day is not published.
        """
        for where, error in problems:
            if where.overlap(part) and not isinstance(error, NotPublished):
                return Gap(part, GapKind.FAILED, problem=error.problem)
        recent = self.recent_of(market)
        if recent is not None and part.end > recent.reaches_back_to:
            # By a clock that is ahead, the newest minutes have not happened yet for the exchange.
            too_new = recent.machine_is_ahead and part.start >= recent.settled_until - _OPEN_MINUTES
            return Gap(part, GapKind.NOT_REACHED_YET if too_new else GapKind.NOT_FETCHED_YET, market.exchange)
        # What was set aside is named as such only once nothing can fetch it again.
        if (kind := self._of_disk(market, part)) is not None:
            return Gap(part, kind)
        if part.end <= self._clock.now() - PUBLISHED_WITHIN:
            return Gap(part, GapKind.NOT_PUBLISHED)
        if recent is not None or not EXCHANGES[market.exchange].live.records(market.symbol):
            return Gap(part, GapKind.NOT_PUBLISHED_YET)
        return self._not_recorded(market, window, part)

    def _of_disk(self, market: Market, part: TimeWindow) -> GapKind | None:
        if any(map(part.overlap, damaged_windows(self._root, market.exchange, market.symbol))):
            return GapKind.DAMAGED
        return GapKind.UNREADABLE if may_be_unread(self._root, market.exchange, part) else None

    def _not_recorded(self, market: Market, window: TimeWindow, part: TimeWindow) -> Gap:
        """Return the gap of an exchange whose newest trades exist only as far as they were recorded."""
        exchange, symbol = market.exchange, market.symbol
        held = segment_windows(self._root, exchange, symbol)
        # Published days are left out: they say nothing about when recording began.
        recorded = [each.start for each in held if each.length < DAY and each.end > window.start]
        if any(start < part.start for start in recorded):
            now = self._clock.now()
            is_here = part.start > now - _OPEN_MINUTES and self._is_recorded(exchange, symbol)
            if is_here or (self._shares and part.start > now - _SHARED_WITHIN and part.end == window.end):
                return Gap(part, GapKind.NOT_STORED_YET, exchange)
            return Gap(part, GapKind.RECORDING_INTERRUPTED, exchange)
        if recorded:
            return Gap(part, GapKind.RECORDING_STARTED_LATER, exchange, since=min(recorded))
        if self._is_recorded(exchange, symbol):
            return Gap(part, GapKind.RECORDING_STARTS_NOW, exchange)
        return Gap(part, GapKind.NOT_RECORDED, exchange)
