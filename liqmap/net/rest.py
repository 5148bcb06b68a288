"""Request JSON from an exchange's API, within the budget that the exchange allows."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from liqmap.errors import DataError
from liqmap.net.attempts import SIMULATED_HEADER, TransientError, attempts, check_status, date_of, retry_after
from liqmap.net.pace import ended_by, overdue
from liqmap.net.session import host_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import aiohttp

    from liqmap.clock import Clock, ExchangeClock
    from liqmap.net.session import Session

_DATE_EXACT_TO = timedelta(seconds=1)  # an HTTP date has no fractions
_LIMITED_STATUS = frozenset({429, 418})  # too many requests; banned for continuing after a 429
_FORBIDDEN_FOR = 600.0  # Bybit's "access too frequent" is a 403 too, and lasts ten minutes
_CHUNK = 1 << 16
_LONGEST_WAIT = 60.0  # limits are counted by the minute, or more often; a longer wait means a ban
_MINUTE = timedelta(minutes=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RejectedRequest(DataError):
    """The exchange rejected a request with HTTP 400; `answer` is its JSON, with a code of its own."""

    def __init__(self, sentence: str, answer: object) -> None:
        super().__init__(sentence)
        self.answer = answer


class WeightBudget:
    """The request weight that all jobs together may spend in each `period` of the exchange's clock.

    `a_period` is this process's share; periods are whole ones since 1970, such as the minutes of a clock.
    The share shrinks by what other clients at the same IP address have used, as the exchange reports it.
    Source: Binance's X-MBX-USED-WEIGHT-1M, which counts by UTC clock minutes.
    """

    def __init__(self, a_period: float, *, clock: Clock, period: timedelta = _MINUTE) -> None:
        self._a_period = a_period
        self._period = period
        self._clock = clock
        self._current: datetime | None = None
        self._sent = 0
        self._others = 0
        self._closed: tuple[datetime, datetime] | None = None

    async def spend(self, weight: int) -> datetime:
        """Wait until `weight` fits into the current period, and return when that began.

        Raises DataError if the exchange is closed to requests for longer than a minute.
        """
        while True:
            self._turn()
            now = self._clock.now()
            # If the clock was set back to before the closing, the budget must not stay closed for hours.
            if self._closed and self._closed[0] <= now < self._closed[1]:
                wait = (self._closed[1] - now).total_seconds()
                if wait > _LONGEST_WAIT:
                    raise _limited(self._closed[1])
                await self._clock.sleep(wait)
                continue
            # A request with more weight than any period allows is sent in an empty one; else it would wait
            # forever.
            if self._sent + self._others + weight <= self._a_period or not self._sent + self._others:
                self._sent += weight
                return self._period_of(now)
            await self._clock.sleep((self._period_of(now) + self._period - now).total_seconds())

    def hear(self, used: int, period: datetime) -> None:
        """Note the weight that the exchange has counted from all clients in the period that began then.

        A count of an earlier period is ignored.
        """
        self._turn()
        if period == self._current:
            self._others = max(self._others, used - self._sent)

    def close(self, seconds: float) -> datetime:
        """Stop all requests for `seconds`, and return the time at which they may resume."""
        now = self._clock.now()
        until = now + timedelta(seconds=seconds)
        if self._closed and self._closed[0] <= now:
            until = max(until, self._closed[1])
        self._closed = now, until
        return until

    def _turn(self) -> None:
        period = self._period_of(self._clock.now())
        if period != self._current:
            self._current, self._sent, self._others = period, 0, 0

    def _period_of(self, moment: datetime) -> datetime:
        return moment - (moment - _EPOCH) % self._period


class RestClient:
    """Requests JSON from one exchange's API, retries failures that may pass, and obeys its limits.

    It serves everything but files and streams: pages of trades, listings, brackets, the time.
    """

    def __init__(
        self,
        session: Session,
        *,
        clock: ExchangeClock,
        budget: WeightBudget,
        used_weight: Callable[[Mapping[str, str]], int | None],
        busy: Callable[[object], float | None] = lambda _: None,
        limited_wait: float = 60.0,
    ) -> None:
        self._session = session
        self._network = session.network
        self.clock: Final = clock
        """The exchange's clock, corrected by the date of every answer."""
        self._budget = budget
        self._used_weight = used_weight
        self._busy = busy
        self._limited_wait = limited_wait
        self.simulated = False
        """Whether a simulated market answers; False until the first answer."""

    async def get(self, url: str, *, weight: int) -> object:
        """Return the JSON answer of `url` (with its query), a request that costs `weight` of the budget.

        Raises RejectedRequest on HTTP 400, DataError on other failures.
        """
        try:
            async for attempt in attempts(
                self._network, times=self._network.attempts, sleep=self.clock.sleep
            ):
                with attempt:
                    return await self._get_once(url, weight)
        except TransientError as error:
            raise DataError(str(error)) from error
        raise AssertionError("the last attempt returns or raises")  # pragma: no cover

    async def _get_once(self, url: str, weight: int) -> object:
        period = await self._budget.spend(weight)
        host = host_of(url)
        late = TransientError(f"{host} did not answer in time; try again in a few minutes.")
        sent = self.clock.machine.now()
        async with (
            ended_by(overdue(late, after=self._network.answer_timeout, sleep=self._session.sleep)),
            self._session.request("GET", url) as response,
        ):
            self._learn_time(response.headers, sent)
            used = self._used_weight(response.headers)
            if used is not None:
                self._budget.hear(used, period)
            if response.status in _LIMITED_STATUS:
                self._limited(response, host)
            if response.status == 403:
                until = self._budget.close(_FORBIDDEN_FOR)
                raise DataError(
                    f"{host} refuses to answer (HTTP 403), because of too many requests or because it"
                    f" blocks this network; try again at {until:%H:%M:%S} UTC."
                )
            if response.status != 400:
                check_status(response, host, longest_wait=self._network.retry_wait_max)
            body = _parsed(await self._body(response, host), host)
            wait = self._busy(body)
            if wait is not None:
                self._budget.close(wait)
                raise TransientError(f"{host} is busy; try again in a minute.", retry_after=wait)
            if response.status == 400:
                raise RejectedRequest(f"{host} refuses to answer; try again later.", body)
            self.simulated = SIMULATED_HEADER in response.headers
            return body

    def _learn_time(self, headers: Mapping[str, str], sent: datetime) -> None:
        shown = date_of(headers.get("Date", ""))
        # An answer with an Age comes from a cache, so its date may lie before the request.
        if shown is not None and "Age" not in headers:
            self.clock.learn(shown, exact_to=_DATE_EXACT_TO, sent=sent)

    async def _body(self, response: aiohttp.ClientResponse, host: str) -> bytes:
        body, limit = bytearray(), self._network.max_answer_size
        async for chunk in response.content.iter_chunked(_CHUNK):
            body += chunk
            if len(body) > limit:  # counted unpacked: a few compressed bytes can unpack to very many
                raise DataError(
                    f"{host} sent an answer larger than {limit / 1e6:,g} MB, which is refused; if that is"
                    " right, raise the setting network.max_answer_size."
                )
        return bytes(body)

    def _limited(self, response: aiohttp.ClientResponse, host: str) -> None:
        named = retry_after(response.headers)
        wait = self._limited_wait if named is None else named
        until = self._budget.close(wait)
        if wait > _LONGEST_WAIT:
            raise _limited(until)
        raise TransientError(f"{host} is limiting requests; try again in a minute.", retry_after=wait)


def _parsed(body: bytes, host: str) -> object:
    try:
        answer: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise TransientError(f"{host} sent an answer that cannot be read; try again later.") from error
    return answer


def _limited(until: datetime) -> DataError:
    return DataError(f"The exchange limits requests until {until:%H:%M:%S} UTC; try again then.")
